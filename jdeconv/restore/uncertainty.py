"""How far a deblurred image can be trusted, pixel by pixel: the parametric bootstrap.

The estimate x is taken for the scene. It is measured again and again, with new noise,
and deblurred each time with the same numbers:

    y* = A x + noise,    x* = solve(y*)

How the x* scatter is how the estimate would scatter if the scene were measured again;
how far their mean is from x is what the prior does to a scene like x (Efron and
Tibshirani 1993, "An introduction to the bootstrap", chapters 6 and 10). Detail that the
estimate has lost altogether is in neither of the two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore import noise
from jdeconv.restore.blur import Blur
from jdeconv.restore.method import settle
from jdeconv.restore.problem import convolution


class Uncertainty(NamedTuple):
    """A deblurred image and its errors, all of the measured image's shape.

    Attributes:
      image: the estimate.
      std: standard deviation of the estimate over measurements of the same scene.
      bias: mean of the estimate over them, less the scene.
    """

    image: Array
    std: Array
    bias: Array


def uncertainty(
    key: Array,
    y: Array,
    psf: Array,
    *,
    num_samples: int = 32,
    batch_size: int = 8,
    method: str = "auto",
    noise_std: ArrayLike | None = None,
    likelihood: str = "gaussian",
    weight: ArrayLike | None = None,
    num_iters: int | None = None,
    boundary: str = "unknown",
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Uncertainty:
    """Deblurs an image, and says how uncertain each pixel is.

    Args:
      key: random key.
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF.
      psf: point spread function, no negative values; normalised to sum 1.
      num_samples: measurements drawn; the standard deviation is known to about
        1 / sqrt(2 num_samples) of itself.
      batch_size: how many are deblurred at a time: more need more memory.
      method, weight, num_iters, boundary, center, channel_axis: as of `deconvolve`.
        Weight and iterations are chosen once, on y.
      noise_std: of the noise, broadcast to `[*batch]`; for "poisson" in a pixel of mean
        brightness. Told from the image if None: then the weight is chosen with some
        room for an inexact PSF, as by `deconvolve`, the noise drawn without.
      likelihood: "gaussian", or "poisson" for photon counts.

    Returns:
      `Uncertainty`. Where the boundary is unknown, what lies beyond is taken to mirror
      the estimate.

    Raises:
      ValueError: as `deconvolve`; fewer than 2 samples, a batch_size below 1.

    >>> import jax, jax.numpy as jnp
    >>> from jdeconv.restore import psf
    >>> y = jax.random.uniform(jax.random.key(0), (32, 32))
    >>> found = uncertainty(jax.random.key(1), y, psf.gaussian(1.0), num_samples=4)
    >>> found.std.shape
    (32, 32)
    """
    if num_samples < 2:
        raise ValueError(f"num_samples={num_samples}: must be >= 2")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: must be >= 1")
    psf = jnp.asarray(psf)
    measured = convolution(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    image, num_axes = measured.image, psf.ndim
    solve = settle(
        image,
        psf,
        method=method,
        noise_std=noise_std,
        likelihood=likelihood,
        weight=weight,
        num_iters=num_iters,
        boundary=boundary,
        center=center,
        joint=channel_axis is not None,
        fixed=True,
    )
    spatial = tuple(range(-num_axes, 0))
    if noise_std is None:
        noise_std = noise.estimate_std(image, num_axes=num_axes)
    std = jnp.broadcast_to(
        jnp.asarray(noise_std, image.dtype), image.shape[: image.ndim - num_axes]
    )
    std = jnp.expand_dims(std, spatial)
    estimate = solve(image, boundary)
    around = "reflect" if boundary == "unknown" else boundary
    kernel = psf.astype(image.dtype) / jnp.sum(psf).astype(image.dtype)
    blur = Blur(kernel, image.shape[-num_axes:], around, center=center)
    expected = blur(estimate)
    brightness = jnp.mean(jnp.maximum(image, 0), spatial, keepdims=True)

    def deviation(key: Array) -> Array:
        """Of the estimate from another measurement of what was estimated."""
        if likelihood == "poisson":
            drawn = noise.poisson(key, expected, brightness / std**2)
        else:
            drawn = noise.gaussian(key, expected, std)
        return solve(drawn, boundary) - estimate

    keys = jax.random.split(key, num_samples)
    total = squares = jnp.zeros_like(estimate)
    for first in range(0, num_samples, batch_size):
        found = jax.vmap(deviation)(keys[first : first + batch_size])
        total = total + jnp.sum(found, 0)
        squares = squares + jnp.sum(found**2, 0)
    bias = total / num_samples
    variance = (squares - num_samples * bias**2) / (num_samples - 1)
    parts = (estimate, jnp.sqrt(jnp.maximum(variance, 0)), bias)
    return Uncertainty(*(measured.to_channels(part) for part in parts))
