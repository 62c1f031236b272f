"""Pooling, and the unpooling that puts values back where they came from."""

import itertools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jdeconv.ops.conv import merge_batch
from jdeconv.ops.geometry import Axis, IntOrInts, Padding, conv_axes, per_axis

COMBINE = ("add", "replace")


def max_pool(
    x: Array,
    window: IntOrInts,
    *,
    strides: IntOrInts | None = None,
    padding: Padding = "VALID",
) -> Array:
    """Maximum over each window.

    The gradient goes to the first maximum of a window, as in PyTorch.

    Args:
      x: `[*batch, *spatial, channels]`, any real type.
      window: one int per spatial axis; an int is a square window on two axes.
      strides: default the window.
      padding: "VALID", "SAME", an int, or per axis an int or (low, high) pair; margins
        hold -inf, never 0.

    Returns:
      `[*batch, *pooled, channels]`.

    Raises:
      ValueError: rank or geometry that does not fit, or a margin as wide as the window.

    >>> max_pool(jnp.arange(16.0).reshape(4, 4, 1), 2)[..., 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    return _max_and_place(x, window, strides, padding, with_place=False)[0]


def max_pool_with_switches(
    x: Array,
    window: IntOrInts,
    *,
    strides: IntOrInts | None = None,
    padding: Padding = "VALID",
) -> tuple[Array, Array]:
    """Maximum over each window, and its place: the switches of a deconvnet.

    Args:
      x, window, strides, padding: as in `max_pool`.

    Returns:
      (y, switches), both `[*batch, *pooled, channels]`. Switches are int32, the flat
      index into the unpadded spatial window of that image and channel, as PyTorch's
      return_indices; of equal values the first.

    References:
      Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014.
    """
    y, place = _max_and_place(x, window, strides, padding, with_place=True)
    assert place is not None
    return y, place


def _max_and_place(
    x, window, strides, padding, *, with_place
) -> tuple[Array, Array | None]:
    """Walks the window: one strided slice per position, kept where it is larger.

    Selecting by strict comparison is what makes the gradient go to the first maximum,
    and on CPU it is several times faster in reverse than a reduce_window, whose
    gradient is a scatter.
    """
    x, batch, axes = _resolve(x, window, strides, padding)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x has dtype {x.dtype}: complex numbers have no maximum")
    lowest = (
        -jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min
    )
    padded = lax.pad(
        x,
        jnp.asarray(lowest, x.dtype),
        # A window may leave a remainder: then nothing reads the last positions.
        [(0, 0, 0), *((a.low, a.high, 0) for a in axes), (0, 0, 0)],
    )
    y: Array | None = None
    place: Array | None = None
    for offset in itertools.product(*(range(a.window) for a in axes)):
        value = _window_entry(padded, axes, offset)
        here = _place(axes, offset) if with_place else None
        if y is None:
            y, place = value, here
            continue
        larger = value > y
        if jnp.issubdtype(x.dtype, jnp.inexact):
            larger |= value != value  # NaN wins, as in PyTorch
        y = jnp.where(larger, value, y)
        if place is not None and here is not None:
            place = jnp.where(larger, here, place)
    assert y is not None  # a window has at least one entry
    shape = batch + y.shape[1:]
    if place is not None:
        place = jnp.broadcast_to(place, y.shape).reshape(shape)
    return y.reshape(shape), place


def _window_entry(padded: Array, axes: tuple[Axis, ...], offset: tuple) -> Array:
    """The entry at `offset` of every window."""
    stops = [t + (a.output_size - 1) * a.stride + 1 for t, a in zip(offset, axes)]
    return lax.slice(
        padded,
        (0, *offset, 0),
        (padded.shape[0], *stops, padded.shape[-1]),
        (1, *(a.stride for a in axes), 1),
    )


def _place(axes: tuple[Axis, ...], offset: tuple) -> Array:
    """`[1, *pooled, 1]`: flat index into the image of that entry of every window.

    Clipped, so that a window of nothing but -inf points at its first pixel.
    """
    grid = [
        np.clip(np.arange(a.output_size) * a.stride - a.low + t, 0, a.input_size - 1)
        for t, a in zip(offset, axes)
    ]
    flat = np.ravel_multi_index(np.ix_(*grid), [a.input_size for a in axes])
    return jnp.asarray(flat.astype(np.int32))[None, ..., None]


def max_unpool(
    y: Array, switches: Array, *, output_size: IntOrInts, combine: str = "add"
) -> Array:
    """Puts each value where its switch says; all else is zero.

    Args:
      y: `[*batch, *pooled, channels]`.
      switches: int32, of y's shape, from `max_pool_with_switches`.
      output_size: spatial size to return, an int (all axes) or one per spatial axis;
        its length is the number of spatial axes, an int means two.
      combine: where several values have one place (overlapping windows), "add" sums
        them and is the transpose of the gather at the switches; "replace" keeps the
        last in row-major order, which is what PyTorch does on CPU.

    Returns:
      `[*batch, *output_size, channels]`.

    Raises:
      ValueError: shapes that differ, or an unknown combine.

    >>> y, switches = max_pool_with_switches(jnp.arange(16.0).reshape(4, 4, 1), 2)
    >>> max_unpool(y, switches, output_size=4)[..., 0].sum(1).tolist()
    [0.0, 12.0, 0.0, 28.0]
    """
    if combine not in COMBINE:
        raise ValueError(f"combine={combine!r}: must be one of {', '.join(COMBINE)}")
    if y.shape != switches.shape:
        raise ValueError(
            f"y has shape {y.shape} and switches {switches.shape}: they must be equal"
        )
    num_axes = len(output_size) if isinstance(output_size, Sequence) else 2
    sizes = per_axis(output_size, num_axes, "output_size", 1)
    if y.ndim < num_axes + 1:
        raise ValueError(
            f"y has shape {y.shape}: must be [*batch, *pooled, channels] with "
            f"{num_axes} spatial axes"
        )
    y, batch = merge_batch(y, num_axes)
    channels = y.shape[-1]
    y = y.reshape(y.shape[0], -1, channels)
    at = switches.reshape(y.shape)
    image = jnp.arange(y.shape[0])[:, None, None]
    channel = jnp.arange(channels)[None, None, :]
    empty = jnp.zeros((y.shape[0], math.prod(sizes), channels), y.dtype)
    if combine == "add":
        x = empty.at[image, at, channel].add(y)
    else:
        turn = jnp.arange(1, y.shape[1] + 1, dtype=jnp.int32)[None, :, None]
        last = jnp.zeros(empty.shape, jnp.int32)
        last = last.at[image, at, channel].max(jnp.broadcast_to(turn, y.shape))
        chosen = jnp.take_along_axis(y, jnp.maximum(last - 1, 0), axis=1)
        x = jnp.where(last > 0, chosen, empty)
    return x.reshape(*batch, *sizes, channels)


def avg_pool(
    x: Array,
    window: IntOrInts,
    *,
    strides: IntOrInts | None = None,
    padding: Padding = "VALID",
    count_include_pad: bool = False,
) -> Array:
    """Mean over each window.

    Args:
      x: `[*batch, *spatial, channels]`, floating or complex.
      window, strides, padding: as in `max_pool`.
      count_include_pad: whether margins count as zeros, as PyTorch does by default;
        else the mean is over the pixels that are there, as in TensorFlow.

    Returns:
      `[*batch, *pooled, channels]`.
    """
    x, batch, axes = _resolve(x, window, strides, padding)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"x has dtype {x.dtype}: must be floating or complex")
    dtype = x.dtype
    if jnp.finfo(dtype).bits == 16:
        x = x.astype(jnp.float32)

    def window_sum(x):
        return lax.reduce_window(
            x,
            np.zeros((), x.dtype),
            lax.add,
            (1, *(a.window for a in axes), 1),
            (1, *(a.stride for a in axes), 1),
            [(0, 0), *((a.low, a.high) for a in axes), (0, 0)],
        )

    if count_include_pad:
        count = np.asarray(math.prod(a.window for a in axes), x.dtype)
    else:
        count = window_sum(jnp.ones((1, *x.shape[1:-1], 1), x.dtype))
    y = (window_sum(x) / count).astype(dtype)
    return y.reshape(batch + y.shape[1:])


def adaptive_avg_pool(x: Array, output_size: Sequence[int]) -> Array:
    """Mean over a grid of cells that cover the image evenly, whatever its size.

    Cell i of an axis of size n cut into p covers floor(i n / p) .. ceil((i + 1) n / p),
    as PyTorch's adaptive_avg_pool; cells overlap where p does not divide n.

    Args:
      x: `[*batch, *spatial, channels]`, floating or complex.
      output_size: p per spatial axis.

    Returns:
      `[*batch, *output_size, channels]`.

    >>> adaptive_avg_pool(jnp.arange(6.0).reshape(6, 1), (3,))[:, 0].tolist()
    [0.5, 2.5, 4.5]
    """
    sizes = per_axis(output_size, len(output_size), "output_size", 1)
    if x.ndim < len(sizes) + 1:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, *spatial, channels] with "
            f"{len(sizes)} spatial axes"
        )
    for i, p in enumerate(sizes):
        axis = x.ndim - 1 - len(sizes) + i
        n = x.shape[axis]
        if n == p:
            continue
        if n % p == 0:
            x = x.reshape(*x.shape[:axis], p, n // p, *x.shape[axis + 1 :])
            x = x.mean(axis + 1)
            continue
        cells = np.arange(p)
        first, last = cells * n // p, -(-(cells + 1) * n // p)
        inside = (np.arange(n) >= first[:, None]) & (np.arange(n) < last[:, None])
        mean = jnp.asarray(inside / (last - first)[:, None], x.dtype)
        x = jnp.moveaxis(jnp.tensordot(x, mean, ((axis,), (1,))), -1, axis)
    return x


def _resolve(x: Array, window: IntOrInts, strides: IntOrInts | None, padding: Padding):
    """x with one batch axis, its batch axes, and the geometry of the pooling."""
    num_axes = len(window) if isinstance(window, Sequence) else 2
    window = per_axis(window, num_axes, "window", 1)
    if x.ndim < num_axes + 1:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, *spatial, channels] with "
            f"{num_axes} spatial axes for window {window}"
        )
    axes = conv_axes(
        x.shape[-1 - num_axes : -1],
        window,
        strides=window if strides is None else strides,
        padding=padding,
    )
    for axis in axes:
        if axis.fill is not None or max(axis.low, axis.high) >= axis.window > 1:
            raise ValueError(
                f"padding={padding!r}: pooling takes VALID, SAME or margins smaller "
                f"than the window {window}"
            )
    x, batch = merge_batch(x, num_axes)
    return x, batch, axes
