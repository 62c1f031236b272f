"""Large images on a CPU: blurred band by band, so that transforms stay in the cache."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from jdeconv.ops import fourier

_MOST = 16
_UNEVEN = (1.08, 1.3)  # how many times as long every second transform is


class _Limits(NamedTuple):
    """When cutting pays: below, one transform is as fast."""

    fewest: int  # bands
    height: int  # rows of a band, at least
    pixels: int  # of a band, at least
    overlaps: int  # a band is at least so many times as high as its overlap


_ALWAYS = _Limits(fewest=4, height=256, pixels=2**18, overlaps=8)
# With zeros beyond the frame, where transforms in loops have a single thread.
_ZEROS = _Limits(fewest=2, height=192, pixels=2**16, overlaps=4)


def bands(shape: tuple[int, ...], window: int, boundary: str) -> tuple[int, ...]:
    """The rows between which an image is transformed in parts.

    Bands are independent programs, so that several cores are used where XLA gives one
    transform a single thread (in loops, by jax 0.10). Heights alternate because XLA has
    bands of equal height reuse each other's memory, and so wait for each other.

    Args:
      shape: of the blurred image, rows and columns.
      window: height of the PSF; bands see window - 1 rows more than they give.
      boundary: of the blur.

    Returns:
      Where bands start and the last one ends, an even number of bands; () for images
      that are too small.
    """
    ends = _cut(shape, window - 1, _ALWAYS)
    if not ends and boundary == "zero" and jax.__version_info__ < (0, 11):
        ends = _cut(shape, window - 1, _ZEROS)
    return ends


@functools.cache
def _cut(shape: tuple[int, ...], overlap: int, limits: _Limits) -> tuple[int, ...]:
    num_rows, width = shape
    least = max(
        limits.height,
        limits.pixels // width,
        limits.overlaps * overlap,
        num_rows // _MOST,
    )
    if num_rows < limits.fewest * least:
        return ()
    fast = [fourier.fast_size(least + overlap)]
    while fast[-1] < 2 * least + overlap:
        fast.append(fourier.fast_size(fast[-1] + 1))
    # The two lengths of transforms by which the fewest rows are transformed.
    found = []
    for long in fast:
        for short in fast:
            if not _UNEVEN[0] <= long / short <= _UNEVEN[1]:
                continue
            pair = [short - overlap, long - overlap]
            heights = pair * -(-num_rows // sum(pair))
            if len(heights) >= limits.fewest:
                found.append((sum(heights) + len(heights) * overlap, heights))
    if not found:
        return ()
    _, heights = min(found)
    count, excess = len(heights), sum(heights) - num_rows
    cuts = [excess // count + (i < excess % count) for i in range(count)]
    return (0, *(int(n) for n in np.cumsum(np.subtract(heights, cuts))))
