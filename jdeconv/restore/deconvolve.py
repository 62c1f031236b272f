"""The one call most users need: method and strength chosen from image and noise."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore import tiles
from jdeconv.restore.blur import Operator
from jdeconv.restore.integers import as_before, as_floats
from jdeconv.restore.method import LIKELIHOODS, METHODS, settle
from jdeconv.restore.problem import channels_to_batch
from jdeconv.restore.tiled import deconvolve_tiled

__all__ = ["LIKELIHOODS", "METHODS", "deconvolve"]


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
      method: "wiener", "richardson_lucy", "total_variation", "plug_and_play"; "bm3d":
        plug-and-play with `denoisers.bm3d`, slower; "combined": the mean of plug-and-
        play, of total variation, and of that with power 0.8, which do not err alike; or
        "auto": total variation, which is close behind, and faster (docs/deblurring.md).
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
        blended = deconvolve_tiled(
            whole,
            kernel,
            options,
            boundary=boundary,
            max_bytes=max_bytes,
            progress=progress,
        )
        if blended is not None:
            if channel_axis is None:
                return blended
            return np.moveaxis(blended, -num_axes - 1, channel_axis)
    image, dtype = as_floats(y)
    image = channels_to_batch(image, channel_axis, num_axes)
    result = settle(image, kernel, boundary=boundary, **options)(image, boundary)
    if channel_axis is not None:
        result = jnp.moveaxis(result, -num_axes - 1, channel_axis)
    return as_before(result, dtype)


def _kernel(psf: ArrayLike) -> Array:
    kernel = jnp.asarray(psf)
    floating = jnp.issubdtype(kernel.dtype, jnp.floating)
    return kernel if floating else kernel.astype(jnp.float32)
