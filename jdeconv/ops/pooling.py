"""Pooling, and the unpooling that puts values back where they came from."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jdeconv.ops.conv import merge_batch
from jdeconv.ops.geometry import Axis, IntOrInts, Padding, conv_axes, per_axis

COMBINE = ("add", "replace")

_MOST_TERMS = 16  # of a sum that is written out


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
    y, place = _maxima(x, tuple(axes), with_place)
    shape = batch + y.shape[1:]
    return y.reshape(shape), None if place is None else place.reshape(shape)


# One program in place of many operations, each of which would be compiled by itself;
# within another program, a part of it. So are all of these.
@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def _maxima(x: Array, axes: tuple[Axis, ...], with_place: bool):
    y = x
    place: Array | None = jnp.zeros(x.shape, jnp.int32) if with_place else None
    step = 1  # of the flat index, along the axis at hand
    for i, axis in reversed(list(enumerate(axes, start=1))):
        y, place = _max_along(y, place, i, axis, step)
        step *= axis.input_size
    return y, place


def _max_along(
    x: Array, place: Array | None, axis: int, a: Axis, step: int
) -> tuple[Array, Array | None]:
    """First maximum of each window along one axis, and the place it came with."""
    pair = [_margins(x, axis, a, _lowest(x.dtype))]
    if place is not None:
        place += step * lax.broadcasted_iota(place.dtype, place.shape, axis)
        pair.append(_margins(place, axis, a, 0))

    def take(pair, start, stride, size):
        return [_take(v, axis, start, stride, size) for v in pair]

    def larger_of(one, two, stride, width):
        """Of windows at multiples of stride; those of `one` are `width` wide."""
        larger = two[0] > one[0]
        if jnp.issubdtype(x.dtype, jnp.inexact):
            larger |= two[0] != two[0]  # NaN wins, as in PyTorch
        # A pixel beats the margin before it, even where both are the lowest.
        in_margin = np.arange(one[0].shape[axis]) * stride + width <= a.low
        if in_margin.any():
            larger |= jnp.asarray(in_margin.reshape(_along(axis, x.ndim)))
        return [jnp.where(larger, v2, v1) for v1, v2 in zip(one, two)]

    whole = a.stride, a.output_size
    if a.window <= 3:
        best = take(pair, 0, *whole)
        for t in range(1, a.window):
            best = larger_of(best, take(pair, t, *whole), a.stride, t)
    else:
        # Windows of 2, 4, 8, ..., each from two of the last; the last two overlap where
        # a.window is no power of 2. One by one, time and compile time explode.
        best, width = pair, 1
        while width < a.window:
            shift = min(width, a.window - width)
            done = width + shift == a.window
            stride, size = whole if done else (1, best[0].shape[axis] - shift)
            one, two = (take(best, start, stride, size) for start in (0, shift))
            best = larger_of(one, two, stride, width)
            width += shift
    return best[0], best[1] if place is not None else None


def window_entries(x: Array, axis: int, a: Axis) -> list[Array]:
    """For each position of the window along an axis, that entry of every window."""
    x = _margins(x, axis, a, 0)
    return [_take(x, axis, t, a.stride, a.output_size) for t in range(a.window)]


def _margins(x: Array, axis: int, a: Axis, fill) -> Array:
    margins = [(0, 0, 0)] * x.ndim
    margins[axis] = (a.low, a.high, 0)
    return lax.pad(x, jnp.asarray(fill, x.dtype), margins)


def _take(x: Array, axis: int, start: int, stride: int, size: int) -> Array:
    """`size` entries along an axis."""
    return lax.slice_in_dim(x, start, start + (size - 1) * stride + 1, stride, axis)


def _along(axis: int, ndim: int) -> list[int]:
    """Shape that lays a vector along one axis of ndim."""
    return [-1 if i == axis else 1 for i in range(ndim)]


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
    return _unpooled(y, switches, sizes, combine)


@functools.partial(jax.jit, static_argnums=(2, 3), inline=True)
def _unpooled(y: Array, switches: Array, sizes: tuple[int, ...], combine: str) -> Array:
    dtype = y.dtype
    y, batch = merge_batch(y, len(sizes))
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
    floating_type(x)
    x = _means(x, tuple(axes), count_include_pad)
    return x.reshape(batch + x.shape[1:])


@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def _means(x: Array, axes: tuple[Axis, ...], count_include_pad: bool) -> Array:
    dtype = x.dtype
    x = x.astype(sum_type(dtype))
    for i, a in enumerate(axes, start=1):
        x = _sum_along(x, i, a)
        count: np.ndarray = np.full(a.output_size, a.window)
        if not count_include_pad:
            start = np.arange(a.output_size) * a.stride - a.low
            count = np.minimum(start + a.window, a.input_size) - np.maximum(start, 0)
        x = x / jnp.asarray(count.reshape(_along(i, x.ndim)), x.dtype)
    return x.astype(dtype)


def _sum_along(x: Array, axis: int, a: Axis) -> Array:
    """Sum over each window along one axis; on CPU quicker than over all at once."""
    ones, margins = [1] * x.ndim, [(0, 0)] * x.ndim
    margins[axis] = (a.low, a.high)
    window = [*ones[:axis], a.window, *ones[axis + 1 :]]
    strides = [*ones[:axis], a.stride, *ones[axis + 1 :]]
    zero = np.zeros((), x.dtype)
    return lax.reduce_window(x, zero, lax.add, window, strides, margins)


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
    floating_type(x)
    return _cell_means(x, sizes)


@functools.partial(jax.jit, static_argnums=1, inline=True)
def _cell_means(x: Array, sizes: tuple[int, ...]) -> Array:
    dtype = x.dtype
    x = x.astype(sum_type(dtype))
    for axis, p in enumerate(sizes, x.ndim - 1 - len(sizes)):
        x = _axis_means(x, axis, p)
    return x.astype(dtype)


def _axis_means(x: Array, axis: int, p: int) -> Array:
    n = x.shape[axis]
    if n == p:
        return x
    if n % p == 0:
        x = x.reshape(*x.shape[:axis], p, n // p, *x.shape[axis + 1 :])
        return x.mean(axis + 1)
    if max(-(-n // p), -(-p // n)) < _MOST_TERMS:
        return _few_means(x, axis, p)
    first, last = _cells(n, p)
    inside = (np.arange(n) >= first[:, None]) & (np.arange(n) < last[:, None])
    mean = jnp.asarray(inside / (last - first)[:, None], x.dtype)
    x = jnp.tensordot(x, mean, ((axis,), (1,)), precision="highest")
    return jnp.moveaxis(x, -1, axis)


def _cells(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """First entry of each of p cells of n entries, and the one after the last."""
    cells = np.arange(p)
    return cells * n // p, -(-(cells + 1) * n // p)


# The transpose of a gather adds entry by entry. So the means, which gather entries, are
# differentiated as the transpose of a spreading that gathers cells: it fuses with what
# comes before, in either direction.
@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _few_means(x: Array, axis: int, p: int) -> Array:
    """Means over cells of few entries, as a sum of gathers."""
    first, last = _cells(x.shape[axis], p)
    return _gathered(x, axis, first, last - 1, 1 / (last - first))


@_few_means.defjvp
def _few_means_jvp(axis: int, p: int, primals, tangents):
    (x,), (tangent,) = primals, tangents
    n = x.shape[axis]
    first, last = _cells(n, p)
    entries = np.arange(n)
    lowest = np.searchsorted(last, entries, side="right")
    highest = np.searchsorted(first, entries, side="right") - 1

    def spread(y: Array) -> Array:
        scale = jnp.asarray(1 / (last - first), y.dtype)
        y = y * scale.reshape(_along(axis, y.ndim))
        return _gathered(y, axis, lowest, highest, np.ones(n))

    means = _few_means(x, axis, p)
    (tangent,) = jax.linear_transpose(spread, means)(tangent)
    return means, tangent


def _gathered(
    x: Array, axis: int, first: np.ndarray, last: np.ndarray, scale: np.ndarray
) -> Array:
    """scale[i] * (x[first[i]] + ... + x[last[i]]) along an axis."""
    total = jnp.zeros((), x.dtype)
    for j in range((last - first).max() + 1):
        # A shorter sum adds 0 times its own last entry: no NaN comes from elsewhere.
        weight = np.where(first + j <= last, scale, 0)
        index = (slice(None),) * axis + (np.minimum(first + j, last),)
        entries = x.at[index].get(mode="promise_in_bounds")
        total += entries * jnp.asarray(weight, x.dtype).reshape(_along(axis, x.ndim))
    return total


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
