"""Matmul: one matrix product for all taps, and overlap-add of what it returns.

Each entry of y, times the kernel, is a window of x; the windows are added where they
overlap. On one axis, window 4 and stride 2, with c[j] = y[j] (t0 t1 t2 t3):

    c[0]      t0 t1 t2 t3
    c[1]            t0 t1 t2 t3
    c[2]                  t0 t1 t2 t3
    x         x0 x1 x2 x3 x4 x5 x6 x7

The windows come in pieces that do not overlap themselves, so that each piece is added
by one shifted add. Two cuts are used:

    blocks    s neighbouring taps at a time: t0 t1 | t2 t3. Contiguous in memory; the
              window is filled up with zeros to a multiple of the stride.
    taps      one tap at a time, its entries s apart in x. No zero is computed.

Read backwards, the transposes are the textbook's: gathering windows ("im2col") and one
matrix product, for the gradient to y and to the kernel.

The windows together are prod(window) / prod(stride) times as large as x. They are made
a few images at a time when they would not fit the cache: memory that is fresh from the
system costs more than the products (a page fault for each 4 KiB).
"""

import functools
import itertools
import math

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.problem import Problem, problem


def lower(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument."""
    dtype = preferred_element_type or y.dtype
    if jnp.finfo(dtype).bits < 32 or dtype != y.dtype:
        # Windows are added up, and so are kernel gradients over the chunks: in float32.
        wide = jnp.promote_types(dtype, jnp.float32)
        y, kernel = y.astype(wide), kernel.astype(wide)

    asked = problem(y, kernel, axes, groups)

    def part(y: Array) -> Array:
        if groups == 1:
            return _overlap_add(asked, y, kernel, precision)
        # Group by group: a product with a batch axis is no faster, and copies more.
        pairs = zip(jnp.split(y, groups, -1), jnp.split(kernel, groups, -1))
        x = [_overlap_add(asked, y, k, precision) for y, k in pairs]
        return jnp.concatenate(x, -1)

    if asked.chunks == 1:
        return part(y).astype(dtype)
    stacked = y.reshape(asked.chunks, -1, *y.shape[1:])
    _, x = lax.scan(lambda _, y: (None, part(y)), None, stacked)
    return x.reshape(-1, *x.shape[2:]).astype(dtype)


def _overlap_add(asked: Problem, y: Array, kernel: Array, precision) -> Array:
    """x of one group."""
    add = _add_blocks if asked.cuts_blocks else _add_taps
    return add(y, kernel, asked.axes, precision)


def _windows(y: Array, kernel: Array, precision) -> Array:
    """y [batch, *o, out] x kernel [taps, in, out] -> [batch, *o, taps * in]."""
    last = y.ndim - 1
    kernel = kernel.reshape(-1, kernel.shape[-1])
    return lax.dot_general(y, kernel, (((last,), (1,)), ((), ())), precision=precision)


def _sum_of_pads(pieces, margins) -> Array:
    """The pieces, each padded (or cropped) to the common frame, and added."""
    zero = jnp.zeros((), pieces[0].dtype)
    placed = [
        lax.pad(piece, zero, [(0, 0, 0), *margin, (0, 0, 0)])
        for piece, margin in zip(pieces, margins, strict=True)
    ]
    return functools.reduce(lax.add, placed)


def _split(windows: Array, count: int) -> list[Array]:
    if count == 1:
        return [windows]
    width = windows.shape[-1] // count
    return list(lax.split(windows, [width] * count, axis=windows.ndim - 1))


def _add_taps(y, kernel, axes, precision):
    taps = list(itertools.product(*(range(a.window) for a in axes)))
    kernel = kernel.reshape(len(taps), *kernel.shape[-2:])
    windows = _windows(y, kernel, precision)
    # Entry j of tap t belongs to x[j s + t d - lo].
    margins = []
    for tap in taps:
        starts = [t * a.dilation - a.low for t, a in zip(tap, axes)]
        ends = [f + (a.output_size - 1) * a.stride + 1 for f, a in zip(starts, axes)]
        margins.append(
            [(f, a.input_size - e, a.stride - 1) for f, e, a in zip(starts, ends, axes)]
        )
    return _sum_of_pads(_split(windows, len(taps)), margins)


def _add_blocks(y, kernel, axes, precision):
    num_axes = len(axes)
    blocks = [-(-a.span // a.stride) for a in axes]
    strides = [a.stride for a in axes]
    kernel = lax.pad(
        kernel,
        jnp.zeros((), kernel.dtype),
        [(0, m * a.stride - a.span, a.dilation - 1) for m, a in zip(blocks, axes)]
        + [(0, 0, 0)] * 2,
    )
    split = [size for pair in zip(blocks, strides) for size in pair]
    kernel = kernel.reshape(*split, *kernel.shape[-2:])
    outer, inner = range(0, 2 * num_axes, 2), range(1, 2 * num_axes, 2)
    kernel = kernel.transpose(*outer, *inner, 2 * num_axes, 2 * num_axes + 1)
    kernel = kernel.reshape(-1, *kernel.shape[-2:])
    windows = _windows(y, kernel, precision)
    # Block m of entry j is block j + m of x, whose needed blocks are first .. last.
    first = [a.low // a.stride for a in axes]
    last = [(a.low + a.input_size - 1) // a.stride for a in axes]
    margins = [
        [
            (m - f, e - (a.output_size - 1) - m, 0)
            for m, f, e, a in zip(index, first, last, axes)
        ]
        for index in itertools.product(*map(range, blocks))
    ]
    grid = _sum_of_pads(_split(windows, math.prod(blocks)), margins)
    # [batch, *blocks, prod(s) * in] -> [batch, *(blocks s), in] -> x
    batch, *counts, _ = grid.shape
    grid = grid.reshape(batch, *counts, *strides, -1)
    order = [i for a in range(num_axes) for i in (1 + a, 1 + num_axes + a)]
    x = grid.transpose(0, *order, 2 * num_axes + 1)
    x = x.reshape(batch, *(n * s for n, s in zip(counts, strides)), x.shape[-1])
    starts = [a.low - f * a.stride for f, a in zip(first, axes)]
    return lax.slice(
        x,
        (0, *starts, 0),
        (batch, *(f + a.input_size for f, a in zip(starts, axes)), x.shape[-1]),
    )
