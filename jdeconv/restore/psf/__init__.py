"""Point spread functions: what a point of light becomes. Each sums to 1.

All are differentiable in their parameters where their shape is given; without one it is
chosen large enough from the parameters, which must then be plain numbers. The centre is
`blur.default_center`: (n - 1) // 2.
"""

from jdeconv.restore.psf.airy import airy, telescope
from jdeconv.restore.psf.microscope import born_wolf, gibson_lanni
from jdeconv.restore.psf.shapes import disk, gaussian, motion, trajectory
from jdeconv.restore.psf.zernike import aberrated, noll, zernike

__all__ = [
    "aberrated",
    "airy",
    "born_wolf",
    "disk",
    "gaussian",
    "gibson_lanni",
    "motion",
    "noll",
    "telescope",
    "trajectory",
    "zernike",
]
