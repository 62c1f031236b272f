"""The border of an image made as if it went on around: what came before `unknown`."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from jdeconv.ops import fourier
from jdeconv.restore.problem import convolution


def edgetaper(y: Array, psf: Array, *, center: Sequence[int] | None = None) -> Array:
    """Blends an image's border into its own circular blur, to be solved as circular.

        t y + (1 - t) psf * y,  t = product over axes of 1 - r(i) / r(0)

    r the circular autocorrelation of the PSF's projection onto the axis: 0 at the
    border, 1 farther inside than the PSF reaches (MATLAB's edgetaper). The boundary
    "unknown" of the solvers needs none of it, and does better.

    Args:
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF.
      psf: point spread function, no negative values; normalised to sum 1.
      center: of the PSF; (n - 1) // 2 on each axis if None.

    Returns:
      Image of y's shape.

    Raises:
      ValueError: see `problem.convolution`.
    """
    measured = convolution(y, psf, boundary="circular", center=center)
    image, blur = measured.image, measured.blur
    taper = jnp.ones((), image.dtype)
    for axis, n in enumerate(blur.shape):
        others = tuple(a for a in range(psf.ndim) if a != axis)
        power = jnp.abs(fourier.transform(jnp.sum(blur.psf, others), (n - 1,))) ** 2
        likeness = fourier.inverse(power, (n - 1,), real=True)
        likeness = jnp.concatenate([likeness, likeness[:1]])
        shape = [n if a == axis else 1 for a in range(psf.ndim)]
        taper = taper * (1 - likeness / jnp.max(likeness)).reshape(shape)
    return taper * image + (1 - taper) * blur(image)
