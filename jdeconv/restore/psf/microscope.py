"""Widefield fluorescence microscopes: Born-Wolf's and Gibson-Lanni's 3-D models.

Both are the light of a point, gathered by a lens, at a distance r from the axis and z
from the focus:

    PSF(r, z) = |integral over p from 0 to 1 of exp(i k W(p, z)) J_0(k na r p) p dp|^2

with k = 2 pi / wavelength; they differ in the path W. The integral is computed by
Gauss-Legendre quadrature, once for each radius that occurs: a matrix product of
[planes, nodes] and [nodes, radii], without interpolation.

All lengths are in one unit; the defaults are micrometres.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.restore.blur import default_center
from jdeconv.restore.psf.airy import FIFTH_DARK_RING
from jdeconv.restore.psf.bessel import j0
from jdeconv.restore.psf.grid import Scalar, check_axes, odd, positive, rings, traced

_ABERRATION = 100.0  # radians of path that are allowed for where it is not known
_PLANES = 3  # of axial resolution, 2 ni wavelength / na^2, to each side


def born_wolf(
    shape: Sequence[int] | None = None,
    *,
    wavelength: Scalar,
    na: Scalar,
    pixel_size: Scalar,
    z_step: Scalar,
    ni: Scalar = 1.515,
    focus: Scalar = 0.0,
) -> Array:
    """A point in the design focus, for small angles: W = -(na p)^2 z / (2 ni).

    Born and Wolf, "Principles of Optics", 7th ed., section 8.8.1.

    Args:
      shape: of the result, (planes, rows, columns); if None, three axial resolutions
        2 ni wavelength / na^2 to each side and as wide as the cone of light there.
      wavelength: of the emitted light in vacuum, > 0.
      na: numerical aperture of the objective, 0 < na < ni.
      pixel_size: camera pixel over magnification, > 0.
      z_step: distance of planes, > 0.
      ni: refractive index of the immersion medium.
      focus: distance of the middle plane from the focus.

    Returns:
      Array of the shape that sums to 1. Under jit, pixels may be as large as
      wavelength / (2 na) and planes ni wavelength / na^2 apart: the number of nodes
      must be known before the parameters are.

    Raises:
      ValueError: a parameter that is not positive, an aperture that is no smaller than
        the index, or a shape of other than three axes.
    """
    _check(wavelength, na, pixel_size, z_step, ni=ni)
    shape = _shape("born_wolf", shape, wavelength, na, pixel_size, z_step, ni)
    na, ni, z = _float(na), _float(ni), _planes(shape, z_step, focus)

    def path(sine: Array) -> Array:
        return -(sine**2) * z / (2 * ni)

    def rays(count: int) -> tuple[Array, Array]:
        share, weight = _gauss_legendre(count)
        return na * share, weight

    return _diffract(shape, path, rays, wavelength, na, pixel_size)


def gibson_lanni(
    shape: Sequence[int] | None = None,
    *,
    wavelength: Scalar,
    na: Scalar,
    pixel_size: Scalar,
    z_step: Scalar,
    ns: Scalar = 1.33,
    ni: Scalar = 1.515,
    ng: Scalar = 1.515,
    tg: Scalar = 170.0,
    ti0: Scalar = 150.0,
    depth: Scalar = 0.0,
    ni0: Scalar | None = None,
    ng0: Scalar | None = None,
    tg0: Scalar | None = None,
    focus: Scalar = 0.0,
) -> Array:
    """A point in a sample under a cover glass, seen through an immersion medium.

    With s = na p the path is (Gibson and Lanni 1992, "Experimental test of an
    analytical model of aberration in an oil-immersion objective lens"; Li, Xue and
    Blu 2017, "Fast and accurate three-dimensional point spread function computation
    for fluorescence microscopy")

        W = ti sqrt(ni^2 - s^2) - ti0 sqrt(ni0^2 - s^2) + depth sqrt(ns^2 - s^2)
          + tg sqrt(ng^2 - s^2) - tg0 sqrt(ng0^2 - s^2)

    where ti makes z the distance from the focus of paraxial rays. Rays with s > ns
    reach the lens from points near the glass only: they fade as the root becomes
    imaginary.

    Args:
      shape: of the result, (planes, rows, columns), z growing with the distance ti from
        objective to glass; if None, as of `born_wolf`.
      wavelength: of the emitted light in vacuum, > 0.
      na: numerical aperture of the objective, 0 < na < ni and ng.
      pixel_size: camera pixel over magnification, > 0.
      z_step: distance of planes by which the stage moves, > 0.
      ns: refractive index of the sample.
      ni: of the immersion medium, as it is.
      ng: of the cover glass, as it is.
      tg: thickness of the cover glass, as it is.
      ti0: working distance by design: thickness of the immersion medium.
      depth: of the point below the glass, >= 0.
      ni0: what the objective was designed for; ni if None, and so on:
      ng0: index of the glass by design.
      tg0: thickness of the glass by design.
      focus: distance of the middle plane from the paraxial focus. Deep points are
        sharpest elsewhere.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a parameter that is not positive, a negative depth, an aperture that
        is no smaller than an index of immersion medium or glass, or a shape of other
        than three axes.

    >>> psf = gibson_lanni(
    ...     (9, 33, 33), wavelength=0.52, na=1.4, pixel_size=0.1, z_step=0.3, depth=2.0
    ... )
    >>> int(psf.max((1, 2)).argmax())  # sharpest off the paraxial focus, plane 4
    3
    """
    ni0, ng0 = ni if ni0 is None else ni0, ng if ng0 is None else ng0
    tg0 = tg if tg0 is None else tg0
    _check(wavelength, na, pixel_size, z_step, ni=ni, ng=ng, ni0=ni0, ng0=ng0)
    positive(ns=ns, ti0=ti0)
    for name, value in (("depth", depth), ("tg", tg), ("tg0", tg0)):
        if isinstance(value, (int, float)) and not 0 <= value < math.inf:
            raise ValueError(f"{name}={value!r}: must be >= 0")
    shape = _shape("gibson_lanni", shape, wavelength, na, pixel_size, z_step, ni)
    z = _planes(shape, z_step, focus)
    na, ns = _float(na), _float(ns)
    layers = map(_float, (ni, ng, tg, ti0, depth, ni0, ng0, tg0))
    path = functools.partial(_path, z, ns, *layers)
    return _diffract(
        shape,
        path,
        lambda count: _sample_rays(count, na, ns),
        wavelength,
        na,
        pixel_size,
    )


@jax.jit
def _path(
    z: Array,
    ns: Array,
    ni: Array,
    ng: Array,
    tg: Array,
    ti0: Array,
    depth: Array,
    ni0: Array,
    ng0: Array,
    tg0: Array,
    sine: Array,
) -> Array:
    """W less constants, `[planes, sines]`.

    The paraxial parts of all roots add up to that of z. What remains is small, so that
    float32 has no large phases to tell apart.
    """
    ti = z - ni * (depth / ns + tg / ng - tg0 / ng0 - ti0 / ni0)
    return (
        -(sine**2) * z / (2 * ni)
        + ti * _beyond_paraxial(ni, sine)
        - ti0 * _beyond_paraxial(ni0, sine)
        + depth * _beyond_paraxial(ns, sine, evanescent=True)
        + tg * _beyond_paraxial(ng, sine)
        - tg0 * _beyond_paraxial(ng0, sine)
    )


def _sample_rays(count: int, na: Scalar, ns: Array) -> tuple[Array, Array]:
    """Sines and weights of rays so placed that sqrt(ns^2 - s^2) is smooth.

    By their angle in the sample, s = ns sin(t); beyond the critical one, where light
    fades within less than a wavelength, s = ns cosh(u).
    """
    share, weight = _gauss_legendre(count)
    is_full = na >= ns
    inside, beyond = jnp.where(is_full, 0.5, na / ns), jnp.where(is_full, na / ns, 2.0)
    angle = jnp.where(is_full, math.pi / 2, jnp.arcsin(inside))
    sines = ns * jnp.sin(angle * share)
    weights = weight * angle * ns * jnp.cos(angle * share)
    if not traced(is_full) and not is_full:
        return sines, weights
    end = jnp.where(is_full, jnp.arccosh(beyond), 0.0)
    more = ns * jnp.cosh(end * share)
    more_weights = weight * end * ns * jnp.sinh(end * share)
    return jnp.concatenate([sines, more]), jnp.concatenate([weights, more_weights])


def _beyond_paraxial(index: Array, sine: Array, *, evanescent: bool = False) -> Array:
    """sqrt(n^2 - s^2) - (n - s^2 / (2 n)) = -s^4 / (2 n (n + sqrt(n^2 - s^2))^2)."""
    square = index**2 - sine**2
    root = jnp.sqrt(jnp.where(square == 0, 1.0, jnp.abs(square))) * (square != 0)
    if evanescent:
        root = jnp.where(square >= 0, root, 1j * root)
    return -(sine**4) / (2 * index * (index + root) ** 2)


def _diffract(
    shape: Sequence[int],
    path: Callable[[Array], Array],
    sample: Callable[[int], tuple[Array, Array]],
    wavelength: Scalar,
    na: Array,
    pixel_size: Scalar,
) -> Array:
    """|integral|^2 at every voxel, normalised.

    Args:
      path: takes sines to W, `[planes, sines]`.
      sample: takes a number of nodes to sines and weights.
    """
    wave_number = 2 * math.pi / _float(wavelength)
    radii, index = rings(shape[1:])
    distances = _float(radii) * pixel_size
    phases = wave_number * path(jnp.linspace(0.0, 1.0, 65) * na).real
    widest = wave_number * na * distances[-1]
    if traced(phases, widest):
        turns = math.pi * (max(shape[1:]) + shape[0]) + _ABERRATION
    else:
        turns = float(widest + jnp.abs(jnp.diff(phases)).sum(axis=1).max())
    # Gauss' rule follows 4 radians per node; it is given half of that.
    sines, weights = sample(32 + math.ceil(turns / 2))
    phases = wave_number * path(sines)
    return _intensity(
        phases, weights * sines, wave_number * sines, distances, np.asarray(index)
    )


@jax.jit
def _intensity(
    phases: Array, weights: Array, frequencies: Array, distances: Array, index: Array
) -> Array:
    lens = jnp.exp(1j * phases) * weights
    rays = j0(frequencies[:, None] * distances).astype(lens.dtype)
    wave = jnp.matmul(lens, rays, precision="highest")
    psf = (wave.real**2 + wave.imag**2)[:, index]
    return psf / psf.sum()


@functools.lru_cache(maxsize=8)
def _legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def _gauss_legendre(count: int) -> tuple[Array, Array]:
    """Nodes in [0, 1] and weights."""
    nodes, weights = _legendre(count)
    return _float(nodes), _float(weights)


def _planes(shape: Sequence[int], z_step: Scalar, focus: Scalar) -> Array:
    """Distances from the focus, a column."""
    steps = np.arange(shape[0]) - default_center(shape)[0]
    return (_float(steps) * z_step + focus)[:, None]


def _float(value) -> Array:
    """Of the default precision: where all is plain numbers, there is no other."""
    return jnp.asarray(value, float)


def _shape(
    name: str,
    shape: Sequence[int] | None,
    wavelength: Scalar,
    na: Scalar,
    pixel_size: Scalar,
    z_step: Scalar,
    ni: Scalar,
) -> Sequence[int]:
    if shape is None:
        if traced(wavelength, na, pixel_size, z_step, ni):
            raise ValueError("shape=None: must be given where parameters are traced")
        far = _PLANES * 2 * ni * wavelength / na**2
        cone = far * na / math.sqrt(ni**2 - na**2)
        ring = FIFTH_DARK_RING * wavelength / (2 * math.pi * na)
        width = odd(max(cone, ring) / pixel_size)
        return odd(far / z_step), width, width
    check_axes(name, shape, 3)
    return shape


def _check(
    wavelength: Scalar,
    na: Scalar,
    pixel_size: Scalar,
    z_step: Scalar,
    **indices: Scalar,
) -> None:
    positive(wavelength=wavelength, na=na, pixel_size=pixel_size, z_step=z_step)
    positive(**indices)
    for name, index in indices.items():
        plain = isinstance(na, (int, float)) and isinstance(index, (int, float))
        if plain and not na < index:
            raise ValueError(f"na={na!r}: must be below {name}={index!r}")
