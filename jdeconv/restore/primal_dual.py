"""Total variation for any linear operator, by the primal-dual method.

    min over x of  sum of l(A x; y) + weight sum |grad x|

`total_variation` solves the same by Fourier transforms, where A is one convolution, and
sooner. Here A is only called and transposed: blur that varies over the image, fewer
pixels than the scene has, a projection. With K = (A, grad) and its two dual variables p

    x+ = x - t K'p                        made >= 0 if asked for
    p+ = prox of the conjugate at p + s K (2 x+ - x),    t (s1 |A|^2 + s2 |grad|^2) < 1

Chambolle and Pock 2011, "A first-order primal-dual algorithm for convex problems with
applications to imaging", algorithm 1, over-relaxed as in Condat 2013, "A primal-dual
splitting method for convex optimization", algorithm 3.1.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore import noise
from jdeconv.restore.fista import checked, norm_of
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.problem import Solution
from jdeconv.restore.total_variation import LIKELIHOODS

# As penalties of the alternating direction method, of which this is the linearised one.
_BLUR_STEP = 0.2  # of A's dual variable, in curvatures of the data term
_SLOPE_THRESHOLD = 1.5  # slopes below so many noise levels are set to 0 in a step
_RELAXATION = 1.8  # of 1 to 2
_LEAST_NOISE = 1e-3  # of the brightest pixel, where less is found or said


class _State(NamedTuple):
    x: Array
    data: Array  # dual of A x
    slopes: list[Array]  # dual of grad x, per axis


def primal_dual(
    y: Array,
    operator: Any,
    *,
    weight: ArrayLike,
    noise_std: ArrayLike | None = None,
    likelihood: str = "gaussian",
    nonnegative: bool = False,
    num_iters: int = 200,
    mask: Array | None = None,
    stop: float | None = None,
    init: Array | None = None,
) -> Solution:
    """Solves a linear inverse problem for a scene of flat areas and edges.

    Args:
      y: measured image `[*batch, *operator.output_shape]`, floating.
      operator: a pytree such as `Blur`, with `shape`, `output_shape`, and `adjoint`.
        If it has a `boundary` that is "circular", slopes are taken across the border.
      weight: > 0, of the total variation, broadcast to `[*batch]`; as that of
        `total_variation`.
      noise_std: of the noise, in a pixel of mean brightness for counts;
        `noise.unexplained_std` if None. It sets the step sizes alone.
      likelihood: "gaussian", (A x - y)^2 / 2, or "poisson", A x - y log A x.
      nonnegative: keeps the scene from being negative; counts always are kept so.
      num_iters: iterations, the most if `stop` is given.
      mask: broadcast to y; 0 for pixels to leave out, 1 for others.
      stop: ends when an iteration changes the scene, in relative norm, by less.
      init: first estimate, broadcast to the scene; A'y / A'1 if None.

    Returns:
      `Solution`, whose image is the whole scene, `[*batch, *operator.shape]`; its
      history is what is minimised, over y's number of pixels.

    Raises:
      ValueError: y of another size, or no float; an unknown likelihood, num_iters below
        1, a weight that is not positive.

    >>> from jdeconv.restore import Blur, psf
    >>> blur = Blur(psf.gaussian(1.0, (5, 5)), (20, 20), "valid")
    >>> primal_dual(jnp.ones((16, 16)), blur, weight=0.1).image.shape
    (20, 20)
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood={likelihood!r}: must be one of {', '.join(LIKELIHOODS)}"
        )
    if isinstance(weight, (int, float)) and not weight > 0:
        raise ValueError(f"weight={weight}: must be > 0")
    y = checked(y, operator, num_iters)
    num_axes = len(operator.shape)
    batch = y.shape[: y.ndim - num_axes]
    if noise_std is None:
        noise_std = noise.unexplained_std(y, num_axes=num_axes)
    return _solve(
        y,
        operator,
        jnp.broadcast_to(jnp.asarray(weight, y.dtype), batch),
        jnp.broadcast_to(jnp.asarray(noise_std, y.dtype), batch),
        mask,
        stop,
        init,
        likelihood=likelihood,
        nonnegative=nonnegative or likelihood == "poisson",
        num_iters=num_iters,
    )


@functools.partial(jax.jit, static_argnames=("likelihood", "nonnegative", "num_iters"))
def _solve(
    y: Array,
    operator: Any,
    weight: Array,
    noise_std: Array,
    mask: Array | None,
    stop: float | None,
    init: Array | None,
    *,
    likelihood: str,
    nonnegative: bool,
    num_iters: int,
) -> Solution:
    num_axes = len(operator.shape)
    spatial = tuple(range(-num_axes, 0))
    batch = y.shape[: y.ndim - num_axes]
    wraps = getattr(operator, "boundary", None) == "circular"
    counted = jnp.ones_like(y)
    if mask is not None:
        counted = counted * jnp.asarray(mask, y.dtype)
    tiny = jnp.finfo(y.dtype).tiny ** 0.5
    floor = _LEAST_NOISE * jnp.max(jnp.abs(y), spatial) + tiny
    brightness = jnp.expand_dims(jnp.maximum(jnp.mean(y, spatial), floor), spatial)
    weight = jnp.expand_dims(weight, spatial)
    threshold = _SLOPE_THRESHOLD * jnp.maximum(noise_std, floor)
    slope_step = weight / jnp.expand_dims(threshold, spatial)
    curvature = 1 / brightness if likelihood == "poisson" else jnp.ones_like(weight)
    data_step = _BLUR_STEP * curvature
    largest = data_step * norm_of(operator, y.dtype) ** 2 + slope_step * 4 * num_axes
    step = 1 / largest

    def fit(dual: Array) -> Array:
        """The prox of the data term's conjugate; nothing pulls at what is masked."""
        if likelihood == "gaussian":
            return counted * (dual - data_step * y) / (1 + data_step)
        counts = jnp.maximum(y, 0)
        root = jnp.sqrt((dual - 1) ** 2 + 4 * data_step * counts)
        return counted * (dual + 1 - root) / 2

    def shrink(slopes: list[Array]) -> list[Array]:
        """The nearest vectors no longer than the weight."""
        share = jnp.maximum(_length(slopes) / weight, 1)
        return [s / share for s in slopes]

    def objective(blurred: Array, slopes: list[Array]) -> Array:
        if likelihood == "gaussian":
            misfit = (blurred - y) ** 2 / 2
        else:
            model = jnp.maximum(blurred, jnp.finfo(y.dtype).eps * brightness)
            misfit = model - jnp.maximum(y, 0) * jnp.log(model)
        rough = jnp.sum(weight * _length(slopes), spatial)
        count = y.size // max(1, weight.size)
        return (jnp.sum(counted * misfit, spatial) + rough) / count

    def advance(state: _State) -> tuple[_State, Array]:
        pull = operator.adjoint(state.data) + divergence(state.slopes, spatial, wraps)
        x = state.x - step * pull
        if nonnegative:
            x = jnp.maximum(x, 0)
        ahead = 2 * x - state.x
        data = fit(state.data + data_step * operator(ahead))
        moved = zip(state.slopes, differences(ahead, spatial, wraps))
        slopes = shrink([p + slope_step * d for p, d in moved])
        here = objective(operator(x), differences(x, spatial, wraps))
        new = _State(x, data, slopes)
        return jax.tree.map(_relaxed, new, state), here

    x = init
    if x is None:
        flat = jnp.maximum(operator.adjoint(counted), tiny)
        x = operator.adjoint(counted * y) / flat
    x = jnp.broadcast_to(jnp.asarray(x, y.dtype), batch + tuple(operator.shape))
    first = _State(x, jnp.zeros_like(y), [jnp.zeros_like(x)] * num_axes)
    state, done, history = iterate(
        advance,
        first,
        num_iters=num_iters,
        stop=stop,
        change=lambda before, after: relative_change(before.x, after.x, num_axes),
    )
    # What over-relaxation added may be negative.
    image = jnp.maximum(state.x, 0) if nonnegative else state.x
    return Solution(image, done, history)


def differences(x: Array, axes: tuple[int, ...], wraps: bool) -> list[Array]:
    """Per axis, the next pixel less this one; beyond the last 0, or round the edge."""
    slopes = [jnp.roll(x, -1, axis) - x for axis in axes]
    return slopes if wraps else [_without_last(s, a) for s, a in zip(slopes, axes)]


def divergence(slopes: list[Array], axes: tuple[int, ...], wraps: bool) -> Array:
    """The transpose of `differences`."""
    if not wraps:
        slopes = [_without_last(s, a) for s, a in zip(slopes, axes)]
    terms = [jnp.roll(s, 1, axis) - s for s, axis in zip(slopes, axes)]
    return sum(terms[1:], start=terms[0])


def _without_last(x: Array, axis: int) -> Array:
    size = [1] * x.ndim
    size[axis] = x.shape[axis]
    inside = jnp.arange(x.shape[axis]) < x.shape[axis] - 1
    return jnp.where(inside.reshape(size), x, 0)


def _length(slopes: list[Array]) -> Array:
    squares = sum((s**2 for s in slopes[1:]), start=slopes[0] ** 2)
    # A square root has no derivative at 0, where it is not needed either.
    return jnp.sqrt(jnp.maximum(squares, jnp.finfo(squares.dtype).tiny))


def _relaxed(new: Array, old: Array) -> Array:
    return _RELAXATION * new + (1 - _RELAXATION) * old
