"""Point spread functions: what a point of light becomes. Each sums to 1.

All are differentiable in their parameters where their shape is given; without one it is
chosen large enough from the parameters, which must then be plain numbers. The centre is
`blur.default_center`: (n - 1) // 2.

    shapes      gaussian, disk, motion, trajectory             in pixels
    airy        airy, telescope                                in units of length, angle
    microscope  born_wolf, gibson_lanni                        3-D, in micrometres
    zernike     aberrated, and the polynomials                 2-D and 3-D
    measured    find_beads, from_beads                         from an image of beads
    regrid      radial_average, resample, crop                 of any PSF
    parse       parse                                          by name, as text
"""

from jdeconv.restore.psf.airy import airy, telescope
from jdeconv.restore.psf.measured import find_beads, from_beads
from jdeconv.restore.psf.microscope import born_wolf, gibson_lanni
from jdeconv.restore.psf.parse import parse
from jdeconv.restore.psf.regrid import crop, radial_average, resample
from jdeconv.restore.psf.shapes import disk, gaussian, motion, trajectory
from jdeconv.restore.psf.zernike import aberrated, noll, zernike

__all__ = [
    "aberrated",
    "airy",
    "born_wolf",
    "crop",
    "disk",
    "find_beads",
    "from_beads",
    "gaussian",
    "gibson_lanni",
    "motion",
    "noll",
    "parse",
    "radial_average",
    "resample",
    "telescope",
    "trajectory",
    "zernike",
]
