"""Image deconvolution, the inverse problem: the scene behind a blurred image.

Not to be confused with `ops.conv_transpose`, the adjoint of a convolution, which undoes
nothing.
"""

from jdeconv.restore import psf
from jdeconv.restore.blur import Blur
from jdeconv.restore.problem import Solution
from jdeconv.restore.richardson_lucy import richardson_lucy
from jdeconv.restore.subsampled import Subsampled
from jdeconv.restore.varying_blur import VaryingBlur

__all__ = ["Blur", "Solution", "Subsampled", "VaryingBlur", "psf", "richardson_lucy"]
