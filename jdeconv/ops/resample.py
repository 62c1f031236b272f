"""Other grids: rearrangement between depth and space, interpolation, blur pooling."""

import functools
import math
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.ops import boundary
from jdeconv.ops.geometry import IntOrInts, conv_axes, per_axis
from jdeconv.ops.pooling import floating_type, sum_type, window_entries
from jdeconv.ops.weave import unweave, weave


def depth_to_space(x: Array, block: IntOrInts) -> Array:
    """Lays groups of channels side by side: the sub-pixel rearrangement.

    Channels are read as (position in the block, feature), row-major, as TensorFlow's
    depth_to_space does. PyTorch's pixel_shuffle reads (feature, position).

    Args:
      x: `[*batch, *spatial, prod(block) * features]`.
      block: b, one int per spatial axis; an int is two axes.

    Returns:
      `[*batch, *(spatial * b), features]`.

    Raises:
      ValueError: channels that prod(block) does not divide, or a wrong rank.

    >>> depth_to_space(jnp.arange(4.0).reshape(1, 1, 4), 2)[..., 0].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    blocks, batch, spatial = _block(x, block)
    if x.shape[-1] % math.prod(blocks):
        raise ValueError(
            f"x has {x.shape[-1]} channels: must be a multiple of {math.prod(blocks)}, "
            f"the size of block {blocks}"
        )
    features = x.shape[-1] // math.prod(blocks)
    woven = weave(
        x.reshape(math.prod(batch), *spatial, 1, *blocks, features), len(blocks)
    )
    return woven.reshape(*batch, *(n * b for n, b in zip(spatial, blocks)), features)


def space_to_depth(x: Array, block: IntOrInts) -> Array:
    """Stacks the positions of each block as channels: the inverse of `depth_to_space`.

    Args:
      x: `[*batch, *spatial, features]`, each spatial size a multiple of its block.
      block: one int per spatial axis; an int is two axes.

    Returns:
      `[*batch, *(spatial / block), prod(block) * features]`.

    Raises:
      ValueError: sizes that the block does not divide, or a wrong rank.
    """
    blocks, batch, spatial = _block(x, block)
    if any(n % b for n, b in zip(spatial, blocks)):
        raise ValueError(
            f"x has spatial sizes {spatial}: must be multiples of block {blocks}"
        )
    depth = math.prod(blocks) * x.shape[-1]
    stacked = unweave(x.reshape(math.prod(batch), *spatial, x.shape[-1]), blocks)
    return stacked.reshape(*batch, *(n // b for n, b in zip(spatial, blocks)), depth)


def _block(x: Array, block: IntOrInts) -> tuple[tuple, tuple, tuple]:
    """The block, one entry per spatial axis; the batch axes and the spatial axes."""
    num_axes = len(block) if isinstance(block, Sequence) else 2
    block = per_axis(block, num_axes, "block", 1)
    if x.ndim < num_axes + 1:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, *spatial, channels] with "
            f"{num_axes} spatial axes for block {block}"
        )
    split = x.ndim - 1 - num_axes
    return block, x.shape[:split], x.shape[split:-1]


def _linear(t: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(t), 0)


def _cubic(t: np.ndarray) -> np.ndarray:
    """Keys 1981 with a = -1/2: exact for quadratics; MATLAB's and Pillow's bicubic."""
    t = np.abs(t)
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _lanczos3(t: np.ndarray) -> np.ndarray:
    return np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0)


_KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": _linear,
    "cubic": _cubic,
    "lanczos3": _lanczos3,
}
_REACH = {"linear": 1, "cubic": 2, "lanczos3": 3}
METHODS = ("nearest", *_KERNELS)
BORDERS = ("renormalize", "mirror", "edge")


def _positions(n: int, size: int, align_corners: bool) -> np.ndarray:
    """Where on the old grid (0 .. n - 1) the points of the new grid lie."""
    if align_corners:
        return np.linspace(0, n - 1, size) if size > 1 else np.zeros(1)
    return (np.arange(size) + 0.5) * n / size - 0.5


def resize_matrix(
    n: int,
    size: int,
    *,
    method: str,
    align_corners: bool,
    antialias: bool,
    border: str = "renormalize",
) -> np.ndarray:
    """`[size, n]` weights of the interpolation along one axis; rows sum to 1."""
    at = _positions(n, size, align_corners)
    if method == "nearest":
        # Half-way points go up, as in jax.image and PyTorch's "nearest-exact".
        nearest = np.clip(np.floor(at + 0.5), 0, n - 1)
        return (np.arange(n) == nearest[:, None]).astype(np.float64)
    step = (n - 1) / max(size - 1, 1) if align_corners else n / size
    width = max(step, 1.0) if antialias else 1.0
    if border == "renormalize":
        weights = _KERNELS[method]((np.arange(n) - at[:, None]) / width)
        return weights / weights.sum(axis=1, keepdims=True)
    reach = math.ceil(_REACH[method] * width) + 1
    grid = np.arange(-reach, n + reach)
    wide = _KERNELS[method]((grid - at[:, None]) / width)
    wide /= wide.sum(axis=1, keepdims=True)
    if border == "edge":
        source = np.clip(grid, 0, n - 1)
    else:
        # 0 1 2 | 2 1 0 | 0 1 2: the image and its mirror image have the period 2 n.
        source = grid % (2 * n)
        source = np.where(source < n, source, 2 * n - 1 - source)
    weights = np.zeros((size, n))
    np.add.at(weights.T, source, wide.T)
    return weights


def resize(
    x: Array,
    size: Sequence[int],
    *,
    method: str = "linear",
    align_corners: bool = False,
    antialias: bool = False,
    border: str = "renormalize",
) -> Array:
    """Interpolation on another grid: one matrix product per axis, linear in x.

    Args:
      x: `[*batch, *spatial, channels]`, floating or complex.
      size: new size per spatial axis; its length is the number of spatial axes.
      method: "nearest", "linear", "cubic" (Keys, a = -1/2) or "lanczos3".
      align_corners: False puts pixel centres at (i + 1/2) n / size, as `jax.image` and
        most libraries do; True maps corner pixels onto corner pixels.
      antialias: widen the kernel when shrinking, as `jax.image.resize` does by default
        and PyTorch does not.
      border: "renormalize" scales the weights that fall on the image to sum to 1, as
        `jax.image` and Pillow do; "mirror" continues the image by its mirror image
        (edge pixels twice): with "cubic" and antialias=True this is MATLAB's imresize,
        whose old versions continued the edge pixels, "edge".

    Returns:
      `[*batch, *size, channels]`.

    Raises:
      ValueError: an unknown method or border, a size below 1, a wrong rank.
      TypeError: an integer image, or a size that is not a sequence.

    >>> resize(jnp.array([[0.0], [1.0]]), (4,))[:, 0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")
    if border not in BORDERS:
        raise ValueError(f"border={border!r}: must be one of {', '.join(BORDERS)}")
    if not isinstance(size, Sequence):
        raise TypeError(f"size={size!r}: must be a sequence, one int per spatial axis")
    size = per_axis(size, len(size), "size", 1)
    x = jnp.asarray(x)
    if x.ndim < len(size) + 1 or 0 in x.shape[-1 - len(size) : -1]:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, *spatial, channels] with "
            f"{len(size)} spatial axes, none of them empty"
        )
    floating_type(x)
    return _resized(x, size, method, align_corners, antialias, border)


# One program in place of many operations, each of which would be compiled by itself;
# within another program, a part of it.
@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4, 5), inline=True)
def _resized(
    x: Array,
    size: tuple[int, ...],
    method: str,
    align_corners: bool,
    antialias: bool,
    border: str,
) -> Array:
    dtype = x.dtype
    x = x.astype(sum_type(dtype))
    for i, new in enumerate(size):
        axis = x.ndim - 1 - len(size) + i
        n = x.shape[axis]
        if n == new:
            continue
        if method == "nearest" and new % n == 0 and not align_corners:
            # As the gather below, but its reverse is a sum, not a scatter.
            x = jnp.repeat(x, new // n, axis)
            continue
        weights = resize_matrix(
            n,
            new,
            method=method,
            align_corners=align_corners,
            antialias=antialias,
            border=border,
        )
        if method == "nearest":
            x = jnp.take(x, weights.argmax(axis=1), axis=axis)
            continue
        matrix = jnp.asarray(weights, x.dtype)
        x = jnp.tensordot(x, matrix, ((axis,), (1,)), precision="highest")
        x = jnp.moveaxis(x, -1, axis)
    return x.astype(dtype)


def blur_pool(
    x: Array, strides: IntOrInts = 2, *, taps: Sequence[float] = (1, 2, 1)
) -> Array:
    """Low-pass filter, then subsampling: a stride that does not alias.

    Args:
      x: `[*batch, *spatial, channels]`, floating or complex.
      strides: one int per spatial axis; an int is two axes.
      taps: filter along each axis, normalised to sum 1; borders are mirrored.

    Returns:
      `[*batch, *ceil(spatial / strides), channels]`.

    Raises:
      ValueError: taps that sum to zero, a wrong rank, or an image smaller than the
        filter's reach.
      TypeError: an integer image.

    References:
      Zhang, "Making convolutional networks shift-invariant again", 2019.
    """
    num_axes = len(strides) if isinstance(strides, Sequence) else 2
    strides = per_axis(strides, num_axes, "strides", 1)
    weights = np.asarray(taps, np.float64)
    if weights.ndim != 1 or not weights.sum():
        raise ValueError(f"taps={taps!r}: must be numbers with a sum other than 0")
    weights = weights / weights.sum()
    x = jnp.asarray(x)
    if x.ndim < num_axes + 1:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, *spatial, channels] with "
            f"{num_axes} spatial axes for strides {strides}"
        )
    dtype = floating_type(x)
    first = x.ndim - 1 - num_axes
    axes = conv_axes(
        x.shape[first:-1],
        (len(weights),) * num_axes,
        strides=strides,
        padding="REFLECT",
    )
    x = x.astype(sum_type(dtype))
    # One axis at a time, a weighted sum of slices.
    for i, a in enumerate(axes, start=first):
        margins = [(a.low, a.high) if d == i else (0, 0) for d in range(x.ndim)]
        x = boundary.pad(x, margins, "reflect")
        entries = window_entries(x, i, a.without_fill())
        terms = [e * jnp.asarray(w, x.dtype) for w, e in zip(weights, entries)]
        x = functools.reduce(operator.add, terms)
    return x.astype(dtype)
