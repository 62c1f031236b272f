"""Winograd: as `phases`, each short convolution by fewer products than it has taps.

Two neighbouring outputs of a convolution of three taps (g0 g1 g2) see four inputs
(d0 d1 d2 d3) and take four products instead of six:

    m0 = (d0 - d2) g0                          y0 = m0 + m1 + m2
    m1 = (d1 + d2) (g0 + g1 + g2) / 2          y1 = m1 - m2 - m3
    m2 = (d2 - d1) (g0 - g1 + g2) / 2
    m3 = (d1 - d3) g2

and of two taps three instead of four. Axes are taken one after the other, so a window
of 3 x 3 takes 16 instead of 36 products per four outputs, of 2 x 2 9 instead of 16, and
of 3 x 3 x 3 64 instead of 216. A longer window is the sum of windows of two and three
taps. Products over channels are matrix products, one for each m; what is added before
and after is shared by all channels on the other side. The sums are shorter than those
of the plain convolution and the factors at most 1/2, so that rounding errors are no
larger. See Winograd, "Arithmetic complexity of computations" (1980), and Lavin and
Gray, "Fast algorithms for convolutional neural networks" (CVPR 2016), F(2, 3), whose
tiles these are.

The matrices are two to eight times as large as the image. They are made for a few
images at a time, so that they stay in cache (see `matmul`).
"""

import functools
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering import phases
from jdeconv.ops.lowering.problem import Problem


class _Tile(NamedTuple):
    """m outputs of r taps by rows of coefficients: y = out ((taps g) * (data d))."""

    data: tuple[tuple[int, ...], ...]  # [products, m + r - 1]
    taps: tuple[tuple[float, ...], ...]  # [products, r]
    out: tuple[tuple[int, ...], ...]  # [m, products]


_TILES = {
    1: _Tile(data=((1,),), taps=((1,),), out=((1,),)),
    2: _Tile(
        data=((1, -1, 0), (0, 1, 0), (0, -1, 1)),
        taps=((1, 0), (1, 1), (0, 1)),
        out=((1, 1, 0), (0, 1, 1)),
    ),
    3: _Tile(
        data=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        taps=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        out=((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
}
_CHUNK_BYTES = 4 << 20  # of images at a time: their tiles still fit two cores' cache

_Grid = dict[tuple[int, ...], Array]


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

    A dilated kernel is used with its zeros written out.
    """
    return phases.lower(
        y,
        kernel,
        axes,
        groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
        convolve=_convolve,
    )


def conv(
    x: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """The forward conv of stride 1, for every other legal argument."""
    zero = jnp.zeros((), x.dtype)
    x = lax.pad(x, zero, [(0, 0, 0), *((a.low, a.high, 0) for a in axes), (0, 0, 0)])
    zero = jnp.zeros((), kernel.dtype)
    holes = [(0, 0, a.dilation - 1) for a in axes]
    kernel = lax.pad(kernel, zero, [*holes, (0, 0, 0), (0, 0, 0)])
    return _convolve(
        x,
        kernel,
        groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _convolve(
    x: Array, kernel: Array, groups: int, *, precision, preferred_element_type
) -> Array:
    """Stride 1, no padding: x `[batch, *n, in]`, kernel `[*window, in / g, out]`."""
    dtype = preferred_element_type or x.dtype
    # Entries of a tile are added before and after the product: in float32.
    wide = jnp.promote_types(dtype, jnp.float32)
    x, kernel = x.astype(wide), kernel.astype(wide)
    parts = zip(jnp.split(x, groups, -1), jnp.split(kernel, groups, -1))
    y = [_by_windows(image, taps, precision) for image, taps in parts]
    return (jnp.concatenate(y, -1) if groups > 1 else y[0]).astype(dtype)


def windows(taps: int) -> tuple[int, ...]:
    """Of two and three taps, which together are the window.

    >>> [windows(taps) for taps in (1, 2, 3, 4, 5, 7)]
    [(1,), (2,), (3,), (2, 2), (3, 2), (3, 2, 2)]
    """
    threes, rest = divmod(taps, 3)
    if rest == 1 and threes:
        return (3,) * (threes - 1) + (2, 2)
    return (3,) * threes + ((rest,) if rest else ())


def products(asked: Problem) -> int:
    """Matrix products that are written out, for one group."""
    per_axis = [[n + (n > 1) for n in windows(blocks)] for blocks in asked.blocks]
    return math.prod(map(sum, per_axis))


def _by_windows(x: Array, kernel: Array, precision) -> Array:
    """The sum over windows of at most three taps on each axis."""
    num_axes = x.ndim - 2
    taps = kernel.shape[:num_axes]
    out = [n - t + 1 for n, t in zip(x.shape[1:-1], taps)]
    cuts = []
    for t in taps:
        sizes = windows(t)
        cuts.append(list(zip(itertools.accumulate((0, *sizes[:-1])), sizes)))
    terms = []
    for cut in itertools.product(*cuts):
        image = x[
            (slice(None), *(slice(s, s + o + r - 1) for (s, r), o in zip(cut, out)))
        ]
        terms.append(
            _by_tiles(image, kernel[tuple(slice(s, s + r) for s, r in cut)], precision)
        )
    return functools.reduce(lax.add, terms)


def _by_tiles(x: Array, kernel: Array, precision) -> Array:
    num_axes = x.ndim - 2
    window = kernel.shape[:num_axes]
    forms = [_TILES[r] for r in window]
    sizes = [len(form.out) for form in forms]  # of a tile's outputs
    out = [n - r + 1 for n, r in zip(x.shape[1:-1], window)]
    counts = [-(-o // m) for o, m in zip(out, sizes)]
    fill = [(0, c * m - o, 0) for c, m, o in zip(counts, sizes, out)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *fill, (0, 0, 0)])
    # Before the loop: it is the same for all images.
    taps = {i: kernel[i] for i in itertools.product(*map(range, window))}
    matrices = list(_transform([form.taps for form in forms], taps).values())

    def part(x: Array, matrices: list[Array]) -> Array:
        batch, channels = x.shape[0], x.shape[-1]
        entries = {}
        for i in itertools.product(*(range(m + r - 1) for m, r in zip(sizes, window))):
            ends = [f + (c - 1) * m + 1 for f, c, m in zip(i, counts, sizes)]
            entries[i] = lax.slice(
                x, (0, *i, 0), (batch, *ends, channels), (1, *sizes, 1)
            )
        data = _transform([form.data for form in forms], entries)
        products = {}
        for (i, tile), matrix in zip(data.items(), matrices, strict=True):
            product = lax.dot(tile.reshape(-1, channels), matrix, precision=precision)
            products[i] = product.reshape(batch, *counts, -1)
        return _weave(_transform([form.out for form in forms], products), sizes)

    chunks = _chunks(x)
    if chunks == 1:
        y = part(x, matrices)
    else:
        stacked = x.reshape(chunks, -1, *x.shape[1:])
        # Tiles are made again where they are needed twice; kept, they would all be in
        # memory at once.
        again = jax.checkpoint(part, prevent_cse=False)
        _, y = lax.scan(lambda _, x: (None, again(x, matrices)), None, stacked)
        y = y.reshape(-1, *y.shape[2:])
    return lax.slice(y, (0,) * y.ndim, (y.shape[0], *out, y.shape[-1]))


def _chunks(x: Array) -> int:
    """Parts of the batch, a divisor of it, that fit the cache."""
    batch = x.shape[0]
    least = -(-math.prod(x.shape) * x.dtype.itemsize // _CHUNK_BYTES)
    divisors = (n for n in range(max(least, 1), batch) if batch % n == 0)
    return next(divisors, max(batch, 1)) if least > 1 else 1


def _transform(matrices, grid: _Grid) -> _Grid:
    """The matrix of each axis times the arrays along that axis of the grid."""
    for axis, rows in enumerate(matrices):
        lines: dict[tuple[int, ...], list[Array]] = {}
        for index, entry in sorted(grid.items(), key=lambda item: item[0]):
            lines.setdefault((*index[:axis], *index[axis + 1 :]), []).append(entry)
        grid = {
            (*rest[:axis], i, *rest[axis:]): _combine(row, line)
            for rest, line in lines.items()
            for i, row in enumerate(rows)
        }
    return dict(sorted(grid.items(), key=lambda item: item[0]))


def _combine(row: tuple[float, ...], line: list[Array]) -> Array:
    """Sum of the entries times their coefficients."""
    total = None
    for factor, entry in zip(row, line, strict=True):
        if factor == 0:
            continue
        term = entry if abs(factor) == 1 else entry * abs(factor)
        if total is None:
            total = term if factor > 0 else -term
        else:
            total = total + term if factor > 0 else total - term
    assert total is not None
    return total


def _weave(grid: _Grid, sizes: list[int]) -> Array:
    """Arrays `[batch, *counts, out]`, one per place in a tile, to the whole image."""

    def along(index: tuple[int, ...]) -> Array:
        axis = len(index)
        if axis == len(sizes):
            return grid[index]
        parts = [along((*index, i)) for i in range(sizes[axis])]
        if len(parts) == 1:
            return parts[0]
        woven = jnp.stack(parts, 2 + axis)
        shape = woven.shape
        return woven.reshape(
            *shape[: 1 + axis], shape[1 + axis] * shape[2 + axis], *shape[3 + axis :]
        )

    return along(())
