"""Richardson-Lucy: the maximum of the likelihood of Poisson counts, never negative.

    x <- x * A'(m y / (A x + b)) / A'(m)        A the blur, b background, m mask

Richardson 1972, "Bayesian-based iterative method of image restoration"; Lucy 1974, "An
iterative technique for the rectification of observed distributions". The division by
A'(m), which many programs leave out, keeps the border from fading or blowing up.

The likeliest scene has noise in it. So a total variation counts against it: each
iteration ends by smoothing, where less the dimmer (Sawatzky, Brune, Müller and Burger
2009, "Total variation processing of images with Poisson statistics"):

    x <- argmin over z of  sum (z - x)^2 / (2 x) + tv_weight sum |grad z|

Or the iteration is ended before, or damped: where
y is within `damping` noise levels T of the model u = A x + b, the ratio r = y / u tends
to 1 (White 1994, "Image restoration using the damped Richardson-Lucy method"):

    r <- 1 + t^9 (10 - 9 t) (r - 1),    t = min(2 peak (y log r - y + u) / T^2, 1)
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore import noise, stopping, weights
from jdeconv.restore.acceleration import Path
from jdeconv.restore.blur import Blur, Operator
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.prepared import Prepared, prepare, trimmed
from jdeconv.restore.problem import (
    Measurement,
    Solution,
    check_noise,
    measurement,
)
from jdeconv.restore.smoothing import smooth
from jdeconv.restore.total_variation import best_weight
from jdeconv.restore.unshared import unshared

ACCELERATIONS = ("biggs-andrews",)
_DAMPING_POWER = 10  # White's N


class _State(NamedTuple):
    x: Array
    path: Path | None  # None where nothing is accelerated
    dual: list[Array] | None  # of the total variation's gradients, where it counts


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
    acceleration: str | Array | None = None,
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
      acceleration: None, or how each iteration starts from a point further on:
        "biggs-andrews", as far as the last two steps agree (Biggs and Andrews 1997,
        "Acceleration of iterative image restoration algorithms"); or the shares of the
        last change to go on by, `[iterations, *batch]` from 0 to 1, as `record_shares`
        finds them: then parts of an image go on as the whole.
      tv_weight: >= 0, of the total variation, per expected count, broadcast to
        `[*batch]`; or how to choose it, one of `weights.CRITERIA`, for which
        `total_variation` is solved.
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
    if isinstance(acceleration, str) and acceleration not in ACCELERATIONS:
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
    check_noise(noise_std)
    measured = measurement(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    if isinstance(tv_weight, str):
        if not isinstance(measured.blur, Blur) or isinstance(psf, Operator):
            raise ValueError(
                f"tv_weight={tv_weight!r}: is chosen for a PSF only; give a number "
                f"with a {type(psf).__name__}"
            )
        image, num_axes = measured.image, measured.blur.num_axes
        if noise_std is None:
            noise_std = noise.unexplained_std(image, num_axes=num_axes)
        noise_std = jnp.asarray(noise_std, image.dtype)
        tv_weight = best_tv_weight(
            Measurement(image, measured.blur, measured.channel_axis),
            jnp.broadcast_to(noise_std, image.shape[: image.ndim - num_axes]),
            boundary,
            mask=mask,
            background=background,
            criterion=tv_weight,
        )
    shares = None
    if acceleration is not None and not isinstance(acceleration, str):
        if isinstance(stop, str):
            raise ValueError(f"stop={stop!r}: goes with no shares as acceleration")
        image = measured.image
        batch = image.shape[: image.ndim - measured.blur.num_axes]
        shares = jnp.asarray(acceleration, image.dtype)
        shares = jnp.broadcast_to(
            shares.reshape(shares.shape + (1,) * (1 + len(batch) - shares.ndim)),
            (len(shares), *batch),
        )
    has_tv = not (isinstance(tv_weight, (int, float)) and tv_weight == 0)
    rule = stop if isinstance(stop, str) else None
    blur = measured.blur
    # Without these no former image is kept from one iteration to the next.
    overwrites = stop is None and acceleration is None and not has_tv
    prepared = prepare(
        measured.image,
        blur,
        mask,
        background,
        init,
        framed=rule is None and not (damped or has_tv),
        one_thread=not overwrites,
    )
    solution, _ = (_solve_unshared if overwrites else _solve)(
        prepared,
        tv_weight,
        stop if rule is None else None,
        peak,
        damping,
        shares,
        scene=tuple(blur.shape),
        shown=tuple(blur.output_shape),
        num_iters=num_iters,
        rule=rule,
        damped=damped,
        accelerated=acceleration is not None,
        has_tv=has_tv,
    )
    return solution._replace(image=measured.to_image(solution.image))


def record_shares(
    measured: Measurement[Blur],
    *,
    tv_weight: ArrayLike,
    init: ArrayLike,
    num_iters: int,
    stop: float | None,
) -> Array:
    """The shares by which "biggs-andrews" goes on until it stops.

    Args: as of `richardson_lucy`, for an image that was checked.

    Returns:
      `[iterations, *batch]`, as `acceleration` takes them.
    """
    blur = measured.blur
    prepared = prepare(
        measured.image, blur, None, 0.0, init, framed=False, one_thread=True
    )
    solution, shares = _solve(
        prepared,
        tv_weight,
        stop,
        None,
        0.0,
        None,
        scene=blur.shape,
        shown=blur.output_shape,
        num_iters=num_iters,
        rule=None,
        damped=False,
        accelerated=True,
        has_tv=True,
    )
    return shares[: int(solution.num_iters)]


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


def best_tv_weight(
    measured: Measurement[Blur],
    noise_std: Array,
    boundary: str,
    *,
    mask: Array | None = None,
    background: ArrayLike = 0.0,
    criterion: str = "sure",
) -> Array:
    """The weight of the total variation of counts; arguments as checked, `[*batch]`."""
    image = measured.image
    scene = jnp.maximum(image - jnp.asarray(background, image.dtype), 0)
    return best_weight(
        measured._replace(image=scene),
        mask,
        noise_std,
        criterion,
        likelihood="poisson",
        power=1.0,
        nonnegative=True,
        boundary=boundary,
    )


_STATIC = ("scene", "shown", "num_iters", "rule", "damped", "accelerated", "has_tv")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _solve(
    prepared: Prepared,
    tv_weight: ArrayLike,
    stop: float | None,
    peak: ArrayLike | None,
    damping: ArrayLike,
    shares: Array | None,
    *,
    scene: tuple[int, ...],
    shown: tuple[int, ...],
    num_iters: int,
    rule: str | None,
    damped: bool,
    accelerated: bool,
    has_tv: bool,
) -> tuple[Solution, Array | None]:
    """The scene on its frame, and the shares of the last change that were taken.

    Compiled once per size, whatever is in the images.

    Args:
      prepared: framed only without a rule, damping and total variation.
      scene, shown: sizes of the scene and the image at the start of the frame.
      tv_weight, stop, peak, damping, shares: as of `richardson_lucy`, the last one
        `[iterations, *batch]`.
    """
    blur, image, counted, sees, gain, background, least, x = prepared
    spatial = tuple(range(-blur.num_axes, 0))
    batch = image.shape[: image.ndim - blur.num_axes]
    tiny = jnp.finfo(image.dtype).tiny
    photons = jnp.asarray(1.0 if peak is None else peak, image.dtype)
    tv_weight = jnp.expand_dims(
        jnp.broadcast_to(jnp.asarray(tv_weight, image.dtype), batch), spatial
    )

    def of_counted(a: Array) -> Array:
        return a if counted is None else counted * a

    def iteration(image: Array, state: _State) -> tuple[_State, Array, Array]:
        """The next estimate, and at this one the divergence and the model."""
        x, dual = state.x, state.dual
        model = jnp.maximum(blur(x) + background, least)
        ratio = image / model
        # Of dark pixels y log y is 0, whatever the logarithm is.
        divergences = image * jnp.log(jnp.maximum(ratio, tiny)) - image + model
        if damped:
            ratio = _damped(ratio, photons * divergences, jnp.asarray(damping))
        ratio, divergences = of_counted(ratio), of_counted(divergences)
        factor = jnp.maximum(blur.adjoint(ratio) * gain, 0)
        x = x * jnp.where(sees, factor, 1)
        if dual is not None:
            x, dual = smooth(x, state.x, dual, tv_weight, spatial)
        state = state._replace(x=x, dual=dual)
        return state, jnp.mean(trimmed(divergences, shown), spatial), model

    def advance(image: Array, state: _State) -> tuple[_State, Array, Array]:
        if state.path is None:
            return iteration(image, state)
        start = jnp.maximum(state.path.start(state.x), 0)
        new, divergence, model = iteration(image, state._replace(x=start))
        path = state.path.follow(state.x, start, new.x, spatial)
        return new._replace(path=path), divergence, model

    def recorded(state: _State) -> tuple[_State, tuple[Array, Array | None]]:
        share = None
        if state.path is not None:
            share = jnp.broadcast_to(jnp.squeeze(state.path.share, spatial), batch)
        state, divergence, _ = advance(image, state)
        return state, (divergence, share)

    x = jnp.maximum(x, 0)  # a step, as a copy would be shared (see `unshared`)
    path = None
    if shares is not None:
        path = Path.given(x, jnp.expand_dims(shares, spatial))
    elif accelerated:
        path = Path.told(x, spatial)
    first = _State(x, path, [jnp.zeros_like(x) for _ in spatial] if has_tv else None)
    if rule is None:
        state, done, (history, taken) = iterate(
            recorded,
            first,
            num_iters=num_iters,
            stop=stop,
            change=lambda a, b: relative_change(a.x, b.x, blur.num_axes),
        )
        return Solution(trimmed(state.x, scene), done, history), taken

    def run(image: Array, goes_on) -> tuple[_Run, Array]:
        """Each image as long as `goes_on` says of its model."""

        def following(run: _Run) -> tuple[_Run, Array]:
            state, divergence, model = advance(image, run.state)
            run = goes_on(run, divergence, model)
            on = jnp.expand_dims(run.going, spatial)
            kept = jax.tree.map(
                lambda a, b: jnp.where(on, a, b) if a.ndim else a, state, run.state
            )
            done = run.done + run.going.astype(int)
            return run._replace(state=kept, done=done), divergence

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
            expected = jnp.mean(of_counted(expected), spatial)
            return run._replace(going=run.going & (divergence > expected))

    else:
        fitted, checked = stopping.split(image, photons)

        def gains(run: _Run, _, model: Array) -> _Run:
            lost = model - checked * jnp.log(model)
            lost = jnp.mean(of_counted(lost), spatial)
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
    return Solution(last.state.x, jnp.max(last.done), history), None


_solve_unshared = unshared(_solve, _STATIC)


def _damped(ratio: Array, divergence: Array, damping: Array) -> Array:
    """The ratio, nearer to 1 where the model is within the noise; of photons."""
    threshold = jnp.where(damping > 0, damping, 1).astype(ratio.dtype) ** 2
    # Rounding makes some divergences negative, of which the power would be large.
    share = jnp.clip(2 * divergence / threshold, 0, 1)
    share = jnp.where(damping > 0, share, 1)
    n = _DAMPING_POWER
    return 1 + share ** (n - 1) * (n - (n - 1) * share) * (ratio - 1)
