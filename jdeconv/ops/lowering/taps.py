"""Taps: an image for each tap and channel of the thinner side, one below the other.

Windows side by side are rows gathered piece by piece, of a photograph's few channels
number by number, and a product over all pixels turns them over. Here every tap has a
whole image of its own, on one axis with window 2 and stride 1:

    t0        x0 x1 x2 x3
    t1        x1 x2 x3 x4        times   y0 .. y3, `[sites, out]`

These are long copies, and the kernel's gradient is their product with y as it
lies in memory. At stride 1 they are made of y, where that is the thinner. Read
backwards, the images of the taps are added up, each moved to its place.

The images are made a part of the batch at a time, so that they stay in the cache,
unless a part of y would not. Of a large image they are made slab by slab.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.groups import in_front
from jdeconv.ops.lowering.mirror import by_mirror
from jdeconv.ops.lowering.parts import by_parts
from jdeconv.ops.lowering.problem import Problem, equal_parts, problem
from jdeconv.ops.lowering.slabs import by_slabs

_IMAGES_BYTES = 1 << 20  # of all taps at a time
_SITES = 128  # at a time, of wide images: each part's product is added to the others'
_PART_BYTES = 4 << 20  # of y


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
    wide = jnp.promote_types(dtype, jnp.float32)  # parts and taps are added up
    y, kernel = y.astype(wide), kernel.astype(wide)
    asked = problem(y, kernel, axes, groups)
    if asked.from_y:
        make = functools.partial(_by_taps, asked.mirrored, precision)
        return by_mirror(make, asked, y, kernel).astype(dtype)
    return _by_taps(asked, precision, y, kernel).astype(dtype)


def _by_taps(asked: Problem, precision, y: Array, kernel: Array) -> Array:
    """x, a part of the batch at a time."""
    # [*window, in / g, out] -> [g, taps * in / g, out / g]
    rows = asked.taps * asked.group_in
    matrix = in_front(kernel.reshape(rows, kernel.shape[-1]), asked.groups)

    def add_up(asked: Problem, y: Array) -> Array:
        make = functools.partial(_add_up, asked, precision, matrix)
        return by_parts(make, _parts(asked), y)

    return by_slabs(add_up, asked, y)


def _parts(asked: Problem) -> int:
    """Of the batch."""
    least = -(-asked.groups * asked.windows_bytes // _IMAGES_BYTES)
    count = equal_parts(asked.batch, min(least, asked.sites // _SITES))
    return count if asked.y_bytes <= count * _PART_BYTES else 1


def bytes_at_once(asked: Problem) -> int:
    """Size of the taps' images in memory at the same time: float32 or wider."""
    asked = asked._replace(itemsize=max(asked.itemsize, 4))
    if asked.from_y:
        asked = asked.mirrored
    cut = asked.of_slabs() if asked.slabs > 1 else asked
    return cut.groups * cut.windows_bytes // _parts(cut)


def _add_up(asked: Problem, precision, matrix: Array, y: Array) -> Array:
    """The products of all taps, each image moved to its place."""
    axes, groups = asked.axes, asked.groups
    sites = y.shape[:-1]
    rows = in_front(y.reshape(math.prod(sites), y.shape[-1]), groups)
    product = functools.partial(
        lax.dot_general,
        dimension_numbers=(((1,), (1,)), ((), ())),
        precision=precision,
    )
    if groups == 1:  # a batch axis has its price even then
        images = product(matrix[0], rows[0])
    else:
        images = jax.vmap(product)(matrix, rows)
    zero = jnp.zeros((), images.dtype)
    x = images.reshape(groups, *(a.window for a in axes), asked.group_in, *sites)
    # Axis by axis: a window of 9 x 9 takes 18 operations to compile, and not 81.
    for n, a in reversed(list(enumerate(axes))):
        terms = []
        for t, image in enumerate(lax.split(x, [1] * a.window, axis=1 + n)):
            margins = [(0, 0, 0)] * x.ndim
            before = t * a.dilation
            margins[4 + 2 * n] = (before, a.span - 1 - before, a.stride - 1)
            terms.append(lax.pad(image, zero, margins))
        x = functools.reduce(lax.add, terms).squeeze(1 + n)
    # Cut at the end, so that a transpose fills x up once and not for each tap.
    ends = [(-a.low, a.low + a.input_size - n, 0) for a, n in zip(axes, x.shape[3:])]
    x = lax.pad(x, zero, [(0, 0, 0)] * 3 + ends)
    x = x.reshape(groups * asked.group_in, *x.shape[2:])
    return jnp.moveaxis(x, 0, -1)
