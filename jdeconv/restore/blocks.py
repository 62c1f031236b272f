"""Cosine transforms of all blocks of an image, and the image that blocks make."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array


def cosines(n: int) -> np.ndarray:
    """The orthonormal DCT-II, a row per frequency."""
    matrix = np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n)
    matrix *= np.sqrt(2 / n)
    matrix[0] /= np.sqrt(2)
    return matrix


def coefficients(x: Array, matrix: Array) -> Array:
    """Of the block that starts at each pixel: `[*frequencies, *spatial]`.

    Blocks wrap around.
    """
    num_axes = x.ndim
    for axis in range(num_axes):
        at = axis - num_axes
        shifted = jnp.stack([jnp.roll(x, -i, at) for i in range(len(matrix))])
        x = jnp.moveaxis(jnp.tensordot(matrix, shifted, 1), 0, axis)
    return x


def blend(
    weighted: Array, weight: Array, matrix: Array, window: np.ndarray | None = None
) -> Array:
    """The image whose pixels are the weighted means over all blocks.

    Args:
      weighted: coefficients times weight, `[*frequencies, *spatial]`.
      weight: of the block that starts at each pixel; no pixel is in blocks without
        weight only.
      matrix: of `cosines`.
      window: further weights of a block's pixels, along each axis; 1 if None.
    """
    n, num_axes = len(matrix), weight.ndim
    shares = np.ones(n) if window is None else window

    def added(parts: Sequence[Array] | Array, at: int) -> Array:
        moved = [
            float(w) * jnp.roll(p, i, at) for i, (w, p) in enumerate(zip(shares, parts))
        ]
        return sum(moved[1:], start=moved[0])

    total, x = weight, weighted
    for axis in reversed(range(num_axes)):
        at = axis - num_axes
        x = added(jnp.tensordot(matrix, x, ((0,), (axis,))), at)
        total = added([total] * n, at)
    return x / total
