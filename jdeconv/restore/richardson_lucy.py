"""Richardson-Lucy: the maximum of the likelihood of Poisson counts, never negative.

    x <- x * A'(m y / (A x + b)) / A'(m)        A the blur, b background, m mask

Richardson 1972, "Bayesian-based iterative method of image restoration"; Lucy 1974, "An
iterative technique for the rectification of observed distributions". The division by
A'(m), which many programs leave out, keeps the border from fading or blowing up.

The likeliest scene has noise in it, so the iteration is ended before, or damped: where
y is within `damping` noise levels T of the model u = A x + b, the ratio r = y / u tends
to 1 (White 1994, "Image restoration using the damped Richardson-Lucy method"):

    r <- 1 + t^9 (10 - 9 t) (r - 1),    t = min(2 peak (y log r - y + u) / T^2, 1)
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jdeconv.restore import noise, stopping, weights
from jdeconv.restore.blur import Blur, Operator
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.problem import Measurement, Solution, measurement
from jdeconv.restore.total_variation import best_weight

ACCELERATIONS = ("biggs-andrews",)
_DAMPING_POWER = 10  # White's N
_SEEN = 1e-3  # share of a pixel's light within the frame below which it stays as it was


class _State(NamedTuple):
    x: Array
    before: Array  # x of the iteration before
    step: Array  # from the predicted point to x
    step_before: Array


class _Run(NamedTuple):
    """Where images stop by themselves; all but the state are `[*batch]`."""

    state: _State
    done: Array  # iterations
    going: Array
    least: Array  # of what the held-out photons lose
    least_at: Array  # the iterations done there


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
    peak: ArrayLike | None = None,
    damping: ArrayLike = 0.0,
    stop: float | str | None = None,
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
      peak: photons in a pixel of value 1, > 0, broadcast to y, as in `noise.poisson`
        (1 if y is in photons); for damping and for the rules of `stop`.
      damping: >= 0, in noise levels; pixels fitted as well as that pull no more.
      stop: None; or a number, to end when an iteration changes the estimate, in
        relative norm, by less; or a rule of `stopping.RULES`. "held-out" fits first
        four fifths of the photons, until the last fifth becomes less likely, and then
        all photons with as many iterations. "discrepancy" ends when y is as far from
        the model as photons are. With either each image of a batch stops by itself.
      init: first estimate, > 0, broadcast to y's shape or the larger frame's; the mean
        of each image if None.
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; channels are deblurred one by one.

    Returns:
      `Solution`; its history is the mean I-divergence of y from the model. Where images
      of a batch stop by themselves, num_iters is the most of any, and the history of
      the others goes on with their last value. The image is of y's shape, by a
      `Subsampled` operator that of the fine scene.

    Raises:
      ValueError: see `problem.measurement`; an unknown acceleration or rule to stop,
        num_iters below 1, a negative tv_weight or damping, a peak that is not positive
        or that is missing where it is needed.

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
    damped = not (isinstance(damping, (int, float)) and damping == 0)
    _check_photons(peak, damping, stop, damped)
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
        None if isinstance(stop, str) else stop,
        init,
        peak,
        damping,
        num_iters=num_iters,
        rule=stop if isinstance(stop, str) else None,
        damped=damped,
        accelerated=acceleration is not None,
        has_tv=not (isinstance(tv_weight, (int, float)) and tv_weight == 0),
    )
    return solution._replace(image=measured.to_image(solution.image))


def _check_photons(
    peak: ArrayLike | None, damping: ArrayLike, stop: float | str | None, damped: bool
) -> None:
    if isinstance(stop, str) and stop not in stopping.RULES:
        raise ValueError(
            f"stop={stop!r}: must be None, a number or one of "
            f"{', '.join(stopping.RULES)}"
        )
    if isinstance(damping, (int, float)) and not damping >= 0:
        raise ValueError(f"damping={damping}: must be >= 0")
    if isinstance(peak, (int, float)) and not peak > 0:
        raise ValueError(f"peak={peak}: must be > 0")
    if peak is None and (damped or isinstance(stop, str)):
        asked = f"stop={stop!r}" if isinstance(stop, str) else f"damping={damping}"
        raise ValueError(
            f"peak=None: {asked} asks for the photons in a pixel of value 1; give "
            "peak=1.0 if y is in photons"
        )


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


_STATIC = ("num_iters", "rule", "damped", "accelerated", "has_tv")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _solve(
    image: Array,
    blur: Operator,
    mask: Array | None,
    background: ArrayLike,
    tv_weight: ArrayLike,
    stop: float | None,
    init: ArrayLike | None,
    peak: ArrayLike | None,
    damping: ArrayLike,
    *,
    num_iters: int,
    rule: str | None,
    damped: bool,
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
    photons = jnp.asarray(1.0 if peak is None else peak, image.dtype)
    tv_weight = jnp.expand_dims(
        jnp.broadcast_to(jnp.asarray(tv_weight, image.dtype), batch), spatial
    )
    counted = jnp.ones_like(image)
    if mask is not None:
        counted = counted * jnp.asarray(mask, image.dtype)
    seen = blur.adjoint(counted)
    sees = seen > _SEEN * jnp.max(seen, spatial, keepdims=True)

    def iteration(image: Array, x: Array) -> tuple[Array, Array, Array]:
        """The next estimate, and at this one the divergence and the model."""
        model = jnp.maximum(blur(x) + background, least)
        ratio = image / model
        logs = jnp.where(image > 0, jnp.log(jnp.where(image > 0, image, 1) / model), 0)
        divergences = image * logs - image + model
        if damped:
            ratio = _damped(ratio, photons * divergences, jnp.asarray(damping))
        factor = jnp.maximum(blur.adjoint(counted * ratio), 0)
        factor = jnp.where(sees, factor / jnp.where(sees, seen, 1), 1)
        if has_tv:
            factor = factor / jnp.maximum(1 - tv_weight * curvature(x, spatial), 0.1)
        return x * factor, jnp.mean(counted * divergences, spatial), model

    def advance(image: Array, state: _State) -> tuple[_State, Array, Array]:
        start = _predict(state, spatial) if accelerated else state.x
        x, divergence, model = iteration(image, start)
        return _State(x, state.x, x - start, state.step), divergence, model

    if init is None:
        init = jnp.mean(image, spatial, keepdims=True)
    x = jnp.maximum(jnp.asarray(init, image.dtype), least)
    x = jnp.broadcast_to(x, batch + blur.shape)
    zero = jnp.zeros_like(x)
    first = _State(x, x, zero, zero)
    if rule is None:
        state, done, history = iterate(
            lambda state: advance(image, state)[:2],
            first,
            num_iters=num_iters,
            stop=stop,
            change=lambda a, b: relative_change(a.x, b.x, blur.num_axes),
        )
        return Solution(state.x, done, history)

    def run(image: Array, goes_on) -> tuple[_Run, Array]:
        """Each image as long as `goes_on` says of its model."""

        def following(run: _Run) -> tuple[_Run, Array]:
            state, divergence, model = advance(image, run.state)
            run = goes_on(run, divergence, model)
            on = jnp.expand_dims(run.going, spatial)
            kept = [jnp.where(on, a, b) for a, b in zip(state, run.state)]
            done = run.done + run.going.astype(int)
            return run._replace(state=_State(*kept), done=done), divergence

        none = jnp.zeros(batch, int)
        least = jnp.full(batch, jnp.inf, image.dtype)
        run, _, history = iterate(
            following,
            _Run(first, none, jnp.ones(batch, bool), least, none),
            num_iters=num_iters,
            stop=0.5,
            change=lambda _, run: jnp.any(run.going).astype(image.dtype),
        )
        return run, history

    if rule == "discrepancy":

        def goes_on(run: _Run, divergence: Array, model: Array) -> _Run:
            expected = stopping.expected_divergence(photons * model) / photons
            expected = jnp.mean(counted * expected, spatial)
            return run._replace(going=run.going & (divergence > expected))

    else:
        fitted, checked = stopping.split(image, photons)

        def gains(run: _Run, _, model: Array) -> _Run:
            lost = jnp.mean(counted * (model - checked * jnp.log(model)), spatial)
            better = lost < run.least
            least_at = jnp.where(better, run.done, run.least_at)
            return run._replace(
                going=run.going & (run.done - least_at < stopping.PATIENCE),
                least=jnp.minimum(lost, run.least),
                least_at=least_at,
            )

        limits = run(fitted, gains)[0].least_at

        def goes_on(run: _Run, divergence: Array, model: Array) -> _Run:
            return run._replace(going=run.done < limits)

    last, history = run(image, goes_on)
    return Solution(last.state.x, jnp.max(last.done), history)


def _damped(ratio: Array, divergence: Array, damping: Array) -> Array:
    """The ratio, nearer to 1 where the model is within the noise; of photons."""
    threshold = jnp.where(damping > 0, damping, 1).astype(ratio.dtype) ** 2
    # Rounding makes some divergences negative, of which the power would be large.
    share = jnp.clip(2 * divergence / threshold, 0, 1)
    share = jnp.where(damping > 0, share, 1)
    n = _DAMPING_POWER
    return 1 + share ** (n - 1) * (n - (n - 1) * share) * (ratio - 1)


def _predict(state: _State, spatial: tuple[int, ...]) -> Array:
    """The point that the last two steps point to."""
    both = jnp.sum(state.step * state.step_before, spatial, keepdims=True)
    last = jnp.sum(state.step_before**2, spatial, keepdims=True)
    share = jnp.clip(jnp.where(last > 0, both / jnp.where(last > 0, last, 1), 0), 0, 1)
    return jnp.maximum(state.x + share * (state.x - state.before), 0)


def curvature(x: Array, spatial: tuple[int, ...]) -> Array:
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
