"""Images with known blur and known truth, and how results on them are scored.

Four protocols of the field, as generators of `Case`. They read a folder that holds

    levin32/           Levin et al. 2009: imI_kernelK_img.png, gt/imI.png
    kernels/levin09.npz    the eight kernels of the same paper, k1 to k8
    images/set12, images/set3c
"""

import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    """A measured image, and what it should become.

    Attributes:
      name: of image and kernel.
      y: float64, 1.0 is white.
      psf: float64.
      noise_std: of the noise added, in a pixel of mean brightness if it is that of
        photons; 0 where unknown.
      boundary: of the blur: "unknown" or "circular".
      psnr: of an estimate of y's shape, in dB.
      peak: photons in a white pixel, where the noise is that of counting them; else 0.
    """

    name: str
    y: np.ndarray
    psf: np.ndarray
    noise_std: float
    boundary: str
    psnr: Callable[[np.ndarray], float]
    peak: float = 0.0

    @property
    def photons(self) -> bool:
        """Whether the noise is that of counting photons."""
        return self.peak > 0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of images whose white is 1."""
    return -10 * np.log10(np.mean((a - b) ** 2))


def read(path: pathlib.Path) -> np.ndarray:
    """8-bit image as it is."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def kernels(root: pathlib.Path) -> list[np.ndarray]:
    """Levin's eight, each of sum 1."""
    with np.load(root / "kernels" / "levin09.npz") as file:
        found = [np.asarray(file[f"k{i}"], np.float64) for i in range(1, 9)]
    return [k / k.sum() for k in found]


def levin32(root: pathlib.Path) -> Iterator[Case]:
    """Real photographs of a shaken camera; the noise is what the camera made.

    They are the *correlation* of the scene with the kernels, which are therefore turned
    here. Scored without 15 pixels per side, clipped, and at the best shift by up to 6
    pixels per axis in steps of 1/4, since the truth was photographed apart.
    """
    for i in range(1, 5):
        truth = read(root / "levin32" / "gt" / f"im{i}.png") / 255.0
        for k, kernel in enumerate(kernels(root), 1):
            y = read(root / "levin32" / f"im{i}_kernel{k}_img.png") / 255.0
            yield Case(
                f"im{i}-k{k}",
                y,
                kernel[::-1, ::-1],
                0.0,
                "unknown",
                lambda x, truth=truth: shifted_psnr(np.clip(x, 0, 1), truth),
            )


def shifted_psnr(
    x: np.ndarray, truth: np.ndarray, crop: int = 15, reach: float = 6.0
) -> float:
    """The best PSNR over shifts of x, by bilinear interpolation in steps of 1/4."""
    inside = (slice(crop, -crop),) * 2
    target = truth[inside]
    steps = np.arange(-reach, reach + 0.25, 0.25)
    rows, columns = (_interpolate(x.shape[a], crop, steps) for a in (0, 1))
    best = -np.inf
    for row in rows:
        moved = row @ x
        for column in columns:
            best = max(best, psnr(moved @ column.T, target))
    return best


def _interpolate(size: int, crop: int, steps: np.ndarray) -> list[np.ndarray]:
    """Matrices that take an axis to its inside, moved by each step."""
    matrices = []
    for step in steps:
        at = np.arange(crop, size - crop) + step
        low = np.floor(at).astype(int)
        share = at - low
        matrix = np.zeros((len(at), size))
        index = np.arange(len(at))
        matrix[index, low] = 1 - share
        matrix[index, np.minimum(low + 1, size - 1)] += share
        matrices.append(matrix)
    return matrices


def set12(root: pathlib.Path, sigma: float = 0.0, peak: float = 0.0) -> Iterator[Case]:
    """Twelve grey photographs under each kernel, of which the camera sees a part.

    Args:
      root: see above.
      sigma: of Gaussian noise, in units of 1 / 255.
      peak: photons in a white pixel; 0 for no Poisson noise.

    Scored without 30 pixels per side of the truth, clipped and rounded to 8 bits.
    """
    from scipy.signal import fftconvolve

    for i in range(1, 13):
        truth = read(root / "images" / "set12" / f"{i:02d}.png") / 255.0
        for k, kernel in enumerate(kernels(root), 1):
            y = fftconvolve(truth, kernel, mode="valid")
            random = np.random.default_rng((i, k))
            if peak:
                y = random.poisson(np.maximum(y, 0) * peak) / peak
            else:
                y = y + random.normal(0, sigma / 255, y.shape)
            margins = [(n - 1) // 2 for n in kernel.shape]

            def score(x, truth=truth, margins=margins):
                inside = [
                    slice(30 - m, n - 30 - m) for m, n in zip(margins, truth.shape)
                ]
                x = np.round(np.clip(x[tuple(inside)], 0, 1) * 255) / 255
                return psnr(x, truth[30:-30, 30:-30])

            std = np.sqrt(y.mean() / peak) if peak else sigma / 255
            name = f"{i:02d}-k{k}"
            yield Case(name, y, kernel, std, "unknown", score, peak)


CIRCULAR = {
    "cameraman": "set12/01.png",
    "house": "set12/02.png",
    "monarch": "set12/05.png",
    "butterfly": "set3c/butterfly",
    "leaves": "set3c/leaves",
    "starfish": "set3c/starfish",
}


def circular(
    root: pathlib.Path, sigma: float = 7.65, kernel: int = 4
) -> Iterator[Case]:
    """Six images blurred with wrap-around, as in the plug-and-play papers.

    The blurred image is cut off to whole 8-bit values before noise is added; every
    pixel is scored, rounded to 8 bits. Grey `[H, W]` or RGB `[H, W, 3]`.
    """
    from scipy.ndimage import convolve

    psf = kernels(root)[kernel - 1]
    for name, file in CIRCULAR.items():
        found = sorted((root / "images").glob(file + ("" if "." in file else ".*")))
        truth = read(found[0])
        taps = psf if truth.ndim == 2 else psf[..., None]
        y = convolve(truth, taps, mode="wrap") / 255.0
        random = np.random.RandomState(0)  # the papers' program: np.random.seed(0)
        y = y + random.normal(0, sigma / 255, y.shape)

        def score(x, truth=truth):
            return psnr(np.round(np.clip(x, 0, 1) * 255) / 255, truth / 255.0)

        yield Case(name, y, psf, sigma / 255, "circular", score)
