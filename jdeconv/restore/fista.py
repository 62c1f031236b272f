"""Accelerated proximal gradient: any linear operator, any prior with a simple prox.

    min over x of  |A x - y|^2 / 2 + g(x)

    x+ = prox(z - step A'(A z - y), step),    prox(v, s) = argmin s g(x) + |x - v|^2 / 2
    z+ = x+ + (t - 1) / t+ (x+ - x),          t+ = (1 + sqrt(1 + 4 t^2)) / 2

Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm for linear
inverse problems", section 4. Where the momentum points back the sequence t starts anew
(O'Donoghue and Candes 2015, "Adaptive restart for accelerated gradient schemes",
section 3.2, the gradient scheme), by which it converges as fast as the problem's
unknown strong convexity allows.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.ops import operator_norm
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.problem import Solution

Prox = Callable[[Array, ArrayLike], Array]

_NORM_ROOM = 1.02  # power iteration ends a little below the norm


def nonnegative(v: Array, step: ArrayLike) -> Array:
    """The prox of the bound x >= 0: negative values become 0."""
    return jnp.maximum(v, 0)


def l1(weight: ArrayLike) -> Prox:
    """The prox of weight sum |x|: values move towards 0 by step times weight."""

    def prox(v: Array, step: ArrayLike) -> Array:
        threshold = jnp.asarray(weight * jnp.asarray(step), v.dtype)
        return jnp.sign(v) * jnp.maximum(jnp.abs(v) - threshold, 0)

    return prox


def l1_haar(weight: ArrayLike, *, num_axes: int = 2, levels: int = 3) -> Prox:
    """The prox of weight sum |W x|, W the Haar transform, but for its coarsest part.

    Args:
      weight: >= 0.
      num_axes: number of spatial axes, at the end.
      levels: how often the coarse part is split; each halves its sizes.
    """

    def prox(v: Array, step: ArrayLike) -> Array:
        coefficients, coarse = haar(v, num_axes=num_axes, levels=levels)
        shrunk = l1(weight)(coefficients, step)
        corner = (..., *(slice(n) for n in coarse))
        return inverse_haar(
            shrunk.at[corner].set(coefficients[corner]),
            num_axes=num_axes,
            levels=levels,
        )

    return prox


def haar(x: Array, *, num_axes: int, levels: int) -> tuple[Array, tuple[int, ...]]:
    """The orthonormal Haar transform, and the sizes of its coarse part.

    That part comes first on each axis. Of odd sizes the last pixel stays as it is.
    """
    shape = x.shape[x.ndim - num_axes :]
    for _ in range(levels):
        corner = (..., *(slice(n) for n in shape))
        part = x[corner]
        for axis in range(-num_axes, 0):
            even, odd, rest = _pairs(part, axis)
            low, high = (even + odd) / 2**0.5, (even - odd) / 2**0.5
            part = jnp.concatenate([low, rest, high], axis)
        x = x.at[corner].set(part)
        shape = tuple((n + 1) // 2 for n in shape)
    return x, shape


def inverse_haar(x: Array, *, num_axes: int, levels: int) -> Array:
    """The inverse, and transpose, of `haar`."""
    sizes = [x.shape[x.ndim - num_axes :]]
    for _ in range(levels - 1):
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    for shape in reversed(sizes[:levels]):
        corner = (..., *(slice(n) for n in shape))
        part = x[corner]
        for axis in range(-num_axes, 0):
            n = part.shape[axis]
            low, rest, high = jnp.split(part, [n // 2, (n + 1) // 2], axis)
            pairs = jnp.stack([(low + high) / 2**0.5, (low - high) / 2**0.5], part.ndim)
            both = jnp.moveaxis(pairs, -1, axis % part.ndim + 1)
            size = list(part.shape)
            size[axis] = n - n % 2
            part = jnp.concatenate([both.reshape(size), rest], axis)
        x = x.at[corner].set(part)
    return x


def _pairs(x: Array, axis: int) -> tuple[Array, Array, Array]:
    """Even and odd pixels, and the last one if it has no partner."""
    n = x.shape[axis]

    def part(start, stop, stride):
        return jax.lax.slice_in_dim(x, start, stop, stride, axis % x.ndim)

    whole = n - n % 2
    return part(0, whole, 2), part(min(1, whole), whole, 2), part(whole, n, 1)


class _State(NamedTuple):
    x: Array
    z: Array
    t: Array  # cells `[*batch, 1, ...]`


def fista(
    y: Array,
    operator: Any,
    prox: Prox = nonnegative,
    *,
    num_iters: int = 100,
    mask: Array | None = None,
    step: ArrayLike | None = None,
    stop: float | None = None,
    init: Array | None = None,
) -> Solution:
    """Solves a linear inverse problem under a prior given by its prox.

    Args:
      y: measured image `[*batch, *operator.output_shape]`, floating.
      operator: a pytree such as `Blur`, with `shape`, `output_shape`, and `adjoint`.
      prox: of the prior, `(v, step) -> x` over `[*batch, *operator.shape]`, such as
        `nonnegative`, `l1(weight)` and `l1_haar(weight)`. Compiled once per function.
      num_iters: iterations, the most if `stop` is given.
      mask: broadcast to y; 0 for pixels to leave out, 1 for others.
      step: > 0, at most 1 / |A|^2; that if None, by power iteration.
      stop: ends when an iteration changes the scene, in relative norm, by less.
      init: first estimate; zeros if None.

    Returns:
      `Solution`, whose image is the whole scene, `[*batch, *operator.shape]`; its
      history is |A x - y|^2 / 2 over y's number of pixels, without the prior, at the
      point z of each iteration.

    Raises:
      ValueError: y of another size, or no float; num_iters below 1; a step that is not
        positive.

    >>> from jdeconv.restore import Blur, psf
    >>> blur = Blur(psf.gaussian(1.0, (5, 5)), (16, 16), "zero")
    >>> y = blur(jnp.zeros((16, 16)).at[8, 8].set(1.0))
    >>> round(float(fista(y, blur, num_iters=200).image[8, 8]), 1)
    1.0
    """
    y = checked(y, operator, num_iters)
    if isinstance(step, (int, float)) and not step > 0:
        raise ValueError(f"step={step}: must be > 0")
    return _solve(y, operator, mask, step, stop, init, prox=prox, num_iters=num_iters)


def checked(y: Array, operator: Any, num_iters: int) -> Array:
    """The measured image, if it is one that the operator could return."""
    y = jnp.asarray(y)
    sizes = tuple(operator.output_shape)
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise ValueError(f"y of {y.dtype}: must be floating; convert it first")
    if y.shape[max(y.ndim - len(sizes), 0) :] != sizes:
        raise ValueError(f"y of shape {y.shape}: its last axes must be {sizes}")
    if not isinstance(y, jax.core.Tracer):
        bad = y.size - int(np.count_nonzero(np.isfinite(y)))
        if bad:
            raise ValueError(
                f"y has {bad} of {y.size} pixels that are NaN or infinite: set them to "
                "a number, and their mask to 0"
            )
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters}: must be >= 1")
    return y


@functools.partial(jax.jit, static_argnames=("prox", "num_iters"))
def _solve(
    y: Array,
    operator: Any,
    mask: Array | None,
    step: ArrayLike | None,
    stop: float | None,
    init: Array | None,
    *,
    prox: Prox,
    num_iters: int,
) -> Solution:
    num_axes = len(operator.shape)
    spatial = tuple(range(-num_axes, 0))
    batch = y.shape[: y.ndim - num_axes]
    counted = jnp.ones((), y.dtype) if mask is None else jnp.asarray(mask, y.dtype)
    if step is None:
        step = 1 / norm_of(operator, y.dtype) ** 2
    step = jnp.asarray(step, y.dtype)

    def advance(state: _State) -> tuple[_State, Array]:
        misfit = counted * (operator(state.z) - y)
        x = prox(state.z - step * operator.adjoint(misfit), step)
        moved = x - state.x
        back = jnp.sum((state.z - x) * moved, spatial, keepdims=True) > 0
        t = jnp.where(back, 1.0, state.t).astype(y.dtype)
        after = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        new = _State(x, x + (t - 1) / after * moved, after)
        return new, jnp.mean(misfit**2, spatial) / 2

    x = jnp.zeros(batch + tuple(operator.shape), y.dtype)
    if init is not None:
        x = x + jnp.asarray(init, y.dtype)
    ones = jnp.ones((*batch, *[1] * num_axes), y.dtype)
    state, done, history = iterate(
        advance,
        _State(x, x, ones),
        num_iters=num_iters,
        stop=stop,
        change=lambda before, after: relative_change(before.x, after.x, num_axes),
    )
    return Solution(state.x, done, history)


def norm_of(operator: Any, dtype) -> Array:
    """|A|, a little above rather than below."""
    return _NORM_ROOM * operator_norm(
        operator,
        jax.ShapeDtypeStruct(tuple(operator.shape), dtype),
        transpose=operator.adjoint,
        key=jax.random.key(0),
    )
