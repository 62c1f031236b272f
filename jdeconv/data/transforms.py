"""`Preprocess`: from stored pixels to what a network takes, and exactly back."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.data.images import check_values

Stats = float | tuple[float, ...]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PreprocessInfo:
    """What `Preprocess.inverse` has to know of the images that went in. A pytree.

    Attributes:
      mean: what was subtracted: per image `[*batch, 1, 1, 1]`, or a scalar or
        `[channels]` for the whole data set.
      std: what was divided by, likewise.
      size: (height, width) of the images.
      dtype: name of their dtype.
    """

    mean: Array
    std: Array
    size: tuple[int, int] = dataclasses.field(metadata={"static": True})
    dtype: str = dataclasses.field(metadata={"static": True})


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """y = (resize(low + (high - low) x / m) - mean) / std, and its inverse.

    m is the largest number of x's type (255, 65535) and 1 for floats. Without resizing
    the inverse gives back uint8 and uint16 images bit for bit. Both directions work
    under jit and vmap.

    Attributes:
      size: (height, width) or one int for both; None: as they come.
      standardize: None; "image": each image by its own mean and standard deviation
        over all pixels and channels (at least 1 / sqrt(their number), so that a blank
        image is no division by zero); or (mean, std), floats or one per channel, in
        the units of `range`.
      range: (low, high), where 0 and the largest number go.
      method: of resizing, see `jdeconv.ops.resize`; shrinking is antialiased.

    Raises:
      ValueError: an attribute that is none of these.

    >>> pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    >>> preprocess = Preprocess(range=(-1.0, 1.0))
    >>> y, info = preprocess.forward(pixels)
    >>> bool((preprocess.inverse(y, info) == pixels).all())
    True
    """

    size: int | tuple[int, int] | None = None
    standardize: Literal["image"] | tuple[Stats, Stats] | None = None
    range: tuple[float, float] = (0.0, 1.0)
    method: str = "linear"

    def __post_init__(self):
        # Configs bring lists; hashing needs tuples.
        object.__setattr__(self, "size", _checked_size(self.size))
        object.__setattr__(self, "standardize", _checked_stats(self.standardize))
        object.__setattr__(self, "range", _checked_range(self.range))

    def forward(self, x: ArrayLike) -> tuple[Array, PreprocessInfo]:
        """From pixels to the network's input.

        Args:
          x: `[*batch, height, width, channels]`, uint8, uint16 or floating.

        Returns:
          y: `[*batch, *size, channels]`, float32 (float64 for float64).
          info: to be given to `inverse`.

        Raises:
          ValueError: x is no image, or a numpy array with NaN or infinity.
          TypeError: x has another integer type, or is boolean.
        """
        x = _as_array("x", x)
        if x.dtype == jnp.uint8 or x.dtype == jnp.uint16:
            unit = x.astype(jnp.float32) / jnp.iinfo(x.dtype).max
        elif jnp.issubdtype(x.dtype, jnp.floating):
            unit = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        else:
            raise TypeError(
                f"x has dtype {x.dtype}: images are uint8, uint16 or floating "
                "(floats from 0 to 1; cast other integers to the type they stand for)"
            )
        low, high = self.range
        height, width = x.shape[-3:-1]
        size = (height, width)
        y = _resize(
            unit * (high - low) + low, _checked_size(self.size) or size, self.method
        )
        mean, std = self._stats(y)
        return (y - mean) / std, PreprocessInfo(mean, std, size, x.dtype.name)

    def inverse(self, y: ArrayLike, info: PreprocessInfo) -> Array:
        """From the network's output (or input) to pixels like those of `forward`.

        Args:
          y: `[*batch, height, width, channels]`, floating; any height and width: they
            are brought back to the original ones.
          info: from `forward`.

        Returns:
          `[*batch, *info.size, channels]` of `info.dtype`. Integers are rounded and
          clipped to what their type holds, floats are not.

        Raises:
          ValueError: y is no image, or a numpy array with NaN or infinity.
          TypeError: y is not floating.
        """
        y = _as_array("y", y)
        if not jnp.issubdtype(y.dtype, jnp.floating):
            raise TypeError(
                f"y has dtype {y.dtype}: must be floating, what a network returned or "
                "`forward` made"
            )
        # A bfloat16 output is widened first: its steps are coarser than 8 bits.
        y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
        low, high = self.range
        x = y * info.std.astype(y.dtype) + info.mean.astype(y.dtype)
        x = (_resize(x, info.size, self.method) - low) / (high - low)
        dtype = jnp.dtype(info.dtype)
        if jnp.issubdtype(dtype, jnp.floating):
            return x.astype(dtype)
        largest = jnp.iinfo(dtype).max
        return jnp.clip(jnp.round(x * largest), 0, largest).astype(dtype)

    def _stats(self, y: Array) -> tuple[Array, Array]:
        if self.standardize is None:
            return jnp.zeros((), y.dtype), jnp.ones((), y.dtype)
        if self.standardize == "image":
            axes = (-3, -2, -1)
            deviation = y.std(axes, keepdims=True)
            least = math.prod(y.shape[-3:]) ** -0.5
            return y.mean(axes, keepdims=True), jnp.maximum(deviation, least)
        mean, std = self.standardize
        for name, value in (("mean", mean), ("std", std)):
            if isinstance(value, tuple) and len(value) not in (1, y.shape[-1]):
                raise ValueError(
                    f"standardize: the {name} {value} has {len(value)} entries, the "
                    f"images have {y.shape[-1]} channels; give one number or one each"
                )
        return jnp.asarray(mean, y.dtype), jnp.asarray(std, y.dtype)


def _as_array(name: str, x: ArrayLike) -> Array:
    # Numpy arrays have just come in from outside, which is where NaN is looked for;
    # inside jit nothing can be raised.
    if isinstance(x, np.ndarray):
        check_values(name, x)
    x = jnp.asarray(x)
    if x.ndim < 3 or 0 in x.shape[-3:]:
        raise ValueError(
            f"{name} has shape {x.shape}: must be [*batch, height, width, channels]"
        )
    return x


def _resize(x: Array, size: tuple[int, int], method: str) -> Array:
    if x.shape[-3:-1] == tuple(size):
        return x
    from jdeconv.ops import resize

    return resize(x, size, method=method, antialias=True)


def _checked_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = tuple(size) if np.ndim(size) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise ValueError(f"size={size!r}: must be an int > 0, (height, width) or None")
    return pair


def _checked_stats(stats: Any) -> Any:
    if stats is None or (isinstance(stats, str) and stats == "image"):
        return stats
    legal = 'must be None, "image" or (mean, std), finite and every std > 0'
    if isinstance(stats, str) or len(stats) != 2:
        raise ValueError(f"standardize={stats!r}: {legal}")
    mean, std = (float(s) if np.ndim(s) == 0 else tuple(map(float, s)) for s in stats)
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and np.min(std) > 0):
        raise ValueError(f"standardize={stats!r}: {legal}")
    return mean, std


def _checked_range(ends: Any) -> tuple[float, float]:
    low, high = map(float, ends) if len(ends) == 2 else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"range={ends!r}: must be (low, high) with low < high")
    return low, high
