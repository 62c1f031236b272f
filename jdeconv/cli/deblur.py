"""`jdeconv deblur`: image files, sharpened by what is known of their blur.

Each file is deconvolved with the point spread function given, and the result is written
in the format and number type of the file, beside a figure that shows before and after.
Colours are deblurred one by one. With a PSF of two axes the pages of a stack are, too;
with one of three axes the stack is one volume.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

import numpy as np

_DESCRIPTION = __doc__

_NAMED = (
    "gaussian:STD, motion:LENGTH,ANGLE, disk:RADIUS, airy:, telescope:, zernike:, "
    "born-wolf: or gibson-lanni:KEY=VALUE,..."
)


def deblur_images(
    images: str | pathlib.Path | Sequence[str | pathlib.Path],
    psf: str | pathlib.Path | np.ndarray,
    out: str | pathlib.Path,
    *,
    figure: bool = True,
    progress: bool = True,
    **options,
) -> tuple[list[pathlib.Path], dict[pathlib.Path, str]]:
    """Applies `restore.deconvolve` to files and folders.

    Files of one size and type share one compiled program.

    Args:
      images: files (PNG, JPEG, TIFF and stacks of it, NPY) and folders of such.
      psf: an array, a file of these formats (colours of PNG and JPEG are summed), or
        the name and parameters of one, as `restore.psf.parse` takes.
      out: folder for the results, NAME.SUFFIX and NAME_figure.png; made if needed.
      figure: whether to draw it.
      progress: whether to show a progress bar for more than one file.
      options: of `restore.deconvolve`.

    Returns:
      The result files written, and what went wrong by input file; a bad file does not
      stop the others.

    Raises:
      FileNotFoundError: no images, or no PSF file.
      ValueError: a PSF that is none, or results that would overwrite an input or each
        other.
    """
    from tqdm import tqdm

    from jdeconv import data
    from jdeconv.cli.targets import result_files
    from jdeconv.data import stacks

    files = data.find_images(images, stacks.SUFFIXES)
    targets = result_files(files, pathlib.Path(out))
    kernel = read_psf(psf) if isinstance(psf, (str, os.PathLike)) else np.asarray(psf)
    written, failed = [], {}
    bar = tqdm(files, disable=not progress or len(files) == 1, unit="image")
    for file in bar:
        try:
            image = stacks.read_array(file)
            result = _deblur(image, kernel, **options)
            written.append(_write(targets[file], image, result, figure))
        except (ValueError, TypeError, OSError) as error:
            failed[file] = f"{file}: {error}".replace(f"{file}: {file}", str(file))
    return written, failed


def read_psf(text: str | os.PathLike) -> np.ndarray:
    """The PSF in a file, or the one that is named and described: see `deblur_images`.

    Returns:
      float32; not normalised.

    Raises:
      FileNotFoundError, ValueError: neither a file nor a description.
    """
    from jdeconv.data import stacks
    from jdeconv.restore import psf

    if not pathlib.Path(text).exists():
        if ":" in os.fspath(text):
            try:
                return np.asarray(psf.parse(os.fspath(text)))
            except ValueError as error:
                raise ValueError(f"--psf: {error}") from None
        raise FileNotFoundError(
            f"--psf={text}: there is no such file; a PSF can also be named as {_NAMED}"
        )
    array = stacks.read_array(text).astype(np.float32)
    pictured = pathlib.Path(text).suffix.lower() in (".png", ".jpg", ".jpeg")
    return array.sum(-1) if pictured and array.ndim > 2 else array


def _deblur(image: np.ndarray, psf: np.ndarray, **options) -> np.ndarray:
    from jdeconv import restore

    if image.ndim < psf.ndim:
        raise ValueError(
            f"has shape {image.shape}, too few axes for a PSF of shape {psf.shape}"
        )
    colors = image.ndim > psf.ndim and image.shape[-1] == 3
    channel_axis = -1 if colors else None
    return np.asarray(
        restore.deconvolve(image, psf, channel_axis=channel_axis, **options)
    )


def _write(
    target: pathlib.Path, image: np.ndarray, result: np.ndarray, figure: bool
) -> pathlib.Path:
    from jdeconv import data, figures
    from jdeconv.data import stacks

    if target.suffix.lower() in (".jpg", ".jpeg"):
        target = target.with_suffix(".png")  # a second lossy coding would be seen
    target.parent.mkdir(parents=True, exist_ok=True)
    stacks.write_array(target, result)
    if figure:
        shown = [_picture(image, image), _picture(result, image)]
        data.write_image(
            target.with_name(f"{target.stem}_figure.png"),
            figures.panels(shown, ["measured", "deblurred"]),
        )
    return target


def _picture(array: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`[H, W, 1 or 3]` in 0 .. 1: the middle page; floats by the range of `like`."""
    colors = like.ndim > 2 and like.shape[-1] == 3
    while array.ndim > 2 + colors:
        array, like = array[len(array) // 2], like[len(like) // 2]
    if array.ndim == 1:
        array, like = array[None], like[None]
    top, low = np.max(like), min(np.min(like), 0)
    if np.issubdtype(array.dtype, np.integer):
        low = 0
        top = np.iinfo(array.dtype).max if array.dtype == np.uint8 else top
    shown = (array.astype(np.float64) - low) / max(float(top) - float(low), 1e-30)
    return np.clip(shown if colors else shown[..., None], 0, 1)


def parser() -> argparse.ArgumentParser:
    """The command line of `jdeconv deblur`."""
    from jdeconv.cli.main import Parser
    from jdeconv.restore.deconvolve import LIKELIHOODS, METHODS
    from jdeconv.restore.problem import BOUNDARY_NAMES

    parser = Parser("jdeconv deblur", description=_DESCRIPTION)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files and folders")
    parser.add_argument("--psf", required=True, help=f"a file, or {_NAMED}")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--method", choices=METHODS, default="auto")
    parser.add_argument("--num_iters", type=int, help="of an iterative method")
    parser.add_argument(
        "--noise_std",
        type=float,
        help="standard deviation of the noise, 1 being white; estimated if not given",
    )
    parser.add_argument("--likelihood", choices=LIKELIHOODS, default="gaussian")
    parser.add_argument(
        "--weight",
        type=float,
        help="of the method's regularisation; chosen from the noise if not given",
    )
    parser.add_argument("--boundary", choices=BOUNDARY_NAMES, default="unknown")
    parser.add_argument(
        "--no_figure", action="store_true", help="write no before-and-after pictures"
    )
    parser.add_argument("--device", help="such as cpu, gpu or gpu:1")
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs `jdeconv deblur` with the given arguments; returns the exit code."""
    arguments = parser().parse_args(argv)
    import jax

    with jax.default_device(_device(arguments.device)):
        written, failed = deblur_images(
            arguments.images,
            arguments.psf,
            arguments.out,
            figure=not arguments.no_figure,
            method=arguments.method,
            num_iters=arguments.num_iters,
            noise_std=arguments.noise_std,
            likelihood=arguments.likelihood,
            weight=arguments.weight,
            boundary=arguments.boundary,
        )
    for path in written:
        print(path)
    for error in failed.values():
        print(f"jdeconv deblur: {error}", file=sys.stderr)
    return 2 if failed else 0


def _device(text: str | None):
    import jax

    if text is None:
        return None
    platform, _, index = text.partition(":")
    try:
        return jax.devices(platform)[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        found = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
        raise ValueError(f"--device={text}: must be one of {found}") from None
