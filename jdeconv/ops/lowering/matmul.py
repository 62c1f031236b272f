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

import jax
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
    transposed: bool = False,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument.

    `transposed` says that it is the transpose in y that will be run. The kernel's
    matrix is then laid out for that.
    """
    dtype = preferred_element_type or y.dtype
    if jnp.finfo(dtype).bits < 32 or dtype != y.dtype:
        # Windows are added up, and so are kernel gradients over the chunks: in float32.
        wide = jnp.promote_types(dtype, jnp.float32)
        y, kernel = y.astype(wide), kernel.astype(wide)
    asked = problem(y, kernel, axes, groups)
    if asked.from_y:
        x = _gather(asked, y, kernel, precision, transposed)
    elif asked.slabs > 1:
        cut = asked.of_slabs()
        x = _scatter(cut, _slabs(asked, cut, y), kernel, precision, transposed)
        x = x.reshape(y.shape[0], -1, *x.shape[2:])[:, : axes[0].input_size]
    else:
        x = _scatter(asked, y, kernel, precision, transposed)
    return x.astype(dtype)


def _gather(asked: Problem, y: Array, kernel: Array, precision, transposed) -> Array:
    """x of stride 1 by windows of y: the transpose of the problem's mirror image."""
    num_axes = len(asked.axes)
    turned = lax.rev(kernel, range(num_axes))
    # [*window, in / g, g, out / g] -> [*window, out / g, g, in / g]
    turned = turned.reshape(*turned.shape[:-1], asked.groups, -1)
    turned = turned.swapaxes(num_axes, num_axes + 2)
    turned = turned.reshape(*turned.shape[: num_axes + 1], -1)
    axes = asked.mirrored.axes

    def spread(x: Array) -> Array:
        options = {"precision": precision, "transposed": not transposed}
        return lower(x, turned, axes, asked.groups, **options)

    sizes = [a.input_size for a in asked.axes]
    x = jax.ShapeDtypeStruct((y.shape[0], *sizes, turned.shape[-1]), y.dtype)
    return jax.linear_transpose(spread, x)(y)[0]


def _slabs(asked: Problem, cut: Problem, y: Array) -> Array:
    """[batch, o, ...] to [batch * slabs, entries, ...], where neighbours overlap."""
    blocks = cut.axes[0].input_size // cut.axes[0].stride
    shared = cut.axes[0].output_size - blocks
    before = (cut.axes[0].low - asked.axes[0].low) // cut.axes[0].stride
    after = (asked.slabs + 1) * blocks - before - y.shape[1]
    margins = [(0, 0, 0), (before, after, 0)] + [(0, 0, 0)] * (y.ndim - 2)
    y = lax.pad(y, jnp.zeros((), y.dtype), margins)
    y = y.reshape(y.shape[0], asked.slabs + 1, blocks, *y.shape[2:])
    y = jnp.concatenate([y[:, :-1], y[:, 1:, :shared]], axis=2)
    return y.reshape(-1, *y.shape[2:])


def _scatter(asked: Problem, y: Array, kernel: Array, precision, transposed) -> Array:
    """x by its windows, as many at a time as fit the cache."""
    groups = asked.groups
    # Before the loop: in it, XLA would merge a turn of the matrix with the products.
    matrices = [_matrix(asked, k, transposed) for k in jnp.split(kernel, groups, -1)]

    def part(y: Array) -> Array:
        # Group by group: a product with a batch axis is no faster, and copies more.
        x = []
        for image, matrix in zip(jnp.split(y, groups, -1), matrices):
            x.append(_overlap_add(asked, _windows(asked, image, *matrix, precision)))
        return jnp.concatenate(x, -1) if groups > 1 else x[0]

    if asked.chunks == 1:
        return part(y)
    stacked = y.reshape(asked.chunks, -1, *y.shape[1:])
    # Windows are gathered again where they are needed twice; kept, they would all be in
    # memory at once.
    again = jax.checkpoint(part, prevent_cse=False)
    _, x = lax.scan(lambda _, y: (None, again(y)), None, stacked)
    return x.reshape(-1, *x.shape[2:])


def _matrix(asked: Problem, kernel: Array, transposed: bool) -> tuple[Array, int]:
    """[*window, in, out] as a matrix [pieces * width, out], and the axis of `out`.

    XLA turns over one factor of a product that sums over images, as the kernel's
    gradient does. When that is a transpose's transpose, it is the images if `out` comes
    first, else the windows: the smaller shall be.
    """
    if asked.cuts_blocks:
        kernel = _in_blocks(asked, kernel)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    if transposed and matrix.shape[1] <= matrix.shape[0]:
        return matrix.T, 0
    return matrix, 1


def _in_blocks(asked: Problem, kernel: Array) -> Array:
    """[*window, in, out] to [*blocks, *strides, in, out], filled up with zeros."""
    padding, shape = [], []
    for axis, blocks in zip(asked.axes, asked.blocks):
        missing = blocks * axis.stride - axis.span
        padding.append((0, missing, axis.dilation - 1))
        shape += [blocks, axis.stride]
    zero = jnp.zeros((), kernel.dtype)
    kernel = lax.pad(kernel, zero, [*padding, (0, 0, 0), (0, 0, 0)])
    kernel = kernel.reshape(*shape, *kernel.shape[-2:])
    ends = len(shape)
    return kernel.transpose(*range(0, ends, 2), *range(1, ends, 2), ends, ends + 1)


def _windows(
    asked: Problem, y: Array, matrix: Array, out_axis: int, precision
) -> list[Array]:
    """The pieces of all windows, `[batch, *o, width]` each."""
    contracted = (((y.ndim - 1,), (out_axis,)), ((), ()))
    windows = lax.dot_general(y, matrix, contracted, precision)
    if asked.pieces == 1:
        return [windows]
    width = windows.shape[-1] // asked.pieces
    return list(lax.split(windows, [width] * asked.pieces, axis=y.ndim - 1))


def _overlap_add(asked: Problem, pieces: list[Array]) -> Array:
    """x from the pieces of its windows, where each is added once."""
    return (_add_blocks if asked.cuts_blocks else _add_taps)(asked, pieces)


def _sum_of_pads(pieces, margins) -> Array:
    """The pieces, each padded (or cropped) to the common frame, and added."""
    zero = jnp.zeros((), pieces[0].dtype)
    placed = [
        lax.pad(piece, zero, [(0, 0, 0), *margin, (0, 0, 0)])
        for piece, margin in zip(pieces, margins, strict=True)
    ]
    return functools.reduce(lax.add, placed)


def _add_taps(asked: Problem, pieces: list[Array]) -> Array:
    axes = asked.axes
    # Entry j of tap t belongs to x[j s + t d - lo].
    margins = []
    for tap in itertools.product(*(range(a.window) for a in axes)):
        starts = [t * a.dilation - a.low for t, a in zip(tap, axes)]
        ends = [f + (a.output_size - 1) * a.stride + 1 for f, a in zip(starts, axes)]
        margins.append(
            [(f, a.input_size - e, a.stride - 1) for f, e, a in zip(starts, ends, axes)]
        )
    return _sum_of_pads(pieces, margins)


def _add_blocks(asked: Problem, pieces: list[Array]) -> Array:
    axes, num_axes = asked.axes, len(asked.axes)
    # Block m of entry j is block j + m of x, whose needed blocks are first .. last.
    first = [a.low // a.stride for a in axes]
    last = [(a.low + a.input_size - 1) // a.stride for a in axes]
    margins = [
        [
            (m - f, e - (a.output_size - 1) - m, 0)
            for m, f, e, a in zip(index, first, last, axes)
        ]
        for index in itertools.product(*map(range, asked.blocks))
    ]
    grid = _sum_of_pads(pieces, margins)
    # [batch, *blocks, prod(s) * in] -> [batch, *(blocks s), in] -> x
    batch, *counts, _ = grid.shape
    strides = [a.stride for a in axes]
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
