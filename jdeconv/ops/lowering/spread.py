"""Spread: as `shifts`, every tap first spread over a part of the batch, for gradients.

    x = sum over taps t of [y_1 S(t), ..., y_p S(t)], each moved to its place

where S(t) is an image of the tap's value and y_1 ... y_p are the parts of y. Taps that
share a block of s positions are done together, as the pieces of `matmul`. What
counts is its transpose in the kernel: a tap's gradient is y_1 x_1 + ... + y_p x_p, a
sum of whole images that a compiler makes in one pass over contiguous channels, and then
a product with a row of ones. (A compiler's own sums over all but the channels jump from
row to row: on CPU they take ten times as long.) The transpose in y sums over the taps
of a piece, which compilers do badly: `sums` is the form for that.
"""

import functools
import math

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.groups import transposed_kernel
from jdeconv.ops.lowering.problem import margins_of, problem, window_of
from jdeconv.ops.weave import weave

_MOST_PARTS = 8


def lower(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument.

    The work is written out per piece and output channel of a group. `precision` has no
    bearing: sums are exact to the type.
    """
    del precision
    dtype = preferred_element_type or y.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    y, kernel = y.astype(wide), kernel.astype(wide)
    asked = problem(y, kernel, axes, groups)
    inputs, outputs = asked.group_in, asked.group_out
    kernel = transposed_kernel(kernel, groups)
    kernel = kernel.reshape(*kernel.shape[:-1], groups, inputs)
    y = y.reshape(*y.shape[:-1], groups, 1, outputs)
    axis, count = _cut(y.shape[: 1 + len(axes)])
    parts = jnp.split(y, count, axis)
    grid = parts[0].shape[: 1 + len(axes)]
    # One product for all of them.
    values = [kernel[window_of(place)].reshape(1, -1) for place in asked.places]
    ones = jnp.ones((math.prod(grid), 1), wide)
    spread = lax.dot(ones, jnp.concatenate(values, 1), precision=lax.Precision.HIGHEST)
    images = lax.split(spread, [v.size for v in values], axis=1)
    # x in blocks of s positions: all that a window reaches, and cut at the end, so that
    # a transpose fills x up once and not for each piece.
    num_axes = len(axes)
    batch, *counts = y.shape[: 1 + num_axes]
    blocks = [a.output_size + m - 1 for a, m in zip(axes, asked.blocks)]
    zero = jnp.zeros((), wide)
    terms = []
    for image, place in zip(images, asked.places, strict=True):
        taps = [p.taps for p in place]
        pairs = [n for pair in zip(counts, taps) for n in pair]
        image = image.reshape(*grid, *taps, outputs, groups, inputs)
        margins = margins_of(place, axes, [0] * num_axes, [n - 1 for n in blocks])
        for v in range(outputs):
            alone = [part[..., v].reshape(_with_taps(part, num_axes)) for part in parts]
            of_parts = [part * image[..., v, :, :] for part in alone]
            term = lax.concatenate(of_parts, axis)
            term = term.reshape(batch, *counts, 1, *taps, groups * inputs)
            term = weave(term, num_axes).reshape(batch, *pairs, groups * inputs)
            terms.append(lax.pad(term, zero, [(0, 0, 0), *margins, (0, 0, 0)]))
    x = functools.reduce(lax.add, terms)
    sizes = [n * a.stride for n, a in zip(blocks, axes)]
    x = x.reshape(x.shape[0], *sizes, x.shape[-1])
    ends = [(-a.low, a.low + a.input_size - n, 0) for n, a in zip(sizes, axes)]
    x = lax.pad(x, zero, [(0, 0, 0), *ends, (0, 0, 0)])
    return x.astype(dtype)


def _with_taps(part: Array, num_axes: int) -> tuple[int, ...]:
    """The shape of y without its last axis and with an axis for the taps of each."""
    grid, rest = part.shape[: 1 + num_axes], part.shape[1 + num_axes : -1]
    return (*grid, *(1,) * num_axes, *rest)


def _cut(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Axis and number of the equal parts: the most up to 8, of the batch if equal.

    >>> _cut((8, 32, 32)), _cut((1, 32, 32)), _cut((3, 7, 5))
    ((0, 8), (1, 8), (1, 7))
    """
    counts = [
        max(n for n in range(1, _MOST_PARTS + 1) if size % n == 0) if size else 1
        for size in sizes
    ]
    return counts.index(max(counts)), max(counts)
