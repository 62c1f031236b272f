"""Image deconvolution, the inverse problem: the scene behind a blurred image.

Not to be confused with `ops.conv_transpose`, the adjoint of a convolution, which undoes
nothing.
"""

from jdeconv.restore import noise, psf
from jdeconv.restore.blur import Blur
from jdeconv.restore.deconvolve import deconvolve
from jdeconv.restore.problem import Solution
from jdeconv.restore.richardson_lucy import richardson_lucy
from jdeconv.restore.total_variation import total_variation
from jdeconv.restore.wiener import wiener

__all__ = [
    "Blur",
    "Solution",
    "deconvolve",
    "noise",
    "psf",
    "richardson_lucy",
    "total_variation",
    "wiener",
]
