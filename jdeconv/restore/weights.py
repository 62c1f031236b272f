"""How strong a prior should be: criteria that need no truth.

With r = y - A x(y) the misfit under a weight, n the number of pixels, and
d = div A x(y) / n how freely the fit follows the data:

    sure         |r / std|^2 / n - 1 + 2 d      the expected error of A x (Stein 1981)
    gcv          (|r / std|^2 / n) / (1 - d)^2  asks for no noise level (Golub, Heath
                                                and Wahba 1979)
    discrepancy  (|r / std|^2 / n - 1)^2        the misfit is the noise's (Morozov 1966)

The divergence is told from how the fit changes with noise added to the data (Ramani,
Blu and Unser 2008, "Monte-Carlo SURE: a black-box optimization of regularization
parameters for general denoising algorithms"). Where the noise differs from pixel to
pixel, std does, and d is of r / std.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jdeconv.restore.blur import Blur

CRITERIA = ("sure", "gcv", "discrepancy")
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
    return misfit - 1 + 2 * freedom


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
    count = 1
    for n in shape:
        count *= n
    if count <= _PIXELS:
        return image, blur, mask, boundary
    share = (_PIXELS / count) ** (1 / len(shape))
    sizes = [max(int(n * share), min(n, 2 * k)) for n, k in zip(shape, blur.psf.shape)]
    inside = (
        ...,
        *(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(shape, sizes)),
    )
    frame_shape = [m + k - 1 for m, k in zip(sizes, blur.psf.shape)]
    part = Blur(blur.psf, frame_shape, "valid", center=blur.center)
    return image[inside], part, None if mask is None else mask[inside], "unknown"
