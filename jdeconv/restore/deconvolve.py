"""The one call most users need: method and strength chosen from image and noise."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore import noise, tiles
from jdeconv.restore.blur import Operator
from jdeconv.restore.method import LIKELIHOODS, METHODS, PIXELS, settle
from jdeconv.restore.problem import channels_to_batch, check, check_finite
from jdeconv.restore.weights import middle
from jdeconv.restore.wiener import likeliest_balances

__all__ = ["LIKELIHOODS", "METHODS", "deconvolve"]

_INTEGERS = ("uint8", "uint16", "uint32")
# What a solver needs at once, in floats per pixel of its frame: by XLA's count, and
# some for the transforms' own (tests/restore/test_tiles.py).
_FLOATS = {
    "auto": 40,
    "wiener": 30,
    "total_variation": 40,
    "richardson_lucy": 28,
    "plug_and_play": 290,
}
_LEAST_BALANCE = 1e-3  # for how far the data reach, which grows without end below


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
    max_bytes: float | None = None,
    progress: tiles.Progress | None = None,
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
        iteration changes the scene by less than 1e-3, 200 at most.
      boundary: "unknown" assumes nothing beyond the frame; or "circular", "zero",
        "reflect", "edge".
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; colours are deblurred one by one.
      max_bytes: memory to be used beside the image and the result. Where the whole
        image needs more it is solved in overlapping blocks, spread over the devices,
        with weights and iterations chosen once, on its middle; the result is numpy's.
        It differs from the whole one's by about 1e-3 of the range; more at the image's
        own border, where a solver has not converged, and by "plug_and_play".
      progress: called with the blocks done and their number after each of them.

    Returns:
      Array of y's shape and type (float32 for 16-bit floats).

    Raises:
      ValueError: an unknown method or likelihood, or one that does not go with the
        other; an image, PSF or weight that the method refuses; max_bytes that are too
        few for a block, or with a boundary that blocks do not have, or an operator.
      TypeError: numbers of another type, such as signed integers or booleans.

    >>> import jax.numpy as jnp
    >>> from jdeconv.restore import psf
    >>> y = jnp.zeros((32, 32), "uint8").at[8:24, 8:24].set(200)
    >>> deconvolve(y, psf.gaussian(1.0)).dtype
    dtype('uint8')
    """
    kernel = psf if isinstance(psf, Operator) else _kernel(psf)
    num_axes = kernel.num_axes if isinstance(kernel, Operator) else kernel.ndim
    options: dict[str, Any] = dict(
        method=method,
        noise_std=noise_std,
        likelihood=likelihood,
        weight=weight,
        num_iters=num_iters,
        center=center,
        joint=channel_axis is not None,
    )
    if max_bytes is not None:
        if isinstance(y, jax.core.Tracer) or isinstance(kernel, Operator):
            raise ValueError(
                f"max_bytes={max_bytes}: for images that are there, not inside jit, "
                "and PSFs, not operators"
            )
        whole: np.ndarray = channels_to_batch(np.asarray(y), channel_axis, num_axes)
        blended = _by_tiles(whole, kernel, boundary, max_bytes, progress, options)
        if blended is not None:
            if channel_axis is None:
                return blended
            return np.moveaxis(blended, -num_axes - 1, channel_axis)
    image, integers = _as_floats(y)
    image = channels_to_batch(image, channel_axis, num_axes)
    result = settle(image, kernel, boundary=boundary, **options)(image, boundary)
    if channel_axis is not None:
        result = jnp.moveaxis(result, -num_axes - 1, channel_axis)
    return _as_before(result, integers)


def _by_tiles(
    whole: np.ndarray,
    psf: Array,
    boundary: str,
    max_bytes: float,
    progress: tiles.Progress | None,
    options: dict[str, Any],
) -> np.ndarray | None:
    """None if the whole fits; channels are last among the batch axes, also after."""
    if boundary not in ("unknown", "circular"):
        raise ValueError(
            f"boundary={boundary!r}: with max_bytes only 'unknown' or 'circular'"
        )
    check(jax.ShapeDtypeStruct(whole.shape, jnp.float32), psf, boundary)
    check_finite(whole)
    first = whole.ndim - psf.ndim
    batch, shape = whole.shape[:first], whole.shape[first:]
    inside: Any = middle(shape, psf.shape, PIXELS)
    part = whole if inside is None else whole[(Ellipsis, *inside)]
    around = boundary if inside is None else "unknown"
    image = _as_floats(part)[0]
    far = tiles.reach(psf, _balance(image, psf, options))
    cut = tiles.tiling(
        shape,
        psf.shape,
        max_bytes=max_bytes,
        bytes_per_pixel=4 * _FLOATS[options["method"]] * math.prod(batch),
        # Within half of the PSF from a cut, light comes from where nothing is known.
        margin=[m + k // 2 for m, k in zip(far, psf.shape)],
        wraps=boundary == "circular",
    )
    if cut is None:
        return None
    solve = settle(image, psf, boundary=around, fixed=True, **options)
    pinned = jax.config.values["jax_default_device"] is not None
    result = tiles.solve_in_tiles(
        lambda block: solve(block, "unknown"),
        whole,
        cut,
        prepare=lambda block: np.asarray(_as_floats(block)[0]),
        devices=[None] if pinned else jax.local_devices(),
        progress=progress,
    )
    return np.asarray(_as_before(result, _integers(whole.dtype)))


def _balance(image: Array, psf: Array, options: dict[str, Any]) -> float:
    """Wiener's, the smallest of the batch."""
    if options["method"] == "wiener" and options["weight"] is not None:
        return max(float(jnp.min(jnp.asarray(options["weight"]))), _LEAST_BALANCE)
    noise_std = options["noise_std"]
    if noise_std is None:
        noise_std = noise.unexplained_std(image, num_axes=psf.ndim)
    batch = image.shape[: image.ndim - psf.ndim]
    std = jnp.broadcast_to(jnp.asarray(noise_std, image.dtype), batch)
    balances = likeliest_balances(image, psf / psf.sum(), std)
    return max(float(jnp.min(balances)), _LEAST_BALANCE)


def _kernel(psf: ArrayLike) -> Array:
    kernel = jnp.asarray(psf)
    floating = jnp.issubdtype(kernel.dtype, jnp.floating)
    return kernel if floating else kernel.astype(jnp.float32)


def _integers(dtype: np.dtype) -> np.dtype | None:
    return dtype if dtype.name in _INTEGERS else None


def _as_floats(y: ArrayLike) -> tuple[Array, np.dtype | None]:
    """The image as floats, and its type if it was of integers, whose white became 1."""
    dtype = np.dtype(getattr(y, "dtype", None) or np.asarray(y).dtype)
    if _integers(dtype) is not None:
        return jnp.asarray(y, jnp.float32) / float(np.iinfo(dtype).max), dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"y has dtype {dtype}: must be floating, or one of {', '.join(_INTEGERS)}; "
            "convert it first"
        )
    image = jnp.asarray(y)
    return image.astype(jnp.promote_types(image.dtype, jnp.float32)), None


def _as_before(
    result: Array | np.ndarray, dtype: np.dtype | None
) -> Array | np.ndarray:
    """The result as the type of integers that the image came in."""
    if dtype is None:
        return result
    white = float(np.iinfo(dtype).max)
    if isinstance(result, jax.core.Tracer):
        return jnp.round(result * white).clip(0, white).astype(dtype)
    # In float64: float32 has no room for 32-bit integers.
    wide = np.asarray(result, np.float64)
    return np.round(wide * white).clip(0, white).astype(dtype)
