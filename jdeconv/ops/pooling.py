"""Pooling, and the unpooling that puts values back where they came from."""

import functools
import math
import operator
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
    """Maximum of each row of the window, then of these, and so on over the axes.

    The first of equal maxima is then the first in row-major order, as in PyTorch.
    Selecting by comparison sends the gradient there, and on CPU its reverse is many
    times faster than that of a reduce_window, which is a scatter.
    """
    x, batch, axes = _resolve(x, window, strides, padding)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(f"x has dtype {x.dtype}: complex numbers have no maximum")
    y = x
    place: Array | None = jnp.zeros(x.shape, jnp.int32) if with_place else None
    step = 1  # of the flat index, along the axis at hand
    for i, axis in reversed(list(enumerate(axes, start=1))):
        y, place = _max_along(y, place, i, axis, step)
        step *= axis.input_size
    shape = batch + y.shape[1:]
    return y.reshape(shape), None if place is None else place.reshape(shape)


def _max_along(
    x: Array, place: Array | None, axis: int, a: Axis, step: int
) -> tuple[Array, Array | None]:
    """First maximum of each window along one axis, and the place it came with."""
    values = window_entries(x, axis, a, _lowest(x.dtype))
    places = None if place is None else window_entries(place, axis, a, 0)
    along = [-1 if d == axis else 1 for d in range(x.ndim)]
    starts = (np.arange(a.output_size) * a.stride - a.low).reshape(along)
    y = values[0]
    where = None if places is None else places[0] + jnp.asarray(starts * step, "int32")
    for t in range(1, a.window):
        larger = values[t] > y
        if jnp.issubdtype(x.dtype, jnp.inexact):
            larger |= values[t] != values[t]  # NaN wins, as in PyTorch
        # The first pixel beats the margin before it, even where both are the lowest.
        first = starts + t == 0
        if first.any():
            larger |= jnp.asarray(first)
        y = jnp.where(larger, values[t], y)
        if places is not None and where is not None:
            here = places[t] + jnp.asarray((starts + t) * step, "int32")
            where = jnp.where(larger, here, where)
    return y, where


def window_entries(x: Array, axis: int, a: Axis, fill) -> list[Array]:
    """For each position of the window along an axis, that entry of every window."""
    margins = [(0, 0, 0)] * x.ndim
    margins[axis] = (a.low, a.high, 0)
    x = lax.pad(x, jnp.asarray(fill, x.dtype), margins)
    reach = (a.output_size - 1) * a.stride + 1
    return [lax.slice_in_dim(x, t, t + reach, a.stride, axis) for t in range(a.window)]


def _lowest(dtype: np.dtype):
    """What every number of the type is at least."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return -jnp.inf
    return jnp.iinfo(dtype).min if jnp.issubdtype(dtype, jnp.integer) else False


def max_unpool(
    y: Array, switches: Array, *, output_size: IntOrInts, combine: str = "add"
) -> Array:
    """Puts each value where its switch says; all else is zero.

    Args:
      y: `[*batch, *pooled, channels]`.
      switches: int32, of y's shape, from `max_pool_with_switches`. One beyond the
        output is dropped (PyTorch raises; nothing can be raised under jit).
      output_size: spatial size to return, an int (all axes) or one per spatial axis;
        its length is the number of spatial axes, an int means two.
      combine: where several values have one place (overlapping windows), "add" sums
        them and is the transpose of the gather at the switches; "replace" keeps the
        last in row-major order, which is what PyTorch does on CPU.

    Returns:
      `[*batch, *output_size, channels]`.

    Raises:
      ValueError: shapes that differ, or an unknown combine.
      TypeError: switches that are not integers.

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
    if not jnp.issubdtype(switches.dtype, jnp.integer):
        raise TypeError(f"switches has dtype {switches.dtype}: must be integers")
    num_axes = len(output_size) if isinstance(output_size, Sequence) else 2
    sizes = per_axis(output_size, num_axes, "output_size", 1)
    if y.ndim < num_axes + 1:
        raise ValueError(
            f"y has shape {y.shape}: must be [*batch, *pooled, channels] with "
            f"{num_axes} spatial axes"
        )
    dtype = y.dtype
    y, batch = merge_batch(y, num_axes)
    channels = y.shape[-1]
    y = y.reshape(y.shape[0], math.prod(y.shape[1:-1]), channels).astype(
        sum_type(dtype)
    )
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
    return x.astype(dtype).reshape(*batch, *sizes, channels)


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
    dtype = floating_type(x)
    x = x.astype(sum_type(dtype))
    # Axis by axis, each a sum of slices: on CPU several times faster than a
    # reduce_window in both directions where windows overlap.
    for i, a in enumerate(axes, start=1):
        x = functools.reduce(operator.add, window_entries(x, i, a, 0))
        count: np.ndarray = np.full(a.output_size, a.window)
        if not count_include_pad:
            start = np.arange(a.output_size) * a.stride - a.low
            count = np.minimum(start + a.window, a.input_size) - np.maximum(start, 0)
        along = [-1 if d == i else 1 for d in range(x.ndim)]
        x = x / jnp.asarray(count.reshape(along), x.dtype)
    return x.astype(dtype).reshape(batch + x.shape[1:])


def adaptive_avg_pool(x: Array, output_size: Sequence[int]) -> Array:
    """Mean over a grid of cells that cover the image evenly, whatever its size.

    Cell i of an axis of size n cut into p covers floor(i n / p) .. ceil((i + 1) n / p),
    as PyTorch's adaptive_avg_pool; cells overlap where p does not divide n.

    Args:
      x: `[*batch, *spatial, channels]`, floating or complex.
      output_size: p per spatial axis.

    Returns:
      `[*batch, *output_size, channels]`.

    Raises:
      ValueError: a size below 1, an empty image or a wrong rank.
      TypeError: an integer image.

    >>> adaptive_avg_pool(jnp.arange(6.0).reshape(6, 1), (3,))[:, 0].tolist()
    [0.5, 2.5, 4.5]
    """
    sizes = per_axis(output_size, len(output_size), "output_size", 1)
    x = jnp.asarray(x)
    if x.ndim < len(sizes) + 1 or 0 in x.shape[-1 - len(sizes) : -1]:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, *spatial, channels] with "
            f"{len(sizes)} spatial axes, none of them empty"
        )
    dtype = floating_type(x)
    x = x.astype(sum_type(dtype))
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
        x = jnp.tensordot(x, mean, ((axis,), (1,)), precision="highest")
        x = jnp.moveaxis(x, -1, axis)
    return x.astype(dtype)


def floating_type(x: Array) -> np.dtype:
    """The dtype of x, which must have fractions."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"x has dtype {x.dtype}: must be floating or complex")
    return x.dtype


def sum_type(dtype: np.dtype) -> np.dtype:
    """The type to sum in: float32 for 16-bit floats."""
    if jnp.issubdtype(dtype, jnp.inexact) and jnp.finfo(dtype).bits < 32:
        return jnp.dtype(jnp.float32)
    return dtype


def _resolve(x: Array, window: IntOrInts, strides: IntOrInts | None, padding: Padding):
    """x with one batch axis, its batch axes, and the geometry of the pooling."""
    num_axes = len(window) if isinstance(window, Sequence) else 2
    window = per_axis(window, num_axes, "window", 1)
    x = jnp.asarray(x)
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
