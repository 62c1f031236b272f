"""Images larger than memory: solved block by block, and put together.

    |<-------- block ------->|
    |      seen by one  |~~~~|    |           overlap
                        |<-------- block ------->|
                             |~~~~| fades from the one to the other

Whatever a solver does not know beyond a block makes its border uncertain, the less the
further inside. So neighbours overlap by twice a margin, and in the middle of the
overlap one fades into the other over the length of the margin.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jdeconv.ops import fourier
from jdeconv.restore.frame import power_spectrum

Progress = Callable[[int, int], None]
_LEAST_STEP = 16  # pixels from a block to the next
_REACH_SHARE = 0.985
_REACH_WINDOWS = 48  # of the PSF, beyond which nothing reaches
_REACH_PIXELS = 2**22


class Tiling(NamedTuple):
    """Blocks of one size that cover an image; per spatial axis.

    Attributes:
      shape: of the image.
      size: of a block.
      margin: half of the least overlap.
      starts: of the blocks, per axis; outside the image where it wraps around.
      wraps: whether the image goes on at its other side.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    margin: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]
    wraps: bool

    @property
    def num_blocks(self) -> int:
        """How many blocks there are."""
        return math.prod(len(s) for s in self.starts)


def reach(psf: jax.Array, balance: float) -> tuple[int, ...]:
    """How far from a pixel the data tell of its value, in pixels per axis.

    Of Wiener's filter 98.5 %, in absolute values, lie within: little more than the
    PSF itself for smooth ones, many times that where its spectrum has zeros.

    Args:
      psf: point spread function, not negative.
      balance: of Wiener's filter with the gradient as the prior.
    """
    most = _REACH_PIXELS ** (1 / psf.ndim)
    sizes = tuple(
        fourier.fast_size(int(max(min(_REACH_WINDOWS * k, most), 2 * k)))
        for k in psf.shape
    )
    otf = fourier.transfer_function(psf / psf.sum(), sizes)
    rough = power_spectrum(sizes, otf.real.dtype)
    tiny = np.finfo(np.float32).tiny
    spectrum = otf.conj() / (abs(otf) ** 2 + balance * rough + tiny)
    weights = abs(np.asarray(fourier.inverse(spectrum, sizes, real=True)))
    margins = []
    for axis, size in enumerate(sizes):
        others = tuple(a for a in range(psf.ndim) if a != axis)
        line = weights.sum(others)
        # By distance: index i is i pixels to the right, and size - i to the left.
        apart = np.minimum(np.arange(size), size - np.arange(size))
        within = np.cumsum(np.bincount(apart, line))
        margins.append(int(np.argmax(within >= _REACH_SHARE * within[-1])))
    return tuple(margins)


def tiling(
    shape: Sequence[int],
    window: Sequence[int],
    *,
    max_bytes: float,
    bytes_per_pixel: float,
    margin: Sequence[int],
    wraps: bool = False,
) -> Tiling | None:
    """The largest blocks that fit into the memory, and None if the image does.

    Args:
      shape: spatial sizes of the image.
      window: of the PSF: a block is solved on a frame larger by window - 1.
      max_bytes: memory for one block.
      bytes_per_pixel: what a solver needs for a pixel of its frame.
      margin: per axis, how far from a block's border it is as good as in the middle.
      wraps: whether the image goes on at its other side.

    Raises:
      ValueError: memory for less than the margins and 16 pixels between them.
    """
    pixels = max_bytes / bytes_per_pixel

    def frame(size):
        return math.prod(
            fourier.fast_size(n + k - 1) for n, k in zip(size, window, strict=True)
        )

    if frame(shape) <= pixels:
        return None
    extended = [n + 2 * m * wraps for n, m in zip(shape, margin, strict=True)]
    least = [min(n, 2 * m + _LEAST_STEP) for n, m in zip(extended, margin)]
    if frame(least) > pixels:
        raise ValueError(
            f"max_bytes={max_bytes:.4g}: this PSF of shape {tuple(window)} and method "
            f"need {math.ceil(frame(least) * bytes_per_pixel):,} at least"
        )
    # By bisection on the length of the edge, which all axes share where they can.
    low, high = 0, max(extended)
    while low < high:
        edge = (low + high + 1) // 2
        fits = frame([min(n, max(m, edge)) for n, m in zip(extended, least)]) <= pixels
        low, high = (edge, high) if fits else (low, edge - 1)
    size = tuple(min(n, max(m, low)) for n, m in zip(extended, least))
    starts = tuple(
        _starts(n, m, o, -o * wraps) for n, m, o in zip(extended, size, margin)
    )
    return Tiling(tuple(shape), size, tuple(margin), starts, wraps)


def _starts(length: int, size: int, margin: int, first: int) -> tuple[int, ...]:
    """Evenly spread, so that the blocks at the ends end with the image."""
    if size >= length:
        return (first,)
    count = math.ceil((length - size) / (size - 2 * margin)) + 1
    return tuple(first + round(i * (length - size) / (count - 1)) for i in range(count))


def solve_in_tiles(
    solve: Callable[[jax.Array], jax.Array],
    y: np.ndarray,
    tiles: Tiling,
    *,
    prepare: Callable[[np.ndarray], np.ndarray],
    devices: Sequence[jax.Device | None],
    progress: Progress | None = None,
) -> np.ndarray:
    """Solves the blocks of an image and blends them.

    Args:
      solve: from a block `[*batch, *size]` to one of the same shape.
      y: `[*batch, *shape]`, in the computer's memory or on its disk.
      tiles: for its spatial axes, the last ones.
      prepare: makes floats of what was cut from y.
      devices: blocks are spread over them; None is the default one.
      progress: told the blocks done and their number after each.

    Returns:
      float32 `[*batch, *shape]`, in the computer's memory.
    """
    out = np.zeros(y.shape, np.float32)
    pending: list[tuple[tuple[int, ...], jax.Array]] = []
    done = 0

    def collect() -> None:
        nonlocal done
        position, result = pending.pop(0)
        _blend(out, np.asarray(result), tiles, position)
        done += 1
        if progress is not None:
            progress(done, tiles.num_blocks)

    blocks = np.ndindex(*(len(s) for s in tiles.starts))
    for number, position in enumerate(blocks):
        if len(pending) == len(devices):
            collect()
        index: Any = np.ix_(
            *(_index(tiles, axis, i) for axis, i in enumerate(position))
        )
        block = prepare(y[(..., *index)])
        device = devices[number % len(devices)]
        pending.append((position, solve(jax.device_put(block, device))))
    while pending:
        collect()
    return out


def _index(tiles: Tiling, axis: int, block: int) -> np.ndarray:
    """Which of the image's pixels a block has on an axis."""
    start = tiles.starts[axis][block]
    return np.arange(start, start + tiles.size[axis]) % tiles.shape[axis]


def _blend(
    out: np.ndarray, result: np.ndarray, tiles: Tiling, position: tuple[int, ...]
) -> None:
    """Adds a block by its weights, which are 1 in sum over the blocks."""
    num_axes = len(position)
    into: list[Any] = [...]
    kept: list[Any] = [...]
    for axis, block in enumerate(position):
        weights = _weights(tiles, axis, block)
        inside = np.nonzero(weights)[0]
        shape = [-1 if a == axis else 1 for a in range(num_axes)]
        result = result * weights.reshape(shape)
        kept.append(slice(inside[0], inside[-1] + 1))
        into.append(slice(*(tiles.starts[axis][block] + inside[[0, -1]] + [0, 1])))
    out[tuple(into)] += result[tuple(kept)]


def _weights(tiles: Tiling, axis: int, block: int) -> np.ndarray:
    """Of a block's pixels on one axis: 1, fading to its neighbours, 0 at cut ends."""
    starts, size = tiles.starts[axis], tiles.size[axis]
    at = np.arange(starts[block], starts[block] + size)
    weights = _fading_in(tiles, axis, block, at)
    if block + 1 < len(starts):
        weights = weights - _fading_in(tiles, axis, block + 1, at)
    weights[(at < 0) | (at >= tiles.shape[axis])] = 0
    return weights.astype(np.float32)


def _fading_in(tiles: Tiling, axis: int, block: int, at: np.ndarray) -> np.ndarray:
    """From 0 to 1 over the margin in the middle of the overlap with the one before."""
    if block == 0:
        return np.ones(len(at))
    starts, margin = tiles.starts[axis], max(tiles.margin[axis], 1)
    middle = (starts[block] + starts[block - 1] + tiles.size[axis]) / 2
    return np.clip((at + 0.5 - middle) / margin + 0.5, 0, 1)
