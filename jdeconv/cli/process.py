"""`jdeconv process`: image files through a trained network.

Each file is preprocessed, passed through the network, and the preprocessing is undone;
the result is written beside a figure that shows original and result.
"""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jdeconv.train import TrainedRun

_DESCRIPTION = __doc__


def process_images(
    images: str | pathlib.Path | Sequence[str | pathlib.Path],
    workdir: "str | pathlib.Path | TrainedRun",
    out: str | pathlib.Path,
    *,
    checkpoint: str = "best",
    size: str | tuple[int, int] = "auto",
    noise_std: float | None = None,
    self_ensemble: bool = False,
    progress: bool = True,
) -> tuple[list[pathlib.Path], dict[pathlib.Path, str]]:
    """Applies preprocess -> trained network -> exact inverse of the preprocess.

    An image network gives an image of the original size and type, one for
    super-resolution a larger one. A network for one channel is applied to each channel
    of an RGB image; for super-resolution to its luma, and chroma is interpolated. A
    classifier takes the luma of an RGB image and gives a JSON file of class
    probabilities. A network that segments (one for grey images: the luma) gives
    NAME.png, a mask of the image's size with the numbers of the masks that it was
    trained on, and in the figure the classes in colour over the image.

    Args:
      images: files and folders.
      workdir: of the training run, or a run that is open already, such as
        `train.load_published("deblur_photos")`.
      out: folder for the results, NAME.SUFFIX and NAME_figure.png; made if needed.
      checkpoint: "best" or "latest", of the workdir.
      size: the size the network sees. "network": the one it was trained on; "image":
        that of the file; (height, width); "auto": "image" for image networks trained
        on patches cut from larger images, and for those that segment unless they were
        trained on resized images; else "network".
      noise_std: of the noise in the images, where 1 is white, for networks that are
        told it (FFDNet); None: they estimate it from each image.
      self_ensemble: the mean of eight results, of the image flipped and turned, see
        `models.SelfEnsemble`.
      progress: whether to show a progress bar for more than one file.

    Returns:
      The result files written, and what went wrong by input file; a bad file does not
      stop the others.

    Raises:
      FileNotFoundError: no images, or no trained network in workdir.
      ValueError: an illegal size, a network that takes no images, self_ensemble of one
        that classifies, or results that would overwrite an input or each other.
    """
    import jax
    from tqdm import tqdm

    from jdeconv import data, train
    from jdeconv.cli.targets import result_files
    from jdeconv.tasks.reconstruct import takes_noise_std

    files = data.find_images(images)
    targets = result_files(files, pathlib.Path(out))
    run = workdir
    if not isinstance(run, train.TrainedRun):
        run = train.load_run(run, checkpoint)
    if not run.task.takes_images:
        raise ValueError("a network of task 'generate' takes no images: it makes them")
    if noise_std is not None and not takes_noise_std(run.model):
        raise ValueError(
            f"noise_std={noise_std}: the network {run.config.model.name!r} is not told "
            "the noise"
        )
    if noise_std is not None and not noise_std >= 0:
        raise ValueError(f"noise_std={noise_std}: must be >= 0")
    if self_ensemble:
        run = run.self_ensemble()
    shape = _network_size(run, size)
    # One compilation per size and type of image.
    apply = jax.jit(functools.partial(run.apply, noise_std=noise_std), static_argnums=1)
    written, failed = [], {}
    bar = tqdm(files, disable=not progress or len(files) == 1, unit="image")
    for file in bar:
        try:
            image = data.read_image(file)
            target = targets[file]
            write = _WRITERS[run.task.output]
            written.append(write(run, apply, image, shape, target))
        except (ValueError, OSError) as error:
            failed[file] = str(error)
    return written, failed


def _network_size(run, size: str | tuple[int, int]) -> tuple[int, int] | None:
    """The size to resize to, or None for that of each image."""
    if size == "auto":
        data = run.config.data
        cut = data.get("patch_size") or data.source == "photos"
        as_it_is = {"image": cut, "labels": not data.get("resize"), "logits": False}
        size = "image" if as_it_is[run.task.output] else "network"
    if size == "image":
        return None
    if size == "network":
        height, width, _ = run.image_shape
        return height, width
    if isinstance(size, str) or len(size) != 2 or min(size) < 1:
        raise ValueError(
            f"size={size!r}: must be 'auto', 'network', 'image' or (height, width)"
        )
    height, width = size
    return height, width


def _write_json(path: pathlib.Path, content: dict) -> None:
    from jdeconv.data.images import replacing

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(json.dumps(content, indent=1).encode())


def _write_figure(target: pathlib.Path, figure: np.ndarray) -> None:
    from jdeconv import data

    data.write_image(target.with_name(f"{target.stem}_figure.png"), figure)


def _classify(run, apply, image, shape, target: pathlib.Path) -> pathlib.Path:
    from jdeconv import data, figures

    seen = data.images.to_channels(image, run.image_shape[-1])
    probabilities = np.asarray(apply(seen[None], shape)[0], float)
    values = {name: float(p) for name, p in zip(run.class_names, probabilities)}
    result = target.with_suffix(".json")
    best = max(values, key=lambda name: values[name])
    _write_json(result, {"label": best, "probabilities": values})
    chart = figures.bars(values)
    _write_figure(target, figures.panels([image, chart], ["original", f"-> {best}"]))
    return result


def _restore(run, apply, image, shape, target: pathlib.Path) -> pathlib.Path:
    from jdeconv import data, figures, tasks

    channels = run.image_shape[-1]
    enlarges = isinstance(run.task, tasks.SuperResolve)
    if channels == 1 and image.shape[-1] == 3 and enlarges:
        result = _enlarge_colors(run, apply, image, shape)
    elif channels == 1:  # each channel is an image to the network
        seen = np.moveaxis(image, -1, 0)[..., None]
        result = np.moveaxis(np.asarray(apply(seen, shape))[..., 0], 0, -1)
    else:
        seen = data.images.to_channels(image, channels)
        result = np.asarray(apply(seen[None], shape)[0])
    if target.suffix.lower() in (".jpg", ".jpeg"):
        target = target.with_suffix(".png")  # a second lossy coding would be seen
    target.parent.mkdir(parents=True, exist_ok=True)
    data.write_image(target, result)
    _write_figure(target, figures.panels([image, result], ["original", "result"]))
    return target


def _segment(run, apply, image, shape, target: pathlib.Path) -> pathlib.Path:
    from jdeconv import data, figures

    seen = data.images.to_channels(image, run.image_shape[-1])
    labels = np.asarray(apply(seen[None], shape)[0])
    code = data.mask_code(run.config.data)
    if code is None:
        raise ValueError("the run's config has no data.mask: its classes have no names")
    target = target.with_suffix(".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    data.write_image(target, code.decode(labels))
    shown = [image, figures.overlay(image, labels)]
    _write_figure(target, figures.panels(shown, ["original", "classes"]))
    return target


_WRITERS = {"logits": _classify, "image": _restore, "labels": _segment}


def _enlarge_colors(run, apply, image, shape) -> np.ndarray:
    """Luma by the network, chroma, which the eye sees less sharply, by bicubic."""
    from jdeconv import data
    from jdeconv.tasks.super_resolve import enlarge

    unit, info = data.Preprocess().forward(image)
    ycbcr = data.colors.rgb_to_ycbcr(unit)
    luma = apply(ycbcr[None, ..., :1], shape)[0]
    chroma = enlarge(ycbcr[..., 1:], run.task.scale)
    rgb = data.colors.ycbcr_to_rgb(np.concatenate([luma, chroma], axis=-1))
    info = dataclasses.replace(info, size=(rgb.shape[0], rgb.shape[1]))
    return np.asarray(data.Preprocess().inverse(rgb, info))


def _size(text: str) -> str | tuple[int, int]:
    if text in ("auto", "network", "image"):
        return text
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be auto, network, image or HEIGHTxWIDTH"
        )
    return int(height), int(width)


def parser() -> argparse.ArgumentParser:
    """The command line of `jdeconv process`."""
    parser = argparse.ArgumentParser("jdeconv process", description=_DESCRIPTION)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files and folders")
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--workdir", help="of the training run")
    network.add_argument(
        "--weights",
        metavar="NAME",
        help="of a published network, such as deblur_photos, or a file .npz",
    )
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--checkpoint", choices=("best", "latest"))
    parser.add_argument(
        "--size",
        type=_size,
        default="auto",
        help="size the network sees: auto, network, image or HEIGHTxWIDTH",
    )
    parser.add_argument(
        "--noise_std",
        type=float,
        help="of the images' noise, 1 is white, for networks that are told it",
    )
    parser.add_argument(
        "--self_ensemble",
        action="store_true",
        help="the mean of eight results, of the image flipped and turned: a little "
        "better, and eight times the time",
    )
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs `jdeconv process` with the given arguments; returns the exit code."""
    arguments = parser().parse_args(argv)
    from jdeconv import train

    if arguments.weights and arguments.checkpoint:
        raise ValueError("--checkpoint is of a workdir: --weights has one state")
    network = arguments.workdir
    if arguments.weights:
        network = train.load_published(arguments.weights)
    written, failed = process_images(
        arguments.images,
        network,
        arguments.out,
        checkpoint=arguments.checkpoint or "best",
        size=arguments.size,
        noise_std=arguments.noise_std,
        self_ensemble=arguments.self_ensemble,
    )
    for path in written:
        print(path)
    for error in failed.values():
        print(f"jdeconv process: {error}", file=sys.stderr)
    return 2 if failed else 0
