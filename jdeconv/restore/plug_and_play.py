"""Plug-and-play: a denoiser says what scenes look like, the blur what was measured.

    x <- argmin of |A x - y|^2 / noise_std^2 + prior_weight |x - z|^2 / std^2
    z <- denoiser(x, std)

with std falling from the image's contrast to the level of its noise (half quadratic
splitting, Zoran and Weiss 2011, "From learning models of natural image patches to whole
image restoration"; with any denoiser Zhang et al. 2017, "Learning deep CNN denoiser
prior for image restoration"). For counts of photons the noise of a pixel is that of its
expected count, which the last A x tells.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jdeconv.ops import fourier
from jdeconv.restore import denoisers, noise
from jdeconv.restore.blur import Blur
from jdeconv.restore.frame import frame
from jdeconv.restore.problem import (
    LIKELIHOODS,
    Solution,
    check_noise,
    convolution,
)

START = 0.6  # std of the first denoising, in standard deviations of the image
_LEAST_NOISE = 1e-3  # of the brightest pixel, where less is found or said
_BLUR_PENALTY = 0.05  # of the blurred scene as a variable of its own, in curvatures
_INNER_STEPS = 8  # of the data step, where what lies beyond the frame is unknown
_RELAXATION = 1.8
_LEAST_COUNT = 0.05  # of the brightness: pixels are trusted as if no dimmer


def plug_and_play(
    y: Array,
    psf: Array,
    *,
    noise_std: ArrayLike | None = None,
    likelihood: str = "gaussian",
    brightness: ArrayLike | None = None,
    denoiser: denoisers.Denoiser | None = None,
    prior_weight: float = 0.3,
    start_std: ArrayLike | None = None,
    num_iters: int = 12,
    boundary: str = "unknown",
    mask: Array | None = None,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Solution:
    """Deblurs with a denoiser as the prior.

    Args:
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF.
      psf: point spread function, no negative values; normalised to sum 1.
      noise_std: of the noise, broadcast to `[*batch]` (channels last among them), for
        counts in a pixel of that `brightness`; `noise.unexplained_std` if None.
      likelihood: "gaussian", or "poisson" for counts of photons, in any unit.
      brightness: broadcast to `[*batch]`; the image's mean if None.
      denoiser: from images `[*batch, *frame]` and the standard deviation of their noise
        `[*batch, 1, ...]` to images; `denoisers.dct` if None, which `denoisers.bm3d`
        surpasses where the noise is what it is said to be. A function of a network's
        parameters works under grad if it is made of them inside.
      prior_weight: > 0, how much the denoised image counts against the measured one.
      start_std: what the first denoising takes the noise to be, broadcast to
        `[*batch]`; 0.6 of the image's standard deviation if None.
      num_iters: denoisings.
      boundary: "unknown" estimates the scene on a frame larger by psf - 1 and assumes
        nothing beyond it; or "circular", "zero", "reflect", "edge".
      mask: broadcast to y; 0 for pixels to leave out (dead or saturated), 1 for others.
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; channels are deblurred one by one, unless the denoiser looks
        at them together.

    Returns:
      `Solution`, its image the last one denoised; its history is the mean over pixels
      of (A x - y)^2 / 2, of counts with the pixel's weight.

    Raises:
      ValueError: see `problem.convolution`; an unknown likelihood, num_iters below 1, a
        prior_weight that is not positive, a negative noise_std.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood={likelihood!r}: must be one of {', '.join(LIKELIHOODS)}"
        )
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters}: must be >= 1")
    if isinstance(prior_weight, (int, float)) and not prior_weight > 0:
        raise ValueError(f"prior_weight={prior_weight}: must be > 0")
    check_noise(noise_std)
    measured = convolution(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    image, num_axes = measured.image, psf.ndim
    if noise_std is None:
        noise_std = noise.unexplained_std(image, num_axes=num_axes)
    if start_std is None:
        start_std = START * jnp.std(image, tuple(range(-num_axes, 0)))
    if brightness is None:
        brightness = jnp.mean(image, tuple(range(-num_axes, 0)))
    batch = image.shape[: image.ndim - num_axes]
    solution = _solve(
        image,
        measured.blur,
        mask,
        jnp.broadcast_to(jnp.asarray(noise_std, image.dtype), batch),
        jnp.broadcast_to(jnp.asarray(start_std, image.dtype), batch),
        jnp.broadcast_to(jnp.asarray(brightness, image.dtype), batch),
        jnp.asarray(prior_weight, image.dtype),
        denoiser=denoiser,
        num_iters=num_iters,
        boundary=boundary,
        likelihood=likelihood,
    )
    return solution._replace(image=measured.to_channels(solution.image))


@functools.partial(
    jax.jit, static_argnames=("denoiser", "num_iters", "boundary", "likelihood")
)
def _solve(
    image: Array,
    blur: Blur,
    mask: Array | None,
    noise_std: Array,
    start_std: Array,
    brightness: Array,
    prior_weight: Array,
    *,
    denoiser: denoisers.Denoiser | None,
    num_iters: int,
    boundary: str,
    likelihood: str,
) -> Solution:
    on = frame(image, blur)
    axes = on.axes
    if denoiser is None:
        denoiser = functools.partial(denoisers.dct, num_axes=len(axes))
    counted = on.mask
    if mask is not None:
        counted = on.place(
            jnp.broadcast_to(jnp.asarray(mask, image.dtype), image.shape)
        )
    floor = _LEAST_NOISE * jnp.max(jnp.abs(image), axes, keepdims=True)
    floor = floor + jnp.finfo(image.dtype).tiny ** 0.5
    std = jnp.maximum(jnp.expand_dims(noise_std, axes), floor)
    first = jnp.maximum(jnp.expand_dims(start_std, axes), std)
    # The levels fall by equal factors.
    shares = jnp.linspace(1, 0, num_iters, dtype=image.dtype)
    shares = shares.reshape(-1, *[1] * image.ndim)
    levels = std * (first / std) ** shares
    power = jnp.abs(on.otf) ** 2
    bright = jnp.maximum(jnp.expand_dims(brightness, axes), floor)

    def denoise(state, level):
        u, u_dual, z, seen = state
        trust = counted
        if likelihood == "poisson":
            trust = counted * bright / jnp.maximum(seen, _LEAST_COUNT * bright)
        weight = prior_weight * (std / level) ** 2

        def fit(state, _):
            """One step towards the scene nearest to z that explains the data."""
            u, u_dual, _ = state
            target = fourier.transform(u - u_dual, on.shape)
            target = _BLUR_PENALTY * jnp.conj(on.otf) * target
            target = target + weight * fourier.transform(z, on.shape)
            spectrum = target / (_BLUR_PENALTY * power + weight)
            blurred = on.blurred(spectrum)
            point = _RELAXATION * blurred + (1 - _RELAXATION) * u + u_dual
            u = (trust * on.data + _BLUR_PENALTY * point) / (trust + _BLUR_PENALTY)
            return (u, point - u, spectrum), blurred

        nothing = jnp.zeros(jnp.broadcast_shapes(z.shape[:-1] + power.shape[-1:]))
        nothing = nothing.astype(jnp.result_type(on.otf))
        (u, u_dual, spectrum), blurred = lax.scan(
            fit, (u, u_dual, nothing), length=_INNER_STEPS
        )
        x = fourier.inverse(spectrum, on.shape, real=True)
        z = denoiser(x, level)
        if boundary in ("zero", "reflect", "edge"):
            z = on.continued(z, boundary)
        misfit = on.crop(trust * (blurred[-1] - on.data) ** 2 / 2)
        return (u, u_dual, z, blurred[-1]), jnp.mean(misfit, axes)

    start, u = on.begin()  # u is noisy, and `seen`, which says whom to trust, is not
    seen = on.blurred(fourier.transform(start, on.shape))
    state = (u, jnp.zeros_like(u), start, seen)
    (_, _, z, _), history = lax.scan(denoise, state, levels)
    return Solution(on.crop(z), jnp.asarray(num_iters), history)
