"""From a measured bead or star to a point spread function.

Works on arrays as they come from a file, by numpy in float64; nothing here is meant for
jit.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore.blur import default_center
from jdeconv.restore.psf.regrid import radial_average

_ROOM = 2  # pixels around a window, so that shifting it wraps nothing into it


def find_beads(
    image: ArrayLike, shape: Sequence[int], *, threshold: float = 0.25
) -> np.ndarray:
    """Beads or stars that stand alone: local maxima with no other one in their window.

    Args:
      image: one image or volume.
      shape: of the window around each bead that must lie within the image.
      threshold: of a maximum's height, after light smoothing, over the image's median:
        as a share of the highest one's, in (0, 1).

    Returns:
      `[beads, axes]` integers, the brightest bead first.

    Raises:
      ValueError: a shape of other axes or larger than the image less 2 pixels to each
        side, a threshold outside (0, 1), pixels that are NaN or infinite.

    >>> image = np.zeros((20, 20))
    >>> image[8, 9] = image[8, 17] = 1  # the second one is too near to the border
    >>> find_beads(image, (7, 7)).tolist()
    [[8, 9]]
    """
    values = _values(image)
    shape = tuple(shape)
    sizes = zip(shape, values.shape)
    if len(shape) != values.ndim or not all(1 <= k <= n - 2 * _ROOM for k, n in sizes):
        raise ValueError(
            f"shape={shape}: must have {values.ndim} axes, each at least 1 and by at "
            f"least {2 * _ROOM} smaller than the image's {values.shape}"
        )
    if not 0 < threshold < 1:
        raise ValueError(f"threshold={threshold}: must be in (0, 1)")
    smooth = values - np.median(values)
    for axis in range(values.ndim):
        smooth = _windows(smooth, axis, 1) @ np.array([0.25, 0.5, 0.25])
    highest = smooth
    for axis, k in enumerate(shape):
        highest = _windows(highest, axis, max(k // 4, 1)).max(axis=-1)
    is_peak = (smooth == highest) & (smooth > threshold * smooth.max())
    peaks = np.argwhere(is_peak)
    peaks = peaks[np.argsort(-smooth[is_peak], kind="stable")]
    center = np.array(default_center(shape))
    first, last = center + _ROOM, np.array(shape) - 1 - center + _ROOM
    inside = ((peaks >= first) & (peaks < np.array(values.shape) - last)).all(axis=1)
    apart = np.abs(peaks[:, None] - peaks[None])
    crowd = (apart <= np.array(shape) // 2).all(axis=2).sum(axis=1)
    return peaks[inside & (crowd == 1)]


def from_beads(
    image: ArrayLike,
    shape: Sequence[int],
    *,
    positions: ArrayLike | None = None,
    threshold: float = 0.25,
    background: float | None = None,
    radial: bool = False,
) -> Array:
    """The mean of several beads in one image, each moved to the PSF's centre.

    Each bead's centre is found to a fraction of a pixel and moved by the Fourier shift
    theorem, exact for images sampled finely enough; its background is subtracted. Their
    sum, bright ones counting for more as their counts are surer, is the PSF. A bead's
    own size stays in it.

    Args:
      image: one image or volume, of one bead or many.
      shape: of the result, odd sizes for a centre in the middle.
      positions: `[beads, axes]`, pixels near the beads' centres; by `find_beads` if
        None.
      threshold: of `find_beads`.
      background: to subtract; of each bead the median around its window if None.
      radial: replaces each plane by its `radial_average`.

    Returns:
      Array of the shape, not negative, that sums to 1.

    Raises:
      ValueError: see `find_beads`; no bead that stands alone, a position whose window
        leaves the image, no light above the background.
    """
    values, shape = _values(image), tuple(shape)
    if positions is None:
        positions = find_beads(values, shape, threshold=threshold)
        if not len(positions):
            raise ValueError(
                f"image has no bead that stands alone in a window of {shape}: give "
                "positions, a smaller shape or another threshold"
            )
    total = np.zeros(shape)
    center = default_center(shape)
    for position in np.atleast_2d(np.asarray(positions, int)):
        begins = [p - c - _ROOM for p, c in zip(position, center)]
        ends = [b + k + 2 * _ROOM for b, k in zip(begins, shape)]
        if len(position) != values.ndim or not all(
            b >= 0 and e <= n for b, e, n in zip(begins, ends, values.shape)
        ):
            raise ValueError(
                f"position {tuple(position.tolist())}: its window of {shape}, and "
                f"{_ROOM} pixels around it, must lie within the image {values.shape}"
            )
        window = values[tuple(map(slice, begins, ends))]
        total += _centred(window, background)
    total = np.maximum(total, 0)
    if not total.sum() > 0:
        raise ValueError("image: there is no light above the background")
    psf = jnp.asarray(total / total.sum(), jnp.float32)
    return radial_average(psf) if radial else psf


def _centred(window: np.ndarray, background: float | None) -> np.ndarray:
    """Less its background, moved to its centre, without the room around."""
    core = (slice(_ROOM, -_ROOM),) * window.ndim
    if background is None:
        around = np.ones(window.shape, bool)
        around[core] = False
        background = float(np.median(window[around]))
    light = window - background
    spectrum = np.fft.fftn(light)
    for axis, (at, n) in enumerate(zip(center_of(light), window.shape)):
        shift = (n - 1) // 2 - at
        wave = np.exp(-2j * np.pi * np.fft.fftfreq(n) * shift)
        spectrum = spectrum * wave.reshape([-1] + [1] * (window.ndim - axis - 1))
    return np.fft.ifftn(spectrum).real[core]


def center_of(light: np.ndarray, *, num_iters: int = 50) -> np.ndarray:
    """A bead's centre: the centroid under a Gaussian window that follows it.

    Each step goes twice the way to the centroid, as both are Gaussian (Bertin and
    Arnouts 1996, SExtractor's XWIN_IMAGE). The window is as wide as the bead at half
    its height, so noise far away does not count.

    Args:
      light: one bead, background subtracted, its brightest pixel near its centre.
      num_iters: steps at most.

    Returns:
      `[axes]` floats, the centre's index.
    """
    peak = np.array(np.unravel_index(light.argmax(), light.shape))
    at, axes = peak.astype(float), range(light.ndim)
    widths = []
    for axis in axes:
        line = light[tuple(slice(None) if a == axis else peak[a] for a in axes)]
        widths.append(max((line > line.max() / 2).sum() / 2.355, 0.5))
    for _ in range(num_iters):
        weighted = light
        for axis in axes:
            r = (np.arange(light.shape[axis]) - at[axis]) / widths[axis]
            sizes = [-1 if a == axis else 1 for a in axes]
            weighted = weighted * np.exp(-(r**2) / 2).reshape(sizes)
        if not weighted.sum() > 0:
            break
        steps = np.array(
            [
                weighted.sum(tuple(a for a in axes if a != axis))
                @ (np.arange(light.shape[axis]) - at[axis])
                for axis in axes
            ]
        )
        step = np.clip(2 * steps / weighted.sum(), -1, 1)
        at = np.clip(at + step, 0, np.array(light.shape) - 1)
        if np.abs(step).max() < 1e-6:
            break
    return at


def _windows(values: np.ndarray, axis: int, radius: int) -> np.ndarray:
    """Each pixel's neighbours along an axis, the edge repeated, as a last axis."""
    margins = [(radius, radius) if a == axis else (0, 0) for a in range(values.ndim)]
    padded = np.pad(values, margins, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1, axis)


def _values(image: ArrayLike) -> np.ndarray:
    values = np.asarray(image, np.float64)
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        raise ValueError(f"image has {bad} pixels that are NaN or infinite")
    return values
