"""Richardson-Lucy: the maximum of the likelihood of Poisson counts, never negative.

    x <- x * A'(m y / (A x + b)) / A'(m)        A the blur, b background, m mask

Richardson 1972, "Bayesian-based iterative method of image restoration"; Lucy 1974, "An
iterative technique for the rectification of observed distributions". The division by
A'(m), which many programs leave out, keeps the border from fading or blowing up.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jdeconv.restore import noise, weights
from jdeconv.restore.blur import Blur, Operator
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.problem import Measurement, Solution, measurement
from jdeconv.restore.total_variation import best_weight

ACCELERATIONS = ("biggs-andrews",)
_SEEN = 1e-3  # share of a pixel's light within the frame below which it stays as it was


class _State(NamedTuple):
    x: Array
    before: Array  # x of the iteration before
    step: Array  # from the predicted point to x
    step_before: Array


def richardson_lucy(
    y: Array,
    psf: Array | Operator,
    *,
    num_iters: int = 30,
    boundary: str = "unknown",
    acceleration: str | None = None,
    tv_weight: ArrayLike | str = 0.0,
    background: ArrayLike = 0.0,
    mask: Array | None = None,
    noise_std: ArrayLike | None = None,
    stop: float | None = None,
    init: ArrayLike | None = None,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Solution:
    """Deblurs an image of counts, or any that is not negative.

    Args:
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF;
        values below 0 count as 0.
      psf: point spread function, no negative values; normalised to sum 1. Or the
        operator itself: a `VaryingBlur`, a `Subsampled` one, a `Blur`, whose boundary
        and centre then count.
      num_iters: iterations, the most if `stop` is given.
      boundary: "unknown" estimates the scene on a frame larger by psf - 1 and assumes
        nothing beyond it; or "circular", "zero", "reflect", "edge".
      acceleration: None, or "biggs-andrews": each iteration starts from a point
        predicted by the last two steps (Biggs and Andrews 1997, "Acceleration of
        iterative image restoration algorithms").
      tv_weight: >= 0, of the total variation, per expected count (Dey et al. 2006,
        "Richardson-Lucy algorithm with total variation regularization", eq. 9),
        broadcast to `[*batch]`; or how to choose it, one of `weights.CRITERIA`, for
        which `total_variation` is solved.
      noise_std: of the noise in a pixel of mean brightness, for that choice;
        `noise.unexplained_std` if None.
      background: counts per pixel that are not of the scene, broadcast to y.
      mask: broadcast to y; 0 for pixels to leave out (dead or saturated), 1 for others.
      stop: ends when an iteration changes the estimate, in relative norm, by less.
      init: first estimate, > 0, broadcast to y's shape or the larger frame's; the mean
        of each image if None.
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; channels are deblurred one by one.

    Returns:
      `Solution`; its history is the mean I-divergence of y from the model. Its image is
      of y's shape, of a `Subsampled` operator that of the fine scene.

    Raises:
      ValueError: see `problem.measurement`; an unknown acceleration, num_iters below 1,
        a negative tv_weight.

    With `stop` the number of iterations depends on the data: then there is no reverse
    mode through the solver.
    """
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters}: must be >= 1")
    if acceleration is not None and acceleration not in ACCELERATIONS:
        raise ValueError(
            f"acceleration={acceleration!r}: must be None or one of "
            f"{', '.join(ACCELERATIONS)}"
        )
    if isinstance(tv_weight, str):
        weights.check(tv_weight, "tv_weight")
    elif isinstance(tv_weight, (int, float)) and not tv_weight >= 0:
        raise ValueError(f"tv_weight={tv_weight}: must be >= 0")
    measured = measurement(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    if isinstance(tv_weight, str):
        if not isinstance(measured.blur, Blur) or isinstance(psf, Operator):
            raise ValueError(
                f"tv_weight={tv_weight!r}: is chosen for a PSF only; give a number "
                f"with a {type(psf).__name__}"
            )
        tv_weight = _best_weight(
            Measurement(measured.image, measured.blur, measured.channel_axis),
            mask,
            background,
            noise_std,
            tv_weight,
            boundary,
        )
    solution = _solve(
        measured.image,
        measured.blur,
        mask,
        background,
        tv_weight,
        stop,
        init,
        num_iters=num_iters,
        accelerated=acceleration is not None,
        has_tv=not (isinstance(tv_weight, (int, float)) and tv_weight == 0),
    )
    return solution._replace(image=measured.to_image(solution.image))


def _best_weight(
    measured: Measurement[Blur],
    mask: Array | None,
    background: ArrayLike,
    noise_std: ArrayLike | None,
    criterion: str,
    boundary: str,
) -> Array:
    """Of the total variation of counts, without the background."""
    image, num_axes = measured.image, measured.blur.psf.ndim
    if noise_std is None:
        noise_std = noise.unexplained_std(image, num_axes=num_axes)
    noise_std = jnp.asarray(noise_std, image.dtype)
    scene = jnp.maximum(image - jnp.asarray(background, image.dtype), 0)
    return best_weight(
        measured._replace(image=scene),
        mask,
        jnp.broadcast_to(noise_std, image.shape[: image.ndim - num_axes]),
        criterion,
        likelihood="poisson",
        power=1.0,
        nonnegative=True,
        boundary=boundary,
    )


@functools.partial(jax.jit, static_argnames=("num_iters", "accelerated", "has_tv"))
def _solve(
    image: Array,
    blur: Operator,
    mask: Array | None,
    background: ArrayLike,
    tv_weight: ArrayLike,
    stop: float | None,
    init: ArrayLike | None,
    *,
    num_iters: int,
    accelerated: bool,
    has_tv: bool,
) -> Solution:
    """The scene on its frame. Compiled once per size, whatever is in the images."""
    spatial = tuple(range(-blur.num_axes, 0))
    batch = image.shape[: image.ndim - blur.num_axes]
    tiny = jnp.finfo(image.dtype).tiny
    image = jnp.maximum(image, 0)
    least = jnp.finfo(image.dtype).eps * jnp.max(image, spatial, keepdims=True) + tiny
    background = jnp.asarray(background, image.dtype)
    tv_weight = jnp.expand_dims(
        jnp.broadcast_to(jnp.asarray(tv_weight, image.dtype), batch), spatial
    )
    counted = jnp.ones_like(image)
    if mask is not None:
        counted = counted * jnp.asarray(mask, image.dtype)
    seen = blur.adjoint(counted)
    sees = seen > _SEEN * jnp.max(seen, spatial, keepdims=True)

    def iteration(x: Array) -> tuple[Array, Array]:
        """The next estimate, and the divergence at this one."""
        model = jnp.maximum(blur(x) + background, least)
        ratio = counted * image / model
        factor = jnp.maximum(blur.adjoint(ratio), 0) / jnp.where(sees, seen, 1)
        factor = jnp.where(sees, factor, 1)
        if has_tv:
            factor = factor / jnp.maximum(1 - tv_weight * _curvature(x, spatial), 0.1)
        logs = jnp.where(image > 0, jnp.log(jnp.where(image > 0, image, 1) / model), 0)
        divergence = jnp.mean(counted * (image * logs - image + model), spatial)
        return x * factor, divergence

    def advance(state: _State) -> tuple[_State, Array]:
        start = _predict(state, spatial) if accelerated else state.x
        x, divergence = iteration(start)
        return _State(x, state.x, x - start, state.step), divergence

    if init is None:
        init = jnp.mean(image, spatial, keepdims=True)
    x = jnp.maximum(jnp.asarray(init, image.dtype), least)
    x = jnp.broadcast_to(x, batch + blur.shape)
    zero = jnp.zeros_like(x)
    state, done, history = iterate(
        advance,
        _State(x, x, zero, zero),
        num_iters=num_iters,
        stop=stop,
        change=lambda before, after: relative_change(before.x, after.x, blur.num_axes),
    )
    return Solution(state.x, done, history)


def _predict(state: _State, spatial: tuple[int, ...]) -> Array:
    """The point that the last two steps point to."""
    both = jnp.sum(state.step * state.step_before, spatial, keepdims=True)
    last = jnp.sum(state.step_before**2, spatial, keepdims=True)
    share = jnp.clip(jnp.where(last > 0, both / jnp.where(last > 0, last, 1), 0), 0, 1)
    return jnp.maximum(state.x + share * (state.x - state.before), 0)


def _curvature(x: Array, spatial: tuple[int, ...]) -> Array:
    """div(grad x / |grad x|) by forward, then backward differences."""
    slopes = [jnp.diff(x, axis=a, append=_last(x, a)) for a in spatial]
    squares = sum(s**2 for s in slopes)
    scale = jnp.finfo(x.dtype).eps * jnp.max(x, spatial, keepdims=True) ** 2
    length = jnp.sqrt(squares + scale + jnp.finfo(x.dtype).tiny)
    total = jnp.zeros_like(x)
    for axis, slope in zip(spatial, slopes):
        flow = slope / length
        nothing = jnp.zeros_like(lax.slice_in_dim(x, 0, 1, axis=axis % x.ndim))
        total = total + jnp.diff(flow, axis=axis, prepend=nothing)
    return total


def _last(x: Array, axis: int) -> Array:
    axis %= x.ndim
    return lax.slice_in_dim(x, x.shape[axis] - 1, x.shape[axis], axis=axis)
