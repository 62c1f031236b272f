"""Total variation: the scene of few edges, by the alternating direction method.

    min over x of  sum of l(A x; y) + weight sum |grad x|^power

l is (A x - y)^2 / 2, or A x - y log A x for counts. Rudin, Osher and Fatemi 1992,
"Nonlinear total variation based noise removal algorithms"; with a power below 1 the
hyper-Laplacian prior of Krishnan and Fergus 2009, "Fast image deconvolution using
hyper-Laplacian priors".

The blurred scene u = A x and its slopes v = grad x are variables of their own, so that
each step is solved exactly, by Fourier transforms or pixel by pixel (Almeida and
Figueiredo 2013, "Deconvolving images with unknown boundaries using the alternating
direction method of multipliers"; for counts Figueiredo and Bioucas-Dias 2010,
"Restoration of Poissonian images using alternating direction optimization").
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.ops import fourier
from jdeconv.restore import noise, weights
from jdeconv.restore.blur import Blur
from jdeconv.restore.frame import Frame, frame
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.problem import (
    LIKELIHOODS,
    Measurement,
    Solution,
    check_noise,
    convolution,
)

# The penalties that converged soonest on photographs, at all noise levels alike.
_BLUR_PENALTY = 0.2  # of u = A x, in curvatures of the data term
_SLOPE_THRESHOLD = 1.5  # slopes below so many noise levels are set to 0 in a step
_RELAXATION = 1.8  # of 1 to 2 (Boyd et al. 2011, section 3.4.3)
_SHRINKING_STEPS = 3  # of the fixed point for powers below 1
_LEAST_NOISE = 1e-3  # of the brightest pixel, where less is found or said


def total_variation(
    y: Array,
    psf: Array,
    *,
    weight: ArrayLike | str | None = None,
    noise_std: ArrayLike | None = None,
    likelihood: str = "gaussian",
    brightness: ArrayLike | None = None,
    power: float = 1.0,
    nonnegative: bool = False,
    num_iters: int = 50,
    boundary: str = "unknown",
    mask: Array | None = None,
    stop: float | None = None,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Solution:
    """Deblurs an image of flat areas and edges.

    Args:
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF.
      psf: point spread function, no negative values; normalised to sum 1.
      weight: > 0, of the total variation, broadcast to `[*batch]` (channels last among
        them), in units of y^(2 - power), for counts y^-power; or how to choose it, one
        of `weights.CRITERIA`. None is "sure" if noise_std is given, else "unstated".
      noise_std: of the noise, for counts in a pixel of that `brightness`;
        `noise.unexplained_std` if None. It sets the step sizes, and the weight if that
        is to be chosen.
      likelihood: "gaussian", or "poisson" for counts of photons, in any unit.
      brightness: broadcast to `[*batch]`; the image's mean if None.
      power: of the slopes, in (0, 1]; below 1 the problem is not convex.
      nonnegative: keeps the scene from being negative; counts always are kept so.
      num_iters: iterations, the most if `stop` is given.
      boundary: "unknown" estimates the scene on a frame larger by psf - 1 and assumes
        nothing beyond it; or "circular", "zero", "reflect", "edge".
      mask: broadcast to y; 0 for pixels to leave out (dead or saturated), 1 for others.
      stop: ends when an iteration changes the scene, in relative norm, by less.
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; channels are deblurred one by one, with a common weight if it
        is to be chosen.

    Returns:
      `Solution`; its history is the mean over pixels of what is minimised.

    Raises:
      ValueError: see `problem.convolution`; an unknown likelihood or criterion, a power
        outside (0, 1], num_iters below 1, a weight that is not positive, a
        negative noise_std.

    With `stop` the number of iterations depends on the data: then there is no reverse
    mode through the solver.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood={likelihood!r}: must be one of {', '.join(LIKELIHOODS)}"
        )
    if not 0 < power <= 1:
        raise ValueError(f"power={power}: must be above 0, and 1 at most")
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters}: must be >= 1")
    if isinstance(weight, str):
        weights.check(weight)
    elif isinstance(weight, (int, float)) and not weight > 0:
        raise ValueError(f"weight={weight}: must be > 0")
    check_noise(noise_std)
    measured = convolution(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    image, num_axes = measured.image, psf.ndim
    batch = image.shape[: image.ndim - num_axes]
    unknown = noise_std is None
    if noise_std is None:
        noise_std = noise.unexplained_std(image, num_axes=num_axes)
    noise_std = jnp.broadcast_to(jnp.asarray(noise_std, image.dtype), batch)
    options: dict[str, Any] = dict(
        likelihood=likelihood,
        power=float(power),
        nonnegative=nonnegative or likelihood == "poisson",
        boundary=boundary,
    )
    if weight is None or isinstance(weight, str):
        criterion = weight or ("unstated" if unknown else "sure")
        weight = best_weight(measured, mask, noise_std, criterion, **options)
    weight = jnp.broadcast_to(jnp.asarray(weight, image.dtype), batch)
    if brightness is not None:
        brightness = jnp.broadcast_to(jnp.asarray(brightness, image.dtype), batch)
    solution = _solve(
        image,
        measured.blur,
        mask,
        weight,
        noise_std,
        stop,
        brightness,
        num_iters=num_iters,
        **options,
    )
    return solution._replace(image=measured.to_channels(solution.image))


def best_weight(
    measured: Measurement[Blur],
    mask: Array | None,
    noise_std: Array,
    criterion: str,
    *,
    likelihood: str,
    power: float,
    nonnegative: bool,
    boundary: str,
) -> Array:
    """The weight of the total variation that one of `weights.CRITERIA` is best at.

    Args: as checked by `total_variation`; noise_std `[*batch]`.

    Returns:
      `[*batch]`, channels alike.
    """
    *part, around = weights.center_of(measured.image, measured.blur, mask, boundary)
    tried, values = _choose_weight(
        *part,
        noise_std,
        criterion=criterion,
        likelihood=likelihood,
        power=power,
        nonnegative=nonnegative,
        boundary=around,
    )
    return weights.minimum(tried, values, joint=measured.channel_axis is not None)


class _State(NamedTuple):
    x: Array
    u: Array  # split off: A x
    u_dual: Array
    v: list[Array]  # split off: grad x, per axis
    v_dual: list[Array]
    w: Array | None  # split off: x, where it is bound to be continued or not negative
    w_dual: Array | None


class _Splitting(NamedTuple):
    """The problem as the alternating direction method sees it.

    `cells` below are arrays `[*batch, 1, ...]`, one number per image.
    """

    on: Frame
    mask: Array  # 1 where the camera looked and the pixel counts
    noise_std: Array  # cells
    brightness: Array  # cells
    counted: list[Array] | None  # slopes, as `Frame.counted_slopes`
    likelihood: str
    power: float
    nonnegative: bool
    boundary: str

    @property
    def bound(self) -> bool:
        """Whether more is known of the scene than what the camera saw."""
        return self.nonnegative or self.boundary in ("zero", "reflect", "edge")

    @property
    def curvature(self) -> Array:
        """Of the data term, cells."""
        if self.likelihood == "poisson":
            return 1 / self.brightness
        return jnp.ones_like(self.noise_std)

    def penalties(self, weight: Array) -> tuple[Array, Array]:
        """Of u = A x and of v = grad x, for a weight in cells."""
        p = self.power
        spread = (2 * (1 - p)) ** (1 / (2 - p))
        factor = spread + p * (2 * (1 - p)) ** ((p - 1) / (2 - p))
        step = (_SLOPE_THRESHOLD / factor * self.noise_std) ** (2 - p)
        return _BLUR_PENALTY * self.curvature, weight / step

    def start(self) -> _State:
        """The blurred image, its border drawn out."""
        on = self.on
        x, u = on.begin()
        if self.likelihood == "poisson":
            x, u = jnp.maximum(x, 0), jnp.maximum(u, 0)
        zero = jnp.zeros_like(x)
        v = on.differences(x)
        w = x if self.bound else None
        return _State(
            x, u, zero, v, [zero] * len(v), w, None if w is None else jnp.zeros_like(x)
        )

    def advance(self, s: _State, weight: Array) -> tuple[_State, Array]:
        """One iteration, and the mean over pixels of what is minimised after it."""
        on = self.on
        u_penalty, v_penalty = self.penalties(weight)
        pull = v_penalty * on.divergence([a - b for a, b in zip(s.v, s.v_dual)])
        curvature = u_penalty * jnp.abs(on.otf) ** 2 + v_penalty * on.power
        if s.w is not None and s.w_dual is not None:
            pull = pull + v_penalty * (s.w - s.w_dual)
            curvature = curvature + v_penalty
        target = fourier.transform(s.u - s.u_dual, on.shape)
        spectrum = u_penalty * jnp.conj(on.otf) * target
        spectrum = (spectrum + fourier.transform(pull, on.shape)) / curvature
        x = fourier.inverse(spectrum, on.shape, real=True)
        blurred, slopes = on.blurred(spectrum), on.differences(x)

        point = _relaxed(blurred, s.u) + s.u_dual
        u = self.fit(point, u_penalty)
        points = [_relaxed(a, b) + c for a, b, c in zip(slopes, s.v, s.v_dual)]
        v = self.shrink(points, weight / v_penalty)
        w = w_dual = None
        if s.w is not None and s.w_dual is not None:
            free = _relaxed(x, s.w) + s.w_dual
            w = free
            if self.boundary in ("zero", "reflect", "edge"):
                w = on.continued(w, self.boundary)
            if self.nonnegative:
                w = jnp.maximum(w, 0)
            w_dual = free - w
        duals = [a - b for a, b in zip(points, v)]
        state = _State(x, u, point - u, v, duals, w, w_dual)
        return state, self.objective(blurred, slopes, weight)

    def fit(self, point: Array, penalty: Array) -> Array:
        """Minimises l(u) + penalty / 2 (u - point)^2, each pixel by itself."""
        data, mask = self.on.data, self.mask
        if self.likelihood == "gaussian":
            return (mask * data + penalty * point) / (mask + penalty)
        half = (point - mask / penalty) / 2
        return half + jnp.sqrt(half**2 + mask * jnp.maximum(data, 0) / penalty)

    def shrink(self, slopes: list[Array], threshold: Array) -> list[Array]:
        """Minimises threshold |v|^power + |v - slopes|^2 / 2 (Zuo et al. 2013).

        Slopes that do not count stay as they are.
        """
        p = self.power
        length = self.length(slopes)
        if p == 1:
            share = jnp.maximum(1 - threshold / length, 0)
        else:
            least = (2 * threshold * (1 - p)) ** (1 / (2 - p))
            jump = least + threshold * p * least ** (p - 1)
            kept = length > jump
            safe = jnp.where(kept, length, 1)
            new = safe
            for _ in range(_SHRINKING_STEPS):
                new = safe - threshold * p * jnp.maximum(new, least) ** (p - 1)
            share = jnp.where(kept, new / safe, 0)
        if self.counted is None:
            return [share * s for s in slopes]
        return [jnp.where(m > 0, share, 1) * s for m, s in zip(self.counted, slopes)]

    def length(self, slopes: list[Array]) -> Array:
        """Of the slopes that count."""
        if self.counted is not None:
            slopes = [m * s for m, s in zip(self.counted, slopes)]
        return _length(slopes)

    def objective(self, blurred: Array, slopes: list[Array], weight: Array) -> Array:
        """Mean over the image's pixels, `[*batch]`."""
        on = self.on
        if self.likelihood == "gaussian":
            misfit = (blurred - on.data) ** 2 / 2
        else:
            least = jnp.finfo(blurred.dtype).eps * self.brightness
            model = jnp.maximum(blurred, least)
            misfit = model - jnp.maximum(on.data, 0) * jnp.log(model)
        rough = weight * self.length(slopes) ** self.power
        count = 1
        for n in on.size:
            count *= n
        return jnp.sum(self.mask * misfit + rough, on.axes) / count


def _relaxed(new: Array, old: Array) -> Array:
    return _RELAXATION * new + (1 - _RELAXATION) * old


def _length(slopes: list[Array]) -> Array:
    squares = sum((s**2 for s in slopes[1:]), start=slopes[0] ** 2)
    # A square root has no derivative at 0, where it is not needed either.
    return jnp.sqrt(jnp.maximum(squares, jnp.finfo(squares.dtype).tiny))


def _splitting(
    image: Array,
    blur: Blur,
    mask: Array | None,
    noise_std: Array,
    brightness: Array | None = None,
    *,
    likelihood: str,
    power: float,
    nonnegative: bool,
    boundary: str,
) -> _Splitting:
    """Scales that are told from the image: noise and brightness, above nothing."""
    on = frame(image, blur)
    tiny = jnp.finfo(image.dtype).tiny ** 0.5
    counts = on.mask
    if mask is not None:
        counts = on.place(jnp.broadcast_to(jnp.asarray(mask, image.dtype), image.shape))

    def cells(per_image):
        return jnp.expand_dims(per_image, on.axes)

    largest = jnp.max(jnp.abs(image), on.axes)
    floor = _LEAST_NOISE * largest + tiny
    if brightness is None:
        brightness = jnp.mean(image, on.axes)
    brightness = jnp.maximum(brightness, floor)
    return _Splitting(
        on=on,
        mask=counts,
        noise_std=cells(jnp.maximum(noise_std, floor)),
        brightness=cells(brightness),
        counted=on.counted_slopes(),
        likelihood=likelihood,
        power=power,
        nonnegative=nonnegative,
        boundary=boundary,
    )


_STATIC = ("likelihood", "power", "nonnegative", "boundary")


@functools.partial(jax.jit, static_argnames=("num_iters", *_STATIC))
def _solve(
    image: Array,
    blur: Blur,
    mask: Array | None,
    weight: Array,
    noise_std: Array,
    stop: float | None,
    brightness: Array | None,
    *,
    num_iters: int,
    **options,
) -> Solution:
    splitting = _splitting(image, blur, mask, noise_std, brightness, **options)
    on = splitting.on
    weight = jnp.expand_dims(weight, on.axes)
    state, done, history = iterate(
        lambda state: splitting.advance(state, weight),
        splitting.start(),
        num_iters=num_iters,
        stop=stop,
        change=lambda before, after: relative_change(before.x, after.x, len(on.axes)),
    )
    # Where more is known of the scene, the variable that keeps to it.
    scene = state.x if state.w is None else state.w
    return Solution(on.crop(scene), done, history)


@functools.partial(jax.jit, static_argnames=("criterion", *_STATIC))
def _choose_weight(
    image: Array,
    blur: Blur,
    mask: Array | None,
    noise_std: Array,
    *,
    criterion: str,
    **options,
) -> tuple[Array, Array]:
    """The weights tried, and the criterion at each, both `[weights, *batch]`."""
    splitting = _splitting(image, blur, mask, noise_std, **options)
    on = splitting.on
    std = splitting.noise_std
    if splitting.likelihood == "poisson":
        # The variance of a count is what is expected, which the blurred image tells.
        spectrum = fourier.transform(splitting.start().x, on.shape)
        mean = jnp.maximum(on.crop(on.blurred(spectrum)), 0)
        std = std * jnp.sqrt(mean / splitting.brightness + _LEAST_NOISE)
    std = jnp.broadcast_to(std, image.shape)

    def path(image: Array, tried: Array) -> Array:
        """A x under weights that fall, each solution begun where the last one ended."""
        here = splitting._replace(on=on._replace(data=on.place(image)))

        def at(state, weight):
            for_all = functools.partial(here.advance, weight=weight)
            state, _, _ = iterate(for_all, state, num_iters=weights.STEPS, stop=None)
            spectrum = fourier.transform(state.x, on.shape)
            return state, on.crop(on.blurred(spectrum))

        return jax.lax.scan(at, here.start(), tried)[1]

    unit = splitting.curvature * splitting.noise_std ** (2 - splitting.power)
    tried = weights.grid(image.dtype).reshape(-1, *[1] * unit.ndim) * unit
    counts = jnp.broadcast_to(on.crop(splitting.mask), image.shape)
    values = weights.criterion(
        criterion, lambda image: path(image, tried), image, counts, std, len(on.axes)
    )
    return jnp.squeeze(tried, on.axes), values
