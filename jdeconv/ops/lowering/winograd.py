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

A loop takes one m after the other and adds it where it belongs, so that a single one is
in memory, and the program is short: written out, it takes XLA many times as long to
compile. A few images are done at a time, so that all of it stays in cache (see
`matmul`).
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering import phases
from jdeconv.ops.lowering.problem import Problem, equal_parts
from jdeconv.ops.weave import unweave, weave


class _Tile(NamedTuple):
    """Two outputs of r taps by rows of coefficients: y = out ((taps g) * (data d))."""

    data: tuple[tuple[int, ...], ...]  # [products, 1 + r]
    taps: tuple[tuple[float, ...], ...]  # [products, r]
    out: tuple[tuple[int, ...], ...]  # [2, products]


_TILES = {
    1: _Tile(data=((1, 0), (0, 1)), taps=((1,), (1,)), out=((1, 0), (0, 1))),
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
    y = [_one_group(image, taps, precision) for image, taps in parts]
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
    """Matrix products, each over a part of the image, for one group."""
    return math.prod(sum(n + 1 for n in windows(b)) for b in asked.blocks)


class _Product(NamedTuple):
    """One m of an axis: of which data and taps, and its part in the two outputs."""

    data: tuple[tuple[int, float], ...]  # two places, and the factors of what is there
    taps: tuple[float, ...]  # factors
    out: tuple[float, ...]  # factors


def _products(taps: int) -> list[_Product]:
    """Of all the windows that the taps of an axis are cut into."""
    found = []
    start = 0
    for size in windows(taps):
        tile = _TILES[size]
        rest = taps - start - size
        for row, factors, *out in zip(tile.data, tile.taps, *tile.out, strict=True):
            data = [(start + i, float(f)) for i, f in enumerate(row) if f]
            if len(data) == 1:
                data = [(place, factor / 2) for place, factor in data * 2]
            factors = (0.0,) * start + factors + (0.0,) * rest
            found.append(_Product(tuple(data), factors, tuple(out)))
        start += size
    return found


class _Steps(NamedTuple):
    """All products over all axes, by the two data or outputs of each: 2**axes corners.

    A place on an axis of the image is an entry of its even or odd half; the halves of
    all axes are the planes.
    """

    matrix: Array  # [products, in, out]
    plane: Array  # [products, corners]
    start: Array  # [products, corners, axes]
    data: Array  # [products, corners]
    out: Array  # [products, corners]


def _steps(kernel: Array, num_axes: int) -> _Steps:
    window = kernel.shape[:num_axes]
    per_product = list(itertools.product(*map(_products, window)))
    corners = list(itertools.product(range(2), repeat=num_axes))

    def table(entry: Callable[[_Product, int], float | int]) -> np.ndarray:
        return np.array(
            [
                [[entry(*pair) for pair in zip(axes, corner)] for corner in corners]
                for axes in per_product
            ]
        )

    places = table(lambda product, i: product.data[i][0])
    data = table(lambda product, i: product.data[i][1]).prod(-1)
    out = table(lambda product, i: product.out[i]).prod(-1)
    taps = [
        functools.reduce(np.kron, [np.array(p.taps) for p in axes])
        for axes in per_product
    ]
    matrix = lax.dot(
        jnp.asarray(np.stack(taps), kernel.dtype),
        kernel.reshape(math.prod(window), -1),
        precision=lax.Precision.HIGHEST,
    )
    return _Steps(
        matrix.reshape(-1, *kernel.shape[num_axes:]),
        jnp.asarray(places % 2 @ 2 ** np.arange(num_axes)[::-1], jnp.int32),
        jnp.asarray(places // 2, jnp.int32),
        jnp.asarray(data, kernel.dtype),
        jnp.asarray(out, kernel.dtype),
    )


def _one_group(x: Array, kernel: Array, precision) -> Array:
    """One product after the other, each added to the outputs that it is part of."""
    num_axes = x.ndim - 2
    window = kernel.shape[:num_axes]
    out = [n - t + 1 for n, t in zip(x.shape[1:-1], window)]
    counts = [-(-o // 2) for o in out]  # of tiles
    halves = [c + t // 2 for c, t in zip(counts, window)]  # of the image, filled up
    fill = [(0, 2 * h - n, 0) for h, n in zip(halves, x.shape[1:-1])]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *fill, (0, 0, 0)])
    # Margins first: fused with what is made of it, they made the training step of a
    # 3 x 3 layer take 1.25 times as long (jax 0.12).
    x = lax.optimization_barrier(x)
    chunks = _chunks(x)
    tiles = (x.shape[0] // chunks, *counts)
    steps = _steps(kernel, num_axes)

    def part(planes: Array) -> Array:

        def add(outputs: Array, step: _Steps) -> tuple[Array, None]:
            # The product stands alone: fused with its neighbours it would be computed
            # by a plain loop.
            data = lax.optimization_barrier(_data(planes, step, tiles))
            product = lax.dot(data, step.matrix, precision=precision)
            product = lax.optimization_barrier(product)
            # Not broadcast: the sum that its transpose would be takes 3 to 50 times as
            # long, and jax 0.10 gets it wrong where the cotangent is a constant of the
            # program.
            return outputs + jnp.stack([f * product for f in step.out]), None

        # Data are made again where they are needed twice; kept, those of all products
        # would be in memory at once.
        outputs, _ = lax.scan(
            jax.checkpoint(add, prevent_cse=False),
            jnp.zeros((2**num_axes, math.prod(tiles), kernel.shape[-1]), x.dtype),
            steps,
        )
        return _woven(outputs, tiles)

    # Outside of the loop: in it, its transpose would need a loop of its own for them.
    planes = _planes(x, chunks)
    if chunks == 1:
        y = part(planes[0])
    else:
        _, y = lax.scan(lambda _, planes: (None, part(planes)), None, planes)
    y = y.reshape(x.shape[0], *(2 * c for c in counts), kernel.shape[-1])
    return lax.slice(y, (0,) * y.ndim, (y.shape[0], *out, y.shape[-1]))


def _planes(x: Array, chunks: int) -> Array:
    """Even and odd entries: `[chunks, 2**axes, images, *halves]`, the last with in."""
    batch, *sizes, channels = x.shape
    *rest, last = halves = [n // 2 for n in sizes]
    parities = 2 ** len(sizes)
    x = unweave(x, (2,) * len(sizes))
    x = x.reshape(chunks, batch // chunks * math.prod(halves), parities, channels)
    x = x.swapaxes(1, 2)
    return x.reshape(chunks, parities, batch // chunks, *rest, last * channels)


def _data(planes: Array, step: _Steps, tiles: tuple[int, ...]) -> Array:
    """The sum that one product takes of each tile: `[tiles, in]`."""
    channels = step.matrix.shape[0]
    size = (1, *tiles[:-1], tiles[-1] * channels)
    zero = jnp.zeros((), jnp.int32)
    terms = []
    for plane, start, factor in zip(step.plane, step.start, step.data):
        *rest, last = start
        where = (plane, zero, *rest, last * channels)
        entry = lax.dynamic_slice(planes, where, size, allow_negative_indices=False)
        terms.append(factor * entry)
    return functools.reduce(lax.add, terms).reshape(-1, channels)


def _woven(outputs: Array, tiles: tuple[int, ...]) -> Array:
    """The first and second outputs of each axis in turn: the whole images, flat."""
    num_axes = len(tiles) - 1
    channels = outputs.shape[-1]
    y = outputs.swapaxes(0, 1).reshape(*tiles, 1, *(2,) * num_axes, channels)
    return weave(y, num_axes).reshape(-1)


def _chunks(x: Array) -> int:
    """Parts of the batch that fit the cache."""
    least = -(-math.prod(x.shape) * x.dtype.itemsize // _CHUNK_BYTES)
    return equal_parts(x.shape[0], least)
