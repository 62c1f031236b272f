"""Image deconvolution, the inverse problem: the scene behind a blurred image.

Not to be confused with `ops.conv_transpose`, the adjoint of a convolution, which undoes
nothing.
"""

from jdeconv.restore import denoisers, noise, psf, stopping
from jdeconv.restore.blind import blind_richardson_lucy
from jdeconv.restore.blur import Blur
from jdeconv.restore.deconvolve import deconvolve
from jdeconv.restore.edgetaper import edgetaper
from jdeconv.restore.fista import fista
from jdeconv.restore.fit_psf import fit_psf
from jdeconv.restore.plug_and_play import plug_and_play
from jdeconv.restore.primal_dual import primal_dual
from jdeconv.restore.problem import Solution
from jdeconv.restore.richardson_lucy import richardson_lucy
from jdeconv.restore.subsampled import Subsampled
from jdeconv.restore.total_variation import total_variation
from jdeconv.restore.varying_blur import VaryingBlur
from jdeconv.restore.wiener import wiener

__all__ = [
    "Blur",
    "Solution",
    "Subsampled",
    "VaryingBlur",
    "blind_richardson_lucy",
    "deconvolve",
    "denoisers",
    "edgetaper",
    "fista",
    "fit_psf",
    "noise",
    "plug_and_play",
    "primal_dual",
    "psf",
    "richardson_lucy",
    "stopping",
    "total_variation",
    "wiener",
]
