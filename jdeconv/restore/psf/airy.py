"""Round openings in focus: the microscope's and the telescope's diffraction pattern.

All light arrives in phase, so the wave in the image is the opening's Fourier transform:
for a disk jinc(v) = 2 J_1(v) / v, where v = 2 pi / wavelength * sine of the cone's half
angle * distance (Born and Wolf, "Principles of Optics", 7th ed., section 8.5.2, eq. 14;
the ring: section 8.6.2).
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.restore.psf.bessel import jinc
from jdeconv.restore.psf.grid import Scalar, check_axes, odd, positive, rings

FIFTH_DARK_RING = 16.4706  # in v; 96 % of a disk's light lies within
_ARCSECOND = math.pi / 180 / 3600


def airy(
    wavelength: Scalar,
    na: Scalar,
    pixel_size: Scalar,
    shape: Sequence[int] | None = None,
) -> Array:
    """Airy's pattern (2 J_1(v) / v)^2, v = 2 pi na r / wavelength, at pixels' middles.

    Args:
      wavelength: in vacuum, > 0; in the unit of the pixel size, say micrometres.
      na: numerical aperture, > 0, on the side where the pixel size is measured; for a
        camera 1 / (2 f-number).
      pixel_size: > 0.
      shape: of the result, two axes; to the fifth dark ring if None.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a parameter that is not positive, or a shape of other than two axes.

    >>> psf = airy(0.52, 1.4, 0.06)
    >>> psf.shape, round(float(psf.max()), 3)
    ((35, 35), 0.085)
    """
    positive(wavelength=wavelength, na=na, pixel_size=pixel_size)
    return _ring("airy", 2 * math.pi * na / wavelength * pixel_size, 0.0, shape)


def telescope(
    wavelength: Scalar,
    diameter: Scalar,
    pixel_size: Scalar,
    shape: Sequence[int] | None = None,
    *,
    obstruction: Scalar = 0.0,
) -> Array:
    """A star seen through a ring: a round mirror, its middle hidden by the second one.

        PSF = (jinc(v) - e^2 jinc(e v))^2,  v = pi diameter angle / wavelength

    Args:
      wavelength: > 0, in the unit of the diameter, say metres.
      diameter: of the opening, > 0.
      pixel_size: > 0, in seconds of arc.
      shape: of the result, two axes; to the fifth dark ring of the disk if None.
      obstruction: e, the hidden middle's diameter over the opening's, 0 <= e < 1.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a parameter that is not positive, an obstruction outside [0, 1), or a
        shape of other than two axes.

    >>> psf = telescope(633e-9, 2.4, 0.02, obstruction=0.33)  # Hubble's
    >>> psf.shape, round(float(psf.max()), 3)
    ((31, 31), 0.099)
    """
    positive(wavelength=wavelength, diameter=diameter, pixel_size=pixel_size)
    check_obstruction(obstruction)
    scale = math.pi * _ARCSECOND * diameter / wavelength * pixel_size
    return _ring("telescope", scale, obstruction, shape)


def check_obstruction(obstruction: Scalar) -> None:
    """Refuses a plain number outside [0, 1)."""
    if isinstance(obstruction, (int, float)) and not 0 <= obstruction < 1:
        raise ValueError(f"obstruction={obstruction!r}: must be in [0, 1)")


def _ring(
    name: str, scale: Scalar, obstruction: Scalar, shape: Sequence[int] | None
) -> Array:
    """The pattern of a ring, with v = scale * distance in pixels."""
    if shape is None:
        shape = [odd(FIFTH_DARK_RING / scale)] * 2
    check_axes(name, shape, 2)
    return _pattern(scale, obstruction, tuple(shape))


@functools.partial(jax.jit, static_argnames="shape", inline=True)
def _pattern(scale: Scalar, obstruction: Scalar, shape: tuple[int, ...]) -> Array:
    radii, index = rings(shape)
    v = jnp.asarray(radii, float) * scale
    wave = jinc(v) - obstruction**2 * jinc(obstruction * v)
    psf = (wave**2)[np.asarray(index)]
    return psf / psf.sum()
