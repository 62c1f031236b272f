"""The power spectrum of an image, told from itself."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.ops import fourier

_LOWEST = 3.0  # periods per image below which the spectrum is not looked at


def periodogram(image: Array, *, periodic: bool = False) -> tuple[Array, Array]:
    """Power per frequency, and which of the frequencies count.

    The image is faded out towards its border, so that the jump from one side to the
    other does not count.

    Args:
      image: `[*spatial]`, without batch axes.
      periodic: the image goes on at its other side, and is not faded.

    Returns:
      Squared absolute values of the `fourier.transform` over the number of pixels:
      white noise has its variance everywhere. And an array of the same shape, 0 for the
      lowest frequencies, which hold what fading leaves of the mean, 1 for others.
    """
    window = jnp.ones((), image.dtype)
    for axis, n in enumerate(image.shape if not periodic else ()):
        fade = jnp.sin(jnp.pi * (jnp.arange(n, dtype=image.dtype) + 0.5) / n) ** 2
        window = window * fade.reshape(
            [-1 if a == axis else 1 for a in range(image.ndim)]
        )
    window = window / jnp.sqrt(jnp.mean(window**2))
    mean = jnp.sum(window * image) / jnp.sum(window * jnp.ones_like(image))
    spectrum = fourier.transform(window * (image - mean), image.shape)
    power = jnp.abs(spectrum) ** 2 / image.size
    periods = [np.minimum(np.arange(n), n - np.arange(n)) for n in image.shape]
    periods[-1] = periods[-1][: power.shape[-1]]
    counts = squares(periods) > _LOWEST**2
    return power, jnp.asarray(counts, image.dtype)


def unevenness(images: Array, num_axes: int) -> Array:
    """How far images are from white: the mean of P^2 over the squared mean of P.

    P is the power at each frequency but 0. By Parseval the autocorrelation's energy
    over its squared peak: 2 for white noise, and larger for any pattern. The wrapping
    of the transform counts as if it were a part of the image.

    Args:
      images: `[*batch, *spatial]`.
      num_axes: number of spatial axes.

    Returns:
      `[*batch]`.
    """
    axes = tuple(range(-num_axes, 0))
    shape = images.shape[images.ndim - num_axes :]
    images = images - jnp.mean(images, axes, keepdims=True)
    power = jnp.abs(fourier.transform(images, shape)) ** 2
    # Of the last axis only half is there: its columns stand for two, but for the ends.
    n = shape[-1]
    column = np.arange(n // 2 + 1)
    times = np.where((column == 0) | (2 * column == n), 1.0, 2.0).astype(power.dtype)
    mean = jnp.sum(times * power, axes, keepdims=True) / math.prod(shape)
    tiny = jnp.finfo(power.dtype).tiny
    power = power / jnp.maximum(mean, tiny)  # now: float32 has no room for its square
    return jnp.sum(times * power**2, axes) / math.prod(shape)


def squared_frequency(shape: tuple[int, ...], dtype) -> Array:
    """|w|^2 in radians per pixel, of the frequencies of `fourier.transform`."""
    axes = [2 * np.pi * np.fft.fftfreq(n) for n in shape]
    axes[-1] = axes[-1][: shape[-1] // 2 + 1]
    return jnp.asarray(squares(axes), dtype)


def squares(axes: list[np.ndarray]) -> np.ndarray:
    """Sum of the squares of one coordinate per axis, on their grid."""
    grids = np.meshgrid(*(a**2.0 for a in axes), indexing="ij", sparse=True)
    return np.asarray(sum(grids))
