"""How strong a prior should be: criteria that need no truth.

With r = y - A x(y) the misfit under a weight, n the number of pixels, and
d = div A x(y) / n how freely the fit follows the data:

    sure         |r / std|^2 / n - 1 + 2 d      the expected error of A x (Stein 1981)
    gcv          (|r / std|^2 / n) / (1 - d)^2  asks for no noise level (Golub, Heath
                                                and Wahba 1979)
    discrepancy  (|r / std|^2 / n - 1)^2        the misfit is the noise's (Morozov 1966)
    whiteness    mean P^2 / (mean P)^2          the misfit is white, as noise is: P is
                                                the power spectrum of r / std (Lanza,
                                                Pragliola and Sgallari 2020)

"whiteness" asks for no noise level, and errors of the PSF mislead it least: a weight
that is too small or too large leaves a pattern in the misfit. "unstated", for noise
that nobody stated, is "sure" where noise is most of what std has been reckoned to be,
and "whiteness" where that is errors of the PSF.

The divergence is told from how the fit changes with noise added to the data (Ramani,
Blu and Unser 2008, "Monte-Carlo SURE: a black-box optimization of regularization
parameters for general denoising algorithms"). Where the noise differs from pixel to
pixel, std does, and d is of r / std.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jdeconv.restore import noise
from jdeconv.restore.blur import Blur
from jdeconv.restore.spectrum import unevenness

CRITERIA = ("sure", "gcv", "discrepancy", "whiteness", "unstated")
STEPS = 15  # iterations per weight, each begun at the last one's end
_PROBE = 0.3  # noise added to the data, in noise levels
_PIXELS = 2**16  # of larger images the centre tells the weight


def check(name: str, argument: str = "weight") -> None:
    """Raises ValueError for what is none of CRITERIA."""
    if name not in CRITERIA:
        raise ValueError(
            f"{argument}={name!r}: must be a number or one of {', '.join(CRITERIA)}"
        )


def grid(dtype) -> Array:
    """Falling weights, in units of noise^(2 - power) times the data's curvature."""
    return 2.0 ** jnp.arange(0.5, -6.6, -0.5, dtype=dtype)


def criterion(
    name: str,
    fit: Callable[[Array], Array],
    y: Array,
    counts: Array,
    std: Array,
    num_axes: int,
) -> Array:
    """The criterion under each weight, for each image.

    Args:
      name: one of CRITERIA.
      fit: from data of y's shape to A x under each weight, `[weights, *y.shape]`.
      y: measured image `[*batch, *spatial]`.
      counts: of y's shape, 1 for pixels that count and 0 for others.
      std: of the noise in each pixel, of y's shape.
      num_axes: number of spatial axes.

    Returns:
      `[weights, *batch]`; the best weight is where it is smallest.
    """
    spatial = tuple(range(-num_axes, 0))
    number = jnp.sum(counts, spatial)

    def mean(values):
        return jnp.sum(counts * values, spatial) / number

    fitted = fit(y)
    pattern = unevenness(counts * (y - fitted) / std, num_axes)
    if name == "whiteness":
        return pattern
    misfit = mean(((y - fitted) / std) ** 2)
    if name == "discrepancy":
        return (misfit - 1) ** 2
    # Always the same draw, so that the same image has the same weight; of a key that
    # nobody draws the noise of a test from, with which it must not be correlated.
    probe = jax.random.normal(jax.random.key(19810601), y.shape, y.dtype)
    moved = fit(y + _PROBE * std * probe) - fitted
    freedom = mean(probe * moved / (_PROBE * std))
    if name == "gcv":
        return misfit / jnp.maximum(1 - freedom, 1e-3) ** 2
    sure = misfit - 1 + 2 * freedom
    if name == "unstated":
        found = noise.estimate_std(y, num_axes=num_axes) ** 2
        return jnp.where(2 * found > mean(std**2), sure, pattern)
    return sure


def minimum(tried: Array, values: Array, *, joint: bool) -> Array:
    """The weight where the criterion is smallest, by a parabola through its logarithm.

    Args:
      tried, values: `[weights, *batch]`.
      joint: one weight for all of the last batch axis, the channels.

    Returns:
      `[*batch]`.
    """
    if joint:
        values = jnp.broadcast_to(jnp.mean(values, -1, keepdims=True), values.shape)
        logs = jnp.log(tried)
        logs = jnp.broadcast_to(jnp.mean(logs, -1, keepdims=True), logs.shape)
    else:
        logs = jnp.log(tried)
    best = jnp.clip(jnp.argmin(values, 0), 1, len(values) - 2)[None]

    def at(array, shift):
        return jnp.take_along_axis(array, best + shift, 0)[0]

    low, middle, high = (at(values, i) for i in (-1, 0, 1))
    bend = low - 2 * middle + high
    shift = jnp.where(bend > 0, (low - high) / (2 * jnp.where(bend > 0, bend, 1)), 0)
    step = at(logs, 1) - at(logs, 0)
    return jnp.exp(at(logs, 0) + jnp.clip(shift, -1, 1) * step)


def center_of(
    image: Array, blur: Blur, mask: Array | None, boundary: str
) -> tuple[Array, Blur, Array | None, str]:
    """What the weight is chosen on: an image of 2^16 pixels at most, from the middle.

    What lies beyond a part of an image is unknown, whatever is beyond the whole.
    """
    shape = blur.output_shape
    if mask is not None:
        mask = jnp.broadcast_to(jnp.asarray(mask, image.dtype), image.shape)
    inside = middle(shape, blur.psf.shape, _PIXELS)
    if inside is None:
        return image, blur, mask, boundary
    sizes = [s.stop - s.start for s in inside]
    frame_shape = [m + k - 1 for m, k in zip(sizes, blur.psf.shape)]
    part = Blur(blur.psf, frame_shape, "valid", center=blur.center)
    index = (..., *inside)
    return image[index], part, None if mask is None else mask[index], "unknown"


def middle(
    shape: Sequence[int], window: Sequence[int], pixels: int
) -> tuple[slice, ...] | None:
    """Where about so many pixels are, in the middle, or None if there are no more.

    On each axis at least two windows, if the image has them.
    """
    count = math.prod(shape)
    if count <= pixels:
        return None
    share = (pixels / count) ** (1 / len(shape))
    sizes = [max(int(n * share), min(n, 2 * k)) for n, k in zip(shape, window)]
    starts = [(n - m) // 2 for n, m in zip(shape, sizes)]
    return tuple(slice(start, start + m) for start, m in zip(starts, sizes))
