"""Images of integers as floats from 0 to 1, and back."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

_INTEGERS = ("uint8", "uint16", "uint32")


def integers(dtype: np.dtype) -> np.dtype | None:
    """The type if it is one whose largest value is white, else None."""
    return dtype if dtype.name in _INTEGERS else None


def as_floats(y: ArrayLike) -> tuple[Array, np.dtype | None]:
    """The image as floats, and its type if it was of integers, whose white became 1."""
    dtype = np.dtype(getattr(y, "dtype", None) or np.asarray(y).dtype)
    if integers(dtype) is not None:
        return jnp.asarray(y, jnp.float32) / float(np.iinfo(dtype).max), dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"y has dtype {dtype}: must be floating, or one of {', '.join(_INTEGERS)}; "
            "convert it first"
        )
    image = jnp.asarray(y)
    return image.astype(jnp.promote_types(image.dtype, jnp.float32)), None


def as_before(result: Array | np.ndarray, dtype: np.dtype | None) -> Array | np.ndarray:
    """The result as the type of integers that the image came in."""
    if dtype is None:
        return result
    white = float(np.iinfo(dtype).max)
    if isinstance(result, jax.core.Tracer):
        return jnp.round(result * white).clip(0, white).astype(dtype)
    # In float64: float32 has no room for 32-bit integers.
    wide = np.asarray(result, np.float64)
    return np.round(wide * white).clip(0, white).astype(dtype)
