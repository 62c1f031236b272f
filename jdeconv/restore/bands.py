"""Large images on a CPU: blurred band by band, so that transforms stay in the cache."""

import numpy as np

from jdeconv.ops import fourier

_HEIGHT = 256  # rows of a band, at least
_PIXELS = 2**18  # of a band, at least; below it one transform is as fast
_OVERLAPS = 8  # a band is at least so many times as high as its overlap
_FEWEST, _MOST = 4, 16
_UNEVEN = (1.08, 1.3)  # how many times as long every second transform is


def bands(shape: tuple[int, ...], window: int) -> tuple[int, ...]:
    """The rows between which an image is transformed in parts.

    Bands are independent programs, so that several cores are used where XLA gives one
    transform a single thread (in loops, by jax 0.10). Heights alternate because XLA has
    bands of equal height reuse each other's memory, and so wait for each other.

    Args:
      shape: of the blurred image, rows and columns.
      window: height of the PSF; bands see window - 1 rows more than they give.

    Returns:
      Where bands start and the last one ends, an even number of bands; () for images
      that are too small.
    """
    num_rows, width = shape
    overlap = window - 1
    least = max(_HEIGHT, _PIXELS // width, _OVERLAPS * overlap, num_rows // _MOST)
    if num_rows < _FEWEST * least:
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
            if len(heights) >= _FEWEST:
                found.append((sum(heights) + len(heights) * overlap, heights))
    if not found:
        return ()
    _, heights = min(found)
    count, excess = len(heights), sum(heights) - num_rows
    cuts = [excess // count + (i < excess % count) for i in range(count)]
    return (0, *(int(n) for n in np.cumsum(np.subtract(heights, cuts))))
