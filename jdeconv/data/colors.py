"""Luma and chroma of ITU-R BT.601 in their 8-bit ranges, as super-resolution is judged.

Y runs from 16 to 235, Cb and Cr from 16 to 240; this is MATLAB's rgb2ycbcr.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

_MATRIX = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
)
_OFFSET = np.array([16.0, 128.0, 128.0])
_INVERSE = np.linalg.inv(_MATRIX)


def rgb_to_ycbcr(rgb: ArrayLike) -> Array:
    """Y Cb Cr = (M rgb + (16, 128, 128)) / 255, M of BT.601.

    Args:
      rgb: `[..., 3]`, floating, 0 to 1.

    Returns:
      Likewise, Y from 16 / 255 to 235 / 255.

    Raises:
      ValueError: the last axis is not 3.

    >>> [round(float(v), 3) for v in 255 * rgb_to_ycbcr(jnp.ones(3))]
    [235.0, 128.0, 128.0]
    """
    rgb = _colors("rgb", rgb)
    matrix = jnp.asarray(_MATRIX.T / 255, rgb.dtype)
    return jnp.matmul(rgb, matrix, precision="highest") + jnp.asarray(
        _OFFSET / 255, rgb.dtype
    )


def ycbcr_to_rgb(ycbcr: ArrayLike) -> Array:
    """The inverse of `rgb_to_ycbcr`, not clipped.

    Args:
      ycbcr: `[..., 3]`, floating.

    Raises:
      ValueError: the last axis is not 3.
    """
    ycbcr = _colors("ycbcr", ycbcr)
    centred = ycbcr - jnp.asarray(_OFFSET / 255, ycbcr.dtype)
    matrix = jnp.asarray(_INVERSE.T * 255, ycbcr.dtype)
    return jnp.matmul(centred, matrix, precision="highest")


def luma(image: np.ndarray) -> np.ndarray:
    """Y of 8-bit RGB, rounded to 8 bits; a grey image is its own luma.

    Args:
      image: uint8 `[..., 3]` or `[..., 1]`.

    Returns:
      uint8 `[..., 1]`.

    Raises:
      TypeError: image is not uint8.

    >>> luma(np.array([[255, 255, 255], [255, 0, 0]], np.uint8))[:, 0].tolist()
    [235, 81]
    """
    if image.dtype != np.uint8:
        raise TypeError(f"image has dtype {image.dtype}: must be uint8")
    if image.shape[-1] == 1:
        return image
    # In float64 and on the host: float32 rounds some halves the other way.
    y = image @ _MATRIX[0] / 255 + _OFFSET[0]
    return np.floor(y + 0.5).astype(np.uint8)[..., None]


def _colors(name: str, x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    if x.shape[-1:] != (3,):
        raise ValueError(f"{name} has shape {x.shape}: the last axis must be 3")
    return x
