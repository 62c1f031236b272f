"""One step of total variation within an iteration for counts, weighted by the scene.

    z <- argmin of  sum (z - fitted)^2 / (2 x) + weight sum |grad z|

as Sawatzky, Brune, Müller and Burger 2009 ("Total variation processing of images with
Poisson statistics") end each iteration of Richardson and Lucy: less where it is dim.
"""

import jax.numpy as jnp
from jax import Array, lax

_DUAL_STEPS = 5  # in each iteration; with fewer the accelerated one swings
_LEAST_SHARE = 0.1  # of a pixel that smoothing leaves


def smooth(
    fitted: Array,
    x: Array,
    dual: list[Array],
    weight: Array,
    spatial: tuple[int, ...],
) -> tuple[Array, list[Array]]:
    """Nearer to the minimum of sum (z - fitted)^2 / (2 x) + weight |grad z|.

    Steps of projected gradients on its dual, sum of p grad z with |p| <= 1 in place of
    |grad z|, from where the last iteration's ended; z = fitted - weight x grad' p.
    """
    brightest = x
    for axis in spatial:
        brightest = jnp.maximum(brightest, x + _slope(x, axis))
    tiny = jnp.finfo(x.dtype).tiny
    step = 1 / jnp.maximum(4 * len(spatial) * weight * brightest, tiny**0.5)

    def primal(dual):
        rising = sum(_slope_transpose(p, a) for p, a in zip(dual, spatial))
        return fitted - weight * x * rising

    for _ in range(_DUAL_STEPS):
        z = primal(dual)
        points = [p + step * _slope(z, axis) for p, axis in zip(dual, spatial)]
        length = jnp.sqrt(jnp.maximum(sum(p**2 for p in points), 1))
        dual = [p / length for p in points]
    return jnp.maximum(primal(dual), _LEAST_SHARE * fitted), dual


def _slope(x: Array, axis: int) -> Array:
    """The next pixel less this one; 0 for the last."""
    return jnp.diff(x, axis=axis, append=_part(x, axis, -1))


def _slope_transpose(p: Array, axis: int) -> Array:
    """Of slopes whose last is 0."""
    return -jnp.diff(p, axis=axis, prepend=jnp.zeros_like(_part(p, axis, 0)))


def _part(x: Array, axis: int, index: int) -> Array:
    return lax.index_in_dim(x, index, axis, keepdims=True)
