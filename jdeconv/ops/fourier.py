"""Convolution by the discrete Fourier transform: sizes and transfer functions."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array


@functools.cache
def fast_size(size: int) -> int:
    """The smallest 2^a 3^b 5^c that is >= size: transforms of these lengths are fast.

    Raises:
      ValueError: size below 1.

    >>> [fast_size(n) for n in (1, 7, 97, 257)]
    [1, 8, 100, 270]
    """
    if size < 1:
        raise ValueError(f"size={size}: must be >= 1")
    best = 2 ** math.ceil(math.log2(size))
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            twos = 2 ** max(0, math.ceil(math.log2(size / threes)))
            best = min(best, threes * twos)
            threes *= 3
        fives *= 5
    return best


def transform(x: Array, shape: Sequence[int]) -> Array:
    """Fourier transform over the last axes, filled up with zeros to this shape.

    Of real arrays only the half that is not redundant, as `numpy.fft.rfftn`.
    """
    axes = range(-len(shape), 0)
    return (jnp.fft.fftn if jnp.iscomplexobj(x) else jnp.fft.rfftn)(x, shape, axes)


def inverse(spectrum: Array, shape: Sequence[int], *, real: bool) -> Array:
    """The array of this shape over the last axes whose `transform` the spectrum is."""
    axes = range(-len(shape), 0)
    if real:
        return jnp.fft.irfftn(spectrum, s=shape, axes=axes)
    return jnp.fft.ifftn(spectrum, axes=axes)


def product(a: Array, b: Array, *, conjugate: bool = False) -> Array:
    """a times b or its conjugate, both complex, in real parts.

    For loops on a CPU: Richardson-Lucy at 512 x 512 takes 0.88 to 1.0 of its time with
    XLA's own product; at 2048 x 2048 and in other solvers there is no difference.
    """
    if conjugate:
        real = a.real * b.real + a.imag * b.imag
        return jax.lax.complex(real, a.imag * b.real - a.real * b.imag)
    real = a.real * b.real - a.imag * b.imag
    return jax.lax.complex(real, a.real * b.imag + a.imag * b.real)


def transfer_function(
    psf: Array, shape: Sequence[int], center: Sequence[int] | None = None
) -> Array:
    """The spectrum that a circular convolution with the PSF multiplies by.

    Args:
      psf: point spread function, at most as large as `shape`.
      shape: of the images.
      center: index of the PSF's origin, moved to index 0; (0, ..., 0) if None.

    Returns:
      `transform` of the PSF filled up with zeros to `shape`.

    Raises:
      ValueError: a PSF larger than the images, or of another number of axes.
    """
    if psf.ndim != len(shape) or any(k > n for k, n in zip(psf.shape, shape)):
        raise ValueError(
            f"psf of shape {psf.shape}: must have {len(shape)} axes, none longer than "
            f"in {tuple(shape)}"
        )
    shift = None if center is None else tuple(center)
    return _transfer_function(psf, tuple(shape), shift)


@functools.partial(jax.jit, static_argnums=(1, 2), inline=True)
def _transfer_function(psf: Array, shape: tuple, center: tuple | None) -> Array:
    if center is None:
        return transform(psf, shape)
    kernel = jnp.pad(psf, [(0, n - k) for k, n in zip(psf.shape, shape)])
    return transform(jnp.roll(kernel, [-c for c in center], range(psf.ndim)), shape)
