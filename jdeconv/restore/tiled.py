"""`deconvolve` block by block: how large the blocks are, and what holds for all."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.restore import noise, tiles
from jdeconv.restore.integers import as_before, as_floats, integers
from jdeconv.restore.method import PIXELS, settle
from jdeconv.restore.problem import check, check_finite
from jdeconv.restore.weights import middle
from jdeconv.restore.wiener import likeliest_balances

# What a solver needs at once, in floats per pixel of its frame: by XLA's count, and
# some for the transforms' own (tests/restore/test_tiles.py).
_FLOATS = {
    "auto": 40,
    "wiener": 30,
    "total_variation": 40,
    "richardson_lucy": 28,
    "plug_and_play": 290,
    "bm3d": 400,
    "combined": 300,
}
_LEAST_BALANCE = 1e-3  # for how far the data reach, which grows without end below


def deconvolve_tiled(
    whole: np.ndarray,
    psf: Array,
    options: dict[str, Any],
    *,
    boundary: str,
    max_bytes: float,
    progress: tiles.Progress | None = None,
) -> np.ndarray | None:
    """An image in blocks, with weights and iterations chosen once, on its middle.

    Args:
      whole: `[*batch, *spatial]`, channels last among the batch axes, of any type that
        `deconvolve` takes.
      psf: point spread function.
      options: of `settle`, but for the boundary.
      boundary: "unknown" or "circular".
      max_bytes: memory to be used beside the image and the result.
      progress: told the blocks done and their number after each.

    Returns:
      Array of whole's shape and type, or None if the whole fits into the memory.

    Raises:
      ValueError: another boundary, memory too small for a block, or an image or PSF
        that `deconvolve` refuses.
    """
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
    image = as_floats(part)[0]
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
        prepare=lambda block: np.asarray(as_floats(block)[0]),
        devices=[None] if pinned else jax.local_devices(),
        progress=progress,
    )
    return np.asarray(as_before(result, integers(whole.dtype)))


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
