"""Noise: drawing it, and telling its level from one image.

    gaussian          y = x + std n
    poisson           y = Poisson(peak x) / peak
    poisson_gaussian  y = Poisson(peak x) / peak + std n

with n standard normal. `peak` is how many photons a pixel of value 1 catches, so the
variance of a Poisson pixel is x / peak.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

# Daubechies' highpass filter with two vanishing moments: blind to flat areas and ramps.
_HIGHPASS = (-0.48296291314453, 0.83651630373781, -0.22414386804201, -0.12940952255126)
_MEDIAN = 0.6744897501960817  # of |n|, n standard normal
_PSF_ERROR = 0.03  # of the contrast


def gaussian(key: Array, x: Array, std: ArrayLike) -> Array:
    """The image with additive white Gaussian noise.

    Args:
      key: random key.
      x: floating image of any shape.
      std: standard deviation in the image's units, >= 0, broadcast to x.

    Returns:
      Array of x's shape and type.
    """
    _check(x)
    std = jnp.asarray(_at_least_zero("std", std), x.dtype)
    return x + std * jax.random.normal(key, x.shape, x.dtype)


def poisson(key: Array, x: Array, peak: ArrayLike) -> Array:
    """The image seen by counting photons.

    Args:
      key: random key.
      x: floating image of any shape; values below 0 count as 0.
      peak: expected photons in a pixel of value 1, > 0, broadcast to x.

    Returns:
      Counts divided by peak, of x's shape and type.
    """
    _check(x)
    peak = jnp.asarray(_positive("peak", peak), x.dtype)
    counts = jax.random.poisson(key, jnp.maximum(x, 0) * peak, x.shape)
    return counts.astype(x.dtype) / peak


def poisson_gaussian(key: Array, x: Array, peak: ArrayLike, std: ArrayLike) -> Array:
    """Photons counted by a camera that adds Gaussian noise of its own.

    Args, Returns: as `poisson`, and std as in `gaussian`.
    """
    photons, camera = jax.random.split(key)
    return gaussian(camera, poisson(photons, x, peak), std)


def estimate_std(y: Array, *, num_axes: int = 2) -> Array:
    """The standard deviation of white Gaussian noise in one image.

    The median of absolute values of its finest diagonal wavelet coefficients, over that
    of the normal distribution (Donoho and Johnstone 1994, "Ideal spatial adaptation by
    wavelet shrinkage", section 4.2). What detail a blur has left there is counted too:
    little for blurred images, much for sharp textures.

    Args:
      y: `[*batch, *spatial]`, floating.
      num_axes: number of spatial axes, at the end.

    Returns:
      `[*batch]`.

    Raises:
      ValueError: fewer than 4 pixels on a spatial axis, or integers.
    """
    _check(y)
    spatial = tuple(range(-num_axes, 0))
    if y.ndim < num_axes or any(y.shape[a] < len(_HIGHPASS) for a in spatial):
        raise ValueError(
            f"y of shape {y.shape}: its last {num_axes} axes must have at least "
            f"{len(_HIGHPASS)} pixels each"
        )
    for axis in spatial:
        count = y.shape[axis] - len(_HIGHPASS) + 1
        y = sum(
            (
                c * jax.lax.slice_in_dim(y, i, i + count, axis=axis % y.ndim)
                for i, c in enumerate(_HIGHPASS)
            ),
            start=jnp.zeros((), y.dtype),
        )
    return jnp.median(jnp.abs(y), axis=spatial) / _MEDIAN


def unexplained_std(y: Array, *, num_axes: int = 2) -> Array:
    """The standard deviation of what no scene explains: noise, and the PSF's errors.

    sqrt(estimate_std(y)^2 + (0.03 std(y))^2): a measured PSF is seldom better than a
    few percent, and what it gets wrong is that share of the image's contrast. Solvers
    reckon with it where the noise is not stated; who knows the PSF exactly states it.

    Args, Returns, Raises: as `estimate_std`.
    """
    spatial = tuple(range(-num_axes, 0))
    model = _PSF_ERROR * jnp.std(y, axis=spatial)
    return jnp.sqrt(estimate_std(y, num_axes=num_axes) ** 2 + model**2)


def _check(x: Array) -> None:
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"image of {x.dtype}: must be floating; convert it first")


def _at_least_zero(name: str, value: ArrayLike) -> ArrayLike:
    if isinstance(value, (int, float)) and not value >= 0:
        raise ValueError(f"{name}={value!r}: must be >= 0")
    return value


def _positive(name: str, value: ArrayLike) -> ArrayLike:
    if isinstance(value, (int, float)) and not value > 0:
        raise ValueError(f"{name}={value!r}: must be > 0")
    return value
