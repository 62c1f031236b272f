"""Aberrated lenses: Zernike's polynomials over the pupil, and the PSF behind it.

    PSF(x) = |integral over u of exp(2 pi i W(u)) exp(2 pi i u x na / wavelength)|^2

with u in the unit disk and W the sum of the coefficients times Zernike's polynomials.
The transform goes to the pixels asked for by small matrix products (the idea of Soummer
et al. 2007, "Fast computation of Lyot-style coronagraph propagation"), from Gauss' rule
for the disk in place of a grid: no stairs at its edge, and nothing wraps around.
"""

import functools
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.restore.blur import default_center
from jdeconv.restore.psf.airy import FIFTH_DARK_RING, check_obstruction
from jdeconv.restore.psf.grid import Scalar, check_axes, grid, odd, positive, traced


def noll(j: int) -> tuple[int, int]:
    """Degree n and frequency m of the j-th polynomial; cosines m >= 0, sines m < 0.

    Noll 1976, "Zernike polynomials and atmospheric turbulence", table I.

    Raises:
      ValueError: j below 1.

    >>> [noll(j) for j in (1, 2, 3, 4, 5, 6, 11)]
    [(0, 0), (1, 1), (1, -1), (2, 0), (2, -2), (2, 2), (4, 0)]
    """
    if j < 1:
        raise ValueError(f"j={j}: Noll's index begins at 1")
    n = (math.isqrt(8 * j - 7) - 1) // 2
    rest = j - n * (n + 1) // 2 - 1
    m = 2 * ((rest + 1 - n % 2) // 2) + n % 2
    return n, m if j % 2 == 0 else -m


def zernike(j: int, x: Array, y: Array) -> Array:
    """Noll's j-th polynomial, whose mean square over the unit disk is 1.

        sqrt(n + 1) R_n^0(r),  sqrt(2 (n + 1)) R_n^m(r) cos(m t)  or  sin(m t)

    Args:
      j: Noll's index, >= 1; 4 is defocus, 5 and 6 astigmatism, 7 and 8 coma, 11
        spherical aberration.
      x: r cos(t), floating.
      y: r sin(t), of x's shape.

    Returns:
      Array of x's shape.

    Raises:
      ValueError: j below 1.

    >>> [round(v, 3) for v in zernike(4, jnp.array([0.0, 1.0]), jnp.zeros(2)).tolist()]
    [-1.732, 1.732]
    """
    n, m = noll(j)
    order = abs(m)
    # R_n^m r^m e^(i m t), as a polynomial in r^2 times (x + i y)^m: smooth at 0.
    real, imag = jnp.ones_like(x), jnp.zeros_like(x)
    for _ in range(order):
        real, imag = real * x - imag * y, real * y + imag * x
    square = x**2 + y**2
    radial = jnp.zeros_like(x)
    for k in range((n - order) // 2 + 1):
        choices = math.comb(n - k, k) * math.comb(n - 2 * k, (n - order) // 2 - k)
        radial = radial * square + (-1) ** k * choices
    scale = math.sqrt((n + 1) * (2 if m else 1))
    return scale * radial * (imag if m < 0 else real)


def aberrated(
    coefficients: Mapping[int, Scalar],
    shape: Sequence[int] | None = None,
    *,
    wavelength: Scalar,
    na: Scalar,
    pixel_size: Scalar,
    z_step: Scalar | None = None,
    ni: Scalar = 1.0,
    obstruction: Scalar = 0.0,
) -> Array:
    """A round lens, or a ring, that bends the wave by Zernike's polynomials.

    Args:
      coefficients: of Noll's polynomials by their index, in wavelengths (root mean
        square over the full disk): {4: 0.1} is a tenth of a wave of defocus. As in
        the image, x points to the right and y down.
      shape: of the result: two axes, or three for a stack of planes; if None, two
        axes, to the fifth dark ring of Airy's pattern.
      wavelength: in vacuum, > 0.
      na: numerical aperture, > 0.
      pixel_size: > 0, in the unit of the wavelength.
      z_step: distance of planes, for three axes.
      ni: refractive index where the planes are, > na for three axes.
      obstruction: the hidden middle's diameter over the pupil's, 0 <= e < 1.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a parameter that is not positive, an index below 1, an obstruction
        outside [0, 1), a shape of other than two or three axes, or of three without
        z_step.

    >>> coma = aberrated({8: 0.1}, (33, 33), wavelength=0.52, na=1.4, pixel_size=0.06)
    >>> bool(coma[16, 17:].sum() > 1.1 * coma[16, :16].sum())
    True
    """
    positive(wavelength=wavelength, na=na, pixel_size=pixel_size, ni=ni)
    check_obstruction(obstruction)
    for j in coefficients:
        noll(j)
    if shape is None:
        shape = [
            odd(FIFTH_DARK_RING * wavelength / (2 * math.pi * na) / pixel_size)
        ] * 2
    check_axes("aberrated", shape, 2, 3)
    z = jnp.zeros(1)
    if len(shape) == 3:
        if z_step is None:
            raise ValueError("z_step=None: must be given for a shape of three axes")
        positive(z_step=z_step)
        if isinstance(na, (int, float)) and isinstance(ni, (int, float)) and na >= ni:
            raise ValueError(f"na={na!r}: must be below ni={ni!r}")
        z = (
            jnp.arange(shape[0], dtype=float) - float(default_center(shape)[0])
        ) * jnp.asarray(z_step, float)
    per_pixel = na / wavelength * pixel_size
    widest = 0.5 if traced(per_pixel) else float(per_pixel)
    # Gauss' rule follows 4 radians per node; it is given half of that, and 32 nodes.
    count = 32 + math.ceil(math.pi * widest * max(shape[-2:]))
    wave_of_disk = functools.partial(
        _disk,
        {j: jnp.asarray(c, float) for j, c in coefficients.items()},
        jnp.asarray(per_pixel, float),
        jnp.asarray(na / ni if len(shape) == 3 else 0.0, float),
        z * ni / wavelength,
        shape=tuple(shape[-2:]),
        count=count,
    )
    wave = wave_of_disk(1.0)
    if not (isinstance(obstruction, (int, float)) and obstruction == 0):
        wave = wave - wave_of_disk(obstruction)
    psf = wave.real**2 + wave.imag**2
    return (psf / psf.sum()).reshape(shape)


@functools.partial(jax.jit, static_argnames=("shape", "count"))
def _disk(
    terms: Mapping[int, Array],
    per_pixel: Array,
    sine: Array,
    depths: Array,
    radius: Scalar,
    *,
    shape: tuple[int, int],
    count: int,
) -> Array:
    """The wave behind a disk within the pupil, `[planes, rows, columns]`.

    The disk's rows lie at Chebyshev's nodes of the second kind, and Gauss' nodes in
    each from one end of the chord to the other: exact for smooth waves.

    Args:
      terms: coefficients by Noll's index.
      per_pixel: turns from the pupil's centre to its edge, one pixel off the axis.
      sine: of the steepest ray; 0 in focus, where no ray need be real in that medium.
      depths: of the planes, in wavelengths.
      radius: of the disk, the pupil's being 1.
    """
    angles = np.pi * np.arange(1, count + 1) / (count + 1)
    share, share_weights = np.polynomial.legendre.leggauss(count)
    weights = np.pi / (count + 1) * np.sin(angles)[:, None] ** 2 * share_weights
    x = jnp.asarray(np.sin(angles)[:, None] * share, float) * radius
    y = jnp.asarray(np.cos(angles), float) * radius
    rows = jnp.broadcast_to(y[:, None], x.shape)
    bend = sum((c * zernike(j, x, rows) for j, c in terms.items()), jnp.zeros_like(x))
    squares = (sine * x) ** 2 + (sine * rows) ** 2
    # sqrt(1 - s^2) - 1, without the difference of two near numbers.
    drop = -squares / (1 + jnp.sqrt(jnp.maximum(1 - squares, 0.0)))
    turns = bend + depths[:, None, None] * drop
    pupil = jnp.exp(2j * jnp.pi * turns) * jnp.asarray(weights, float) * radius**2
    down, right = (axis.ravel() * per_pixel for axis in grid(shape))
    across = jnp.exp(2j * jnp.pi * x[..., None] * right)
    along = jnp.exp(2j * jnp.pi * y[:, None] * down)
    return jnp.einsum("prc,rcx,ry->pyx", pupil, across, along, precision="highest")
