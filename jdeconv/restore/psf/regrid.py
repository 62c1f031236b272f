"""PSFs that are there already: made symmetric, put on another grid, made smaller."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.restore.blur import default_center
from jdeconv.restore.psf.grid import rings

_LOBES = 3  # of Lanczos' kernel


def radial_average(psf: Array) -> Array:
    """The nearest PSF that in each plane depends on the distance from the centre only.

    Nearest in the least squares sense, among cubic splines of the distance with a knot
    per pixel: an average over circles that does not widen the peak, and keeps each
    plane's sum. Linear in the PSF.

    Args:
      psf: `[*planes, rows, columns]`.

    Returns:
      Array of the PSF's shape.

    Raises:
      ValueError: less than two axes.
    """
    if psf.ndim < 2:
        raise ValueError(f"psf of shape {psf.shape}: must have two axes or more")
    return _radial_average(psf)


@functools.partial(jax.jit, inline=True)
def _radial_average(psf: Array) -> Array:
    basis, index = _spline_rings(*psf.shape[-2:])
    # The profile at each radius: the mean of its pixels, smoothed by the projection.
    to_profile = jnp.asarray(basis, psf.dtype)
    flat = psf.reshape(*psf.shape[:-2], -1)
    means = jnp.zeros((*flat.shape[:-1], len(basis)), psf.dtype)
    means = means.at[..., index.ravel()].add(flat)
    profile = jnp.matmul(means, to_profile.T, precision="highest")
    return profile[..., index]


@functools.lru_cache(maxsize=8)
def _spline_rings(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums over rings to the fitted profile `[radii, radii]`, and each pixel's ring."""
    radii, index = rings((rows, columns))
    counts = np.bincount(index.ravel())
    knots = np.arange(math.ceil(radii[-1]) + 2)
    # Even in the distance: each spline with its mirror image.
    splines = _cubic_spline(radii[:, None] - knots) + np.where(
        knots > 0, _cubic_spline(radii[:, None] + knots), 0
    )
    root = np.sqrt(counts)[:, None]
    inverse = np.linalg.pinv(root * splines, rcond=1e-10)
    return splines @ (inverse / root.T), index


def _cubic_spline(t: np.ndarray) -> np.ndarray:
    t = np.abs(t)
    near, far = 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6
    return np.where(t < 1, near, far)


def resample(
    psf: Array,
    spacing: float | Sequence[float],
    new_spacing: float | Sequence[float],
    shape: Sequence[int] | None = None,
    *,
    center: Sequence[int] | None = None,
) -> Array:
    """The PSF on a grid of another voxel size, by Lanczos' interpolation.

    To larger voxels the kernel widens with them, so that nothing finer than the new
    grid is folded into it. Linear in the PSF, up to the sum.

    Args:
      psf: any number of axes.
      spacing: its voxel size, > 0, one number or one per axis.
      new_spacing: of the result, in the same unit.
      shape: of the result; the odd sizes that hold the old frame if None.
      center: of the given PSF; (n - 1) // 2 on each axis if None. The result's is
        there.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: spacings that are not positive or not one per axis, a shape of other
        axes, a centre outside the PSF.

    >>> resample(jnp.ones((5, 5)), 0.1, (0.1, 0.2)).shape
    (5, 3)
    """
    ratios = [
        b / a
        for a, b in zip(
            _per_axis("spacing", spacing, psf.ndim),
            _per_axis("new_spacing", new_spacing, psf.ndim),
        )
    ]
    at = checked_center(psf.shape, center)
    if shape is None:
        reach = [max(c, n - 1 - c) for c, n in zip(at, psf.shape)]
        shape = [2 * math.floor(r / ratio) + 1 for r, ratio in zip(reach, ratios)]
    if len(shape) != psf.ndim or not all(n >= 1 for n in shape):
        raise ValueError(f"shape={tuple(shape)}: must have {psf.ndim} axes, none empty")
    middle = default_center(shape)
    weights = []
    for axis, ratio in enumerate(ratios):
        places = at[axis] + (np.arange(shape[axis]) - middle[axis]) * ratio
        apart = np.arange(psf.shape[axis]) - places[:, None]
        t = apart / max(ratio, 1.0)
        lanczos = np.where(abs(t) < _LOBES, np.sinc(t) * np.sinc(t / _LOBES), 0)
        weights.append(jnp.asarray(lanczos.T, psf.dtype))
    return _combined(psf, weights)


@functools.partial(jax.jit, inline=True)
def _combined(psf: Array, weights: list[Array]) -> Array:
    for axis, matrix in enumerate(weights):
        moved = jnp.moveaxis(psf, axis, -1)
        moved = jnp.matmul(moved, matrix, precision="highest")
        psf = jnp.moveaxis(moved, -1, axis)
    psf = jnp.maximum(psf, 0)
    return psf / psf.sum()


def crop(
    psf: Array, energy: float = 0.99, *, center: Sequence[int] | None = None
) -> Array:
    """The small box of odd sizes around the centre that keeps a share of the light.

    From the whole frame, the two opposite faces with the least light per voxel are
    taken off, again and again, as long as the box keeps the share.

    Args:
      psf: any number of axes, not negative; its values must be known, not traced.
      energy: share of the sum to keep, in (0, 1].
      center: of the given PSF; (n - 1) // 2 on each axis if None. The result's is in
        the middle, (n - 1) // 2. Where the box reaches beyond the frame there are
        zeros.

    Returns:
      Array that sums to 1.

    Raises:
      ValueError: an energy outside (0, 1], a centre outside the PSF.

    >>> from jdeconv.restore.psf.shapes import gaussian
    >>> crop(gaussian(1.0, (31, 31)), 0.99).shape
    (5, 7)
    """
    if not 0 < energy <= 1:
        raise ValueError(f"energy={energy}: must be in (0, 1]")
    at = checked_center(psf.shape, center)
    reach = [max(c, n - 1 - c) for c, n in zip(at, psf.shape)]
    margins = [(r - c, r - (n - 1 - c)) for r, c, n in zip(reach, at, psf.shape)]
    psf = jnp.pad(psf, margins)
    light = np.asarray(psf, np.float64)
    for axis, r in enumerate(reach):  # by distance from the centre
        there, back = np.split(np.moveaxis(light, axis, 0), [r])
        back = back.copy()
        back[1:] += there[::-1]
        light = np.moveaxis(back, 0, axis)
    kept, least = light.sum(), energy * light.sum() * (1 - 1e-12)
    sizes = [r + 1 for r in reach]
    while True:
        best = None
        for axis, n in enumerate(sizes):
            others = [slice(m) for m in sizes]
            others[axis] = slice(n - 1, n)
            face = light[tuple(others)].sum()
            voxels = math.prod(2 * m - 1 for m in sizes) // (2 * n - 1)
            if n > 1 and kept - face >= least and (not best or face / voxels < best[0]):
                best = face / voxels, face, axis
        if best is None:
            break
        kept -= best[1]
        sizes[best[2]] -= 1
    inside = [slice(r - n + 1, r + n) for r, n in zip(reach, sizes)]
    psf = psf[tuple(inside)]
    return psf / psf.sum()


def checked_center(
    shape: Sequence[int], center: Sequence[int] | None
) -> tuple[int, ...]:
    """The centre given, which must lie within the shape, or the default one."""
    if center is None:
        return default_center(shape)
    if len(center) != len(shape) or not all(0 <= c < n for c, n in zip(center, shape)):
        raise ValueError(f"center={tuple(center)}: must be an index into {shape}")
    return tuple(center)


def _per_axis(name: str, value: float | Sequence[float], num_axes: int) -> list[float]:
    values = list(value) if isinstance(value, Sequence) else [value] * num_axes
    if len(values) != num_axes or not all(0 < v < math.inf for v in values):
        raise ValueError(f"{name}={value!r}: must be > 0, one number or {num_axes}")
    return values
