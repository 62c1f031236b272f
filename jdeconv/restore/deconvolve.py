"""The one call most users need: method and strength chosen from image and noise."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore.richardson_lucy import richardson_lucy
from jdeconv.restore.total_variation import LIKELIHOODS, total_variation
from jdeconv.restore.wiener import wiener

METHODS = ("auto", "wiener", "richardson_lucy", "total_variation")
_MOST_ITERATIONS = 200  # of Richardson-Lucy, which stops by itself
_STOP = 1e-3  # when an iteration changes the scene by less
_INTEGERS = ("uint8", "uint16", "uint32")


def deconvolve(
    y: ArrayLike,
    psf: ArrayLike,
    *,
    method: str = "auto",
    noise_std: ArrayLike | None = None,
    likelihood: str = "gaussian",
    weight: ArrayLike | None = None,
    num_iters: int | None = None,
    boundary: str = "unknown",
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Array | np.ndarray:
    """The scene behind a blurred image.

    Args:
      y: measured image `[*batch, *spatial]`, as many spatial axes as the PSF. Floats in
        any range; uint8, uint16 and uint32 count from 0 to 1 at their largest value,
        and the result is rounded and cut off to their type.
      psf: point spread function, no negative values; normalised to sum 1.
      method: "wiener", "richardson_lucy", "total_variation", or "auto": the last, which
        does best on photographs at every noise level measured (docs/deblurring.md).
      noise_std: standard deviation of the noise, where 1 is white for integers; told
        from the image if None, with some room for an inexact PSF.
      likelihood: "gaussian", or "poisson" for photon counts: then total variation takes
        the noise to grow with the brightness, as Richardson-Lucy always does.
      weight: of the method's regularisation (`wiener`'s balance, the others' total
        variation); chosen from the noise if None.
      num_iters: of the method; if None its own default, for Richardson-Lucy until an
        iteration changes the scene by less than 1e-3.
      boundary: "unknown" assumes nothing beyond the frame; or "circular", "zero",
        "reflect", "edge".
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; colours are deblurred one by one.

    Returns:
      Array of y's shape and type (float32 for 16-bit floats).

    Raises:
      ValueError: an unknown method or likelihood, or one that does not go with the
        other; an image, PSF or weight that the method refuses.
      TypeError: numbers of another type, such as signed integers or booleans.

    >>> import jax.numpy as jnp
    >>> from jdeconv.restore import psf
    >>> y = jnp.zeros((32, 32), "uint8").at[8:24, 8:24].set(200)
    >>> deconvolve(y, psf.gaussian(1.0)).dtype
    dtype('uint8')
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood={likelihood!r}: must be one of {', '.join(LIKELIHOODS)}"
        )
    if likelihood == "poisson" and method == "wiener":
        raise ValueError(
            "likelihood='poisson': for methods total_variation and richardson_lucy, "
            "not for wiener"
        )
    image, integers = _as_floats(y)
    kernel = jnp.asarray(psf)
    if not jnp.issubdtype(kernel.dtype, jnp.floating):
        kernel = kernel.astype(jnp.float32)
    shared: dict[str, Any] = dict(
        boundary=boundary, center=center, channel_axis=channel_axis
    )
    if num_iters is not None:
        shared["num_iters"] = num_iters
    if method == "wiener":
        result = wiener(image, kernel, balance=weight, noise_std=noise_std, **shared)
    elif method == "richardson_lucy":
        shared.setdefault("num_iters", _MOST_ITERATIONS)
        result = richardson_lucy(
            image,
            kernel,
            acceleration="biggs-andrews",
            tv_weight="sure" if weight is None else weight,
            noise_std=noise_std,
            stop=_STOP,
            **shared,
        ).image
    else:
        result = total_variation(
            image,
            kernel,
            weight=weight,
            noise_std=noise_std,
            likelihood=likelihood,
            **shared,
        ).image
    return _as_before(result, integers)


def _as_floats(y: ArrayLike) -> tuple[Array, np.dtype | None]:
    """The image as floats, and its type if it was of integers, whose white became 1."""
    dtype = np.dtype(getattr(y, "dtype", None) or np.asarray(y).dtype)
    if dtype.name in _INTEGERS:
        return jnp.asarray(y, jnp.float32) / float(np.iinfo(dtype).max), dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"y has dtype {dtype}: must be floating, or one of {', '.join(_INTEGERS)}; "
            "convert it first"
        )
    image = jnp.asarray(y)
    return image.astype(jnp.promote_types(image.dtype, jnp.float32)), None


def _as_before(result: Array, dtype: np.dtype | None) -> Array | np.ndarray:
    """The result as the type of integers that the image came in."""
    if dtype is None:
        return result
    white = float(np.iinfo(dtype).max)
    if isinstance(result, jax.core.Tracer):
        return jnp.round(result * white).clip(0, white).astype(dtype)
    # In float64: float32 has no room for 32-bit integers.
    wide = np.asarray(result, np.float64)
    return np.round(wide * white).clip(0, white).astype(dtype)
