"""BM3D: blocks that look alike are denoised together.

Dabov, Foi, Katkovnik and Egiazarian 2007, "Image denoising by sparse 3-D transform-
domain collaborative filtering". Every third block of 8 x 8 pixels is stacked with the
15 most similar ones around it; the stack is transformed within blocks and, by Haar's
wavelets, from block to block, shrunk and transformed back, and its blocks go to where
they were, weighted by how little is left of them and by a Kaiser window. This is done
twice: with wavelets within blocks and a threshold, and then with cosines and by the
powers that the first result has, which also says what is similar.

It is made of products of matrices here. Reference blocks that are near each other, a
tile of 6 x 6, are compared with all blocks around the tile at once:

    |a - b|^2 = |a|^2 + |b|^2 - 2 a.b        one product [36, 64] x [64, 1600] per tile

so that those at a tile's corner look 12 pixels far on two sides and 27 on the others.
Unlike the paper's, stacks have 16 blocks, in both steps and however much they differ.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from jdeconv.restore.blocks import blend, coefficients, cosines

_BLOCK = 8
_STEP = 3  # from one reference block to the next
_TILE = 6  # reference blocks along a tile's side
_REACH = 12  # pixels beyond a tile where its blocks are looked for
_STACK = 16  # blocks
_THRESHOLD = 2.7  # noise levels
_WINDOW = 2.0  # Kaiser's beta
_SPLINE = np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3]) / 256  # low pass

Shrink = Callable[[Array, Array], tuple[Array, Array]]


def bm3d(x: Array, std: ArrayLike) -> Array:
    """Denoises images by stacks of similar blocks.

    Args:
      x: noisy images `[*batch, H, W]`, floating; of volumes, slice by slice.
      std: of their white Gaussian noise, broadcast to `[*batch, 1, 1]`.

    Returns:
      The estimate, of x's shape. It takes 310 numbers per pixel of one image meanwhile.

    Raises:
      ValueError: fewer than two axes, or a side below 8 pixels.
    """
    if x.ndim < 2 or min(x.shape[-2:]) < _BLOCK:
        raise ValueError(
            f"x of shape {x.shape}: must have two axes or more, the last two of at "
            f"least {_BLOCK} pixels each"
        )
    levels = jnp.broadcast_to(jnp.asarray(std, x.dtype), (*x.shape[:-2], 1, 1))
    return _each(x, levels)


@functools.partial(jax.jit, inline=True)
def _each(x: Array, std: Array) -> Array:
    images, levels = x.reshape(-1, *x.shape[-2:]), std.reshape(-1)
    denoised = lax.map(lambda pair: _denoised(pair[0], pair[1]), (images, levels))
    return denoised.reshape(x.shape)


def _denoised(x: Array, std: Array) -> Array:
    change = _splines(_BLOCK) @ cosines(_BLOCK).T  # from cosines, along an axis
    to_wavelets = jnp.asarray(np.kron(change, change).T, x.dtype)
    to_cosines = jnp.asarray(np.linalg.inv(np.kron(change, change)).T, x.dtype)

    # Of both the first coefficient, which is of the stack's mean, is left as it is.

    def hard(noisy: Array, _: Array) -> tuple[Array, Array]:
        noisy = noisy @ to_wavelets
        kept = (jnp.abs(noisy) > _THRESHOLD * std).at[:, 0, 0].set(True)
        count = jnp.sum(kept, (1, 2), dtype=x.dtype)
        return jnp.where(kept, noisy, 0) @ to_cosines, count

    def by_power(noisy: Array, pilot: Array) -> tuple[Array, Array]:
        power = pilot**2
        least = jnp.finfo(x.dtype).tiny
        share = power / (power + jnp.maximum(std**2, least))
        share = share.at[:, 0, 0].set(1)
        return share * noisy, jnp.sum(share**2, (1, 2))

    noisy = _table(x)
    pilot = _together(noisy, noisy, hard, x.shape)
    return _together(noisy, _table(pilot), by_power, x.shape)


def _matrix(dtype) -> Array:
    return jnp.asarray(cosines(_BLOCK), dtype)


def _table(x: Array) -> Array:
    """Coefficients of all blocks that lie in the image, `[H - 7, W - 7, 64]`."""
    found = coefficients(x, _matrix(x.dtype)).reshape(_BLOCK**2, *x.shape)
    whole = tuple(slice(n - _BLOCK + 1) for n in x.shape)
    return jnp.moveaxis(found, 0, -1)[whole]


def _together(noisy: Array, pilot: Array, shrink: Shrink, shape: tuple) -> Array:
    """The image of the noisy blocks, shrunk in stacks that are alike in the pilot.

    Args:
      noisy, pilot: tables of blocks.
      shrink: from stacks `[references, stack, 64]` of noisy blocks and of the pilot's,
        Haar's wavelets of them, to what is left of the first, and how much that is,
        `[references]`.
      shape: of the image.
    """
    *counts, depth = noisy.shape
    rows, columns = (_tiles(n) for n in counts)
    area = (rows.length, columns.length)
    stack = min(_STACK, 2 ** int(np.log2(area[0] * area[1])))
    wavelets = jnp.asarray(_haar(stack), noisy.dtype)

    def along_stack(matrix: Array, stacks: Array) -> Array:
        return jnp.einsum("jk,rkc->rjc", matrix, stacks)

    def one_tile(sums, tile):
        corner, references, counted = tile

        def around(table: Array) -> Array:
            at = (*corner, *[0] * (table.ndim - 2))
            return lax.dynamic_slice(table, at, (*area, *table.shape[2:]))

        def add(table: Array, blocks: Array) -> Array:
            zeros = jnp.zeros((area[0] * area[1], *table.shape[2:]), table.dtype)
            new = zeros.at[alike].add(blocks).reshape(*area, *table.shape[2:])
            at = (*corner, *[0] * (table.ndim - 2))
            return lax.dynamic_update_slice(table, around(table) + new, at)

        near = around(pilot).reshape(-1, depth)
        # Only differences matter, and small numbers have small errors.
        centred = near - jnp.mean(near, 0)
        closeness = 2 * centred[references] @ centred.T - jnp.sum(centred**2, -1)
        # A block is in its own stack, however many others are equal to it.
        closeness = closeness.at[jnp.arange(_TILE**2), references].set(jnp.inf)
        alike = lax.top_k(closeness, stack)[1]
        of_noisy = along_stack(wavelets, around(noisy).reshape(-1, depth)[alike])
        of_pilot = along_stack(wavelets, near[alike])
        shrunk, left = shrink(of_noisy, of_pilot)
        weight = jnp.where(counted, 1 / left, 0)
        blocks = along_stack(wavelets.T, shrunk) * weight[:, None, None]
        weights = jnp.broadcast_to(weight[:, None], alike.shape)
        total, weight_of_all = sums
        return (add(total, blocks), add(weight_of_all, weights)), None

    sums = (jnp.zeros_like(noisy), jnp.zeros(counts, noisy.dtype))
    (total, weight), _ = lax.scan(one_tile, sums, _pairs(rows, columns))
    beyond = [(0, n - count) for n, count in zip(shape, counts)]
    total = jnp.moveaxis(jnp.pad(total, [*beyond, (0, 0)]), -1, 0)
    return blend(
        total.reshape(_BLOCK, _BLOCK, *shape),
        jnp.pad(weight, beyond),
        _matrix(noisy.dtype),
        np.kaiser(_BLOCK, _WINDOW),
    )


class _Tiles(NamedTuple):
    """Where tiles lie along an axis.

    Attributes:
      starts: `[tiles]`, the first block that each looks at.
      length: how many blocks it looks at.
      references: `[tiles, 6]`, its reference blocks, counted from there.
      counted: `[tiles, 6]`, False where the last tile repeats one to be full.
    """

    starts: np.ndarray
    length: int
    references: np.ndarray
    counted: np.ndarray


def _tiles(count: int) -> _Tiles:
    """Of an axis of so many blocks."""
    references = np.append(np.arange(0, count - 1, _STEP), count - 1)
    tiles = -(-len(references) // _TILE)
    numbers = np.arange(tiles * _TILE).reshape(tiles, _TILE)
    counted = numbers < len(references)
    references = references[np.minimum(numbers, len(references) - 1)]
    length = min(count, _STEP * (_TILE - 1) + 1 + 2 * _REACH)
    starts = np.clip(references[:, 0] - _REACH, 0, count - length)
    return _Tiles(starts, length, references - starts[:, None], counted)


def _pairs(rows: _Tiles, columns: _Tiles) -> tuple[tuple[Array, Array], Array, Array]:
    """Of all tiles of the image the corners, the reference blocks, and which count."""
    tiles = np.ndindex(len(rows.starts), len(columns.starts))
    first, second = np.array(list(tiles)).T
    below = rows.references[first][:, :, None] * columns.length
    references = below + columns.references[second][:, None]
    counted = rows.counted[first][:, :, None] & columns.counted[second][:, None]
    corners = (jnp.asarray(rows.starts[first]), jnp.asarray(columns.starts[second]))
    flat = (len(first), _TILE**2)
    return (
        corners,
        jnp.asarray(references.reshape(flat)),
        jnp.asarray(counted.reshape(flat)),
    )


def _haar(n: int) -> np.ndarray:
    """Haar's orthonormal wavelets of 2^k numbers, a row each, the mean first."""
    if n == 1:
        return np.ones((1, 1))
    means, details = np.kron(_haar(n // 2), [1, 1]), np.kron(np.eye(n // 2), [1, -1])
    return np.vstack([means, details]) / np.sqrt(2)


def _splines(n: int) -> np.ndarray:
    """Biorthogonal spline wavelets 1.5 of 2^k numbers, periodic, rows of length 1.

    Cohen, Daubechies and Feauveau 1992, "Biorthogonal bases of compactly supported
    wavelets". A white image has coefficients of the same variance.
    """
    means = np.eye(n)
    details: list[np.ndarray] = []
    while len(means) > 1:
        details.insert(0, means[::2] - means[1::2])
        shifted = [np.roll(means, 4 - t, axis=0)[::2] for t in range(len(_SPLINE))]
        means = np.tensordot(_SPLINE, shifted, 1)
    rows = np.vstack([means, *details])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
