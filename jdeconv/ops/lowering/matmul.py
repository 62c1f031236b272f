"""Matmul: one matrix product for all taps, and overlap-add of what it returns.

Each entry of y, times the kernel, is a window of x; the windows are added where they
overlap. On one axis, window 3 and stride 2, with c[j] = y[j] (t0 t1 t2):

    c[0]      t0 t1 | t2
    c[1]            | t0 t1 | t2
    c[2]                    | t0 t1 | t2
    x         x0 x1 | x2 x3 | x4 x5 | x6

A window is cut into pieces that do not overlap their neighbours', so that each piece is
added by one shifted add: s taps at a time, contiguous in memory, and of a dilated
kernel one tap at a time. x is put together in blocks of s entries, in which every piece
has its place.

Read backwards, the transposes are the textbook's: gathering windows ("im2col") and a
matrix product, for the gradient to y and to the kernel. For the gradient to y the
pieces have a product each, where adding these up moves less memory than to put the
pieces side by side.

The windows together are prod(window) / prod(stride) times as large as x. They are made
a few images at a time when they would not fit the cache: memory that is fresh from the
system costs more than the products (a page fault for each 4 KiB).
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.groups import in_front, with_channels
from jdeconv.ops.lowering.mirror import by_mirror
from jdeconv.ops.lowering.parts import by_parts
from jdeconv.ops.lowering.problem import Problem, margins_of, problem, window_of
from jdeconv.ops.lowering.slabs import by_slabs
from jdeconv.ops.weave import unweave, weave

_MIRRORED = {"conv_transpose": "conv", "conv": "conv_transpose"}


class _Products(NamedTuple):
    """How the products are made: see `lower`."""

    precision: Any
    part: str
    transposed: bool
    at_once: bool


def lower(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
    part: str = "conv_transpose",
    transposed: bool = False,
    at_once: bool = False,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument.

    All windows are made `at_once` for GPUs, for which they are not cut to fit a cache.

    `part` names the computation that will run, a field of `Forms`, and `transposed`
    says that it is this function's transpose in y that will be transposed to it, or
    run. The products and the layout of the kernel's matrix are made for that.
    """
    dtype = preferred_element_type or y.dtype
    if jnp.finfo(dtype).bits < 32 or dtype != y.dtype:
        # Windows are added up, and so are kernel gradients over the chunks: in float32.
        wide = jnp.promote_types(dtype, jnp.float32)
        y, kernel = y.astype(wide), kernel.astype(wide)
    asked = problem(y, kernel, axes, groups)
    how = _Products(precision, part, transposed, at_once)
    if asked.from_y:
        x = _gather(asked, y, kernel, how)
    elif at_once:
        x = _scatter(asked, y, kernel, how)
    else:
        x = by_slabs(lambda cut, y: _scatter(cut, y, kernel, how), asked, y)
    return x.astype(dtype)


def _gather(asked: Problem, y: Array, kernel: Array, how: _Products) -> Array:
    """x of stride 1 by windows of y: the transpose of the problem's mirror image."""

    def spread(x: Array, turned: Array) -> Array:
        return lower(
            x,
            turned,
            asked.mirrored.axes,
            asked.groups,
            precision=how.precision,
            part=_MIRRORED.get(how.part, how.part),
            transposed=not how.transposed,
            at_once=how.at_once,
        )

    return by_mirror(spread, asked, y, kernel)


def _scatter(asked: Problem, y: Array, kernel: Array, how: _Products) -> Array:
    """x by its windows, as many at a time as fit the cache."""
    # Before the loop: in it, XLA would merge a turn of a matrix with the products.
    matrices = _matrices(asked, kernel, how)

    def chunk(y: Array) -> Array:
        return _overlap_add(asked, _windows(asked, y, matrices, how))

    return by_parts(chunk, 1 if how.at_once else asked.chunks, y)


def _matrices(asked: Problem, kernel: Array, how: _Products) -> list[Array]:
    """[*window, in / g, out] as a matrix per product, [g, widths, out / g] or turned.

    A product for each piece adds up results as large as y; one product for all puts
    the windows side by side. XLA turns over one factor of a product that sums over
    images, as the kernel's gradient does. When that is a transpose's transpose, it is
    the images if `out` comes first, else the windows: the smaller shall be.
    """
    groups, out, pieces = asked.groups, asked.group_out, asked.pieces
    apart = how.part == "conv" and asked.apart
    window = [a.window for a in asked.axes]
    kernel = in_front(kernel, groups).reshape(groups, *window, -1)
    if asked.whole:
        matrix = unweave(kernel, tuple(a.stride for a in asked.axes))
        matrix = matrix.reshape(groups, -1, out)
        matrices = jnp.split(matrix, pieces, 1) if apart else [matrix]
    else:
        matrices = []
        for place in asked.places:
            taps = kernel[:, *window_of(place)]
            matrices.append(taps.reshape(groups, -1, out))
        if not apart:
            matrices = [jnp.concatenate(matrices, 1)]
    if _turned(asked, how):
        return [matrix.swapaxes(1, 2) for matrix in matrices]
    return matrices


def _turned(asked: Problem, how: _Products) -> bool:
    return how.transposed and asked.group_out <= asked.group_in * asked.taps


def _windows(
    asked: Problem, y: Array, matrices: list[Array], how: _Products
) -> list[Array]:
    """The pieces of all windows, `[g, batch, *o, width]` each."""
    out = 0 if _turned(asked, how) else 1  # the matrices' axis

    def product(y: Array, matrix: Array) -> Array:
        dims = ((y.ndim - 1,), (out,)), ((), ())
        return lax.dot_general(y, matrix, dims, how.precision)

    if asked.groups == 1:  # a batch axis has its price even then
        products = [product(y, m[0])[None] for m in matrices]
    else:
        y = in_front(y, asked.groups)
        products = [jax.vmap(product)(y, m) for m in matrices]
    if len(products) > 1:
        return products
    widths = [asked.group_in * math.prod(p.taps for p in at) for at in asked.places]
    return list(lax.split(products[0], widths, axis=products[0].ndim - 1))


def _overlap_add(asked: Problem, pieces: list[Array]) -> Array:
    """x from the pieces of its windows, where each is added once."""
    axes, num_axes = asked.axes, len(asked.axes)
    groups, width = asked.groups, asked.group_in
    images = groups * pieces[0].shape[1]
    # The blocks that x lies in.
    first = [a.low // a.stride for a in axes]
    last = [(a.low + a.input_size - 1) // a.stride for a in axes]
    strides = [a.stride for a in axes]
    # [g, batch, *o, *taps, in] -> [g batch, *(o, taps), in]
    zero = jnp.zeros((), pieces[0].dtype)
    placed = []
    for piece, place in zip(pieces, asked.places, strict=True):
        margins = margins_of(place, axes, first, last)
        counts = piece.shape[2:-1]
        if asked.whole:
            piece = piece.reshape(images, *counts, piece.shape[-1])
            margins = margins[::2]
        else:  # pieces are put into their blocks, not only blocks into x
            taps = [p.taps for p in place]
            piece = weave(piece.reshape(images, *counts, 1, *taps, width), num_axes)
            pairs = [n for pair in zip(counts, taps) for n in pair]
            piece = piece.reshape(images, *pairs, width)
        placed.append(lax.pad(piece, zero, [(0, 0, 0), *margins, (0, 0, 0)]))
    x = functools.reduce(lax.add, placed)
    if asked.whole:
        x = weave(x.reshape(*x.shape[:-1], 1, *strides, width), num_axes)
    # [g batch, *(blocks, s), in] -> x
    sizes = [(e - f + 1) * s for f, e, s in zip(first, last, strides)]
    x = x.reshape(images, *sizes, width)
    starts = [a.low - f * a.stride for f, a in zip(first, axes)]
    ends = [f + a.input_size for f, a in zip(starts, axes)]
    x = lax.slice(x, (0, *starts, 0), (images, *ends, width))
    return with_channels(x.reshape(groups, images // groups, *x.shape[1:]))
