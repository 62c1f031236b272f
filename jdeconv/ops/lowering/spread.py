"""Spread: as `shifts`, every tap first spread over a part of the batch, for gradients.

    x = sum over taps t of [y_1 S(t), ..., y_p S(t)], each moved to its place

where S(t) is an image of the tap's value and y_1 ... y_p are the parts of y. What
counts is its transpose in the kernel: a tap's gradient is y_1 x_1 + ... + y_p x_p, a
sum of whole images that a compiler makes in one pass over contiguous channels, and then
a product with a row of ones. (A compiler's own sums over all but the channels jump from
row to row: on CPU they take ten times as long.)
"""

import functools
import itertools
import math

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis

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

    The work is written out per tap and output channel of a group. `precision` has no
    bearing: sums are exact to the type.
    """
    del precision
    dtype = preferred_element_type or y.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    y, kernel = y.astype(wide), kernel.astype(wide)
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // groups
    kernel = kernel.reshape(*kernel.shape[:-1], groups, outputs)
    kernel = jnp.swapaxes(kernel, -3, -2)  # [*window, g, in/g, out/g]
    y = y.reshape(*y.shape[:-1], groups, 1, outputs)
    axis, count = _cut(y.shape[: 1 + len(axes)])
    parts = jnp.split(y, count, axis)
    grid = parts[0].shape[: 1 + len(axes)]
    # One product for all of them.
    ones = jnp.ones((math.prod(grid), 1), wide)
    kernel = jnp.moveaxis(kernel, -1, -3)  # [*window, out/g, g, in/g]
    taps = math.prod(kernel.shape[:-2])
    spread = lax.dot(ones, kernel.reshape(1, -1), precision=lax.Precision.HIGHEST)
    images = lax.split(spread, (groups * inputs,) * taps, axis=1)
    terms = []
    places = itertools.product(*(range(a.window) for a in axes), range(outputs))
    for image, (*index, v) in zip(images, places, strict=True):
        pads = [
            (t * a.dilation, a.span - 1 - t * a.dilation, a.stride - 1)
            for t, a in zip(index, axes)
        ]
        image = image.reshape(*grid, groups, inputs)
        term = lax.concatenate([part[..., v] * image for part in parts], axis)
        zero = jnp.zeros((), wide)
        terms.append(lax.pad(term, zero, [(0, 0, 0), *pads, *[(0, 0, 0)] * 2]))
    x = functools.reduce(lax.add, terms)
    x = x.reshape(*x.shape[:-2], groups * inputs)
    starts = [a.low for a in axes]
    ends = [
        a.input_size - ((a.output_size - 1) * a.stride + a.span) + a.low for a in axes
    ]
    margins = [(-low, end, 0) for low, end in zip(starts, ends)]
    x = lax.pad(x, jnp.zeros((), wide), [(0, 0, 0), *margins, (0, 0, 0)])
    return x.astype(dtype)


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
