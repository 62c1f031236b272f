"""The one call most users need: method and strength chosen from image and noise."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore.blur import Operator
from jdeconv.restore.plug_and_play import plug_and_play
from jdeconv.restore.richardson_lucy import richardson_lucy
from jdeconv.restore.total_variation import LIKELIHOODS, total_variation
from jdeconv.restore.wiener import wiener

METHODS = ("auto", "wiener", "richardson_lucy", "total_variation", "plug_and_play")
_MOST_ITERATIONS = 200  # of Richardson-Lucy, which stops by itself
_STOP = 1e-3  # when an iteration changes the scene by less
_INTEGERS = ("uint8", "uint16", "uint32")


def deconvolve(
    y: ArrayLike,
    psf: ArrayLike | Operator,
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
      psf: point spread function, no negative values; normalised to sum 1. Or an
        operator, such as `VaryingBlur`, for method "richardson_lucy".
      method: "wiener", "richardson_lucy", "total_variation", "plug_and_play" or "auto":
        total variation, which is close behind the last, and faster
        (docs/deblurring.md).
      noise_std: standard deviation of the noise, where 1 is white for integers; told
        from the image if None, with some room for an inexact PSF.
      likelihood: "gaussian", or "poisson" for photon counts: then total variation takes
        the noise to grow with the brightness, as Richardson-Lucy always does.
      weight: of the method's regularisation (`wiener`'s balance, the others' total
        variation); chosen from the noise if None, but 0 for an operator.
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
    if likelihood == "poisson" and method in ("wiener", "plug_and_play"):
        raise ValueError(
            "likelihood='poisson': for methods total_variation and richardson_lucy, "
            f"not for {method}"
        )
    if weight is not None and method == "plug_and_play":
        raise ValueError(f"weight={weight!r}: plug_and_play has none; leave it out")
    image, integers = _as_floats(y)
    shared: dict[str, Any] = dict(
        boundary=boundary, center=center, channel_axis=channel_axis
    )
    if num_iters is not None:
        shared["num_iters"] = num_iters
    if method == "richardson_lucy":
        shared.setdefault("num_iters", _MOST_ITERATIONS)
        chosen: Any = 0.0 if isinstance(psf, Operator) else "sure"
        result = richardson_lucy(
            image,
            psf if isinstance(psf, Operator) else _kernel(psf),
            acceleration="biggs-andrews",
            tv_weight=chosen if weight is None else weight,
            noise_std=noise_std,
            stop=_STOP,
            **shared,
        ).image
        return _as_before(result, integers)
    kernel: Any = psf if isinstance(psf, Operator) else _kernel(psf)
    if method == "wiener":
        result = wiener(image, kernel, balance=weight, noise_std=noise_std, **shared)
    elif method == "plug_and_play":
        result = plug_and_play(image, kernel, noise_std=noise_std, **shared).image
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


def _kernel(psf: ArrayLike) -> Array:
    kernel = jnp.asarray(psf)
    floating = jnp.issubdtype(kernel.dtype, jnp.floating)
    return kernel if floating else kernel.astype(jnp.float32)


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
