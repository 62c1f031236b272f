"""Data that comes with scikit-learn and scikit-image: no network needed."""

import contextlib
import importlib.util
import io
import os
import pathlib
import tempfile

import numpy as np

from jdeconv.data.images import read_image, to_channels
from jdeconv.data.sources.base import Record
from jdeconv.data.sources.splits import parse_split, split_slice
from jdeconv.data.sources.tfds import TfdsSource

_DIGITS_VERSION = "1.0.0"

# All of them lie in scikit-image's wheel, and none of a scene of the other part.
PHOTOS = {
    "train": (
        "astronaut.png",
        "brick.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "ihc.png",
        "moon.png",
        "motorcycle_left.png",
        "rocket.jpg",
    ),
    "test": ("camera.png", "chelsea.png", "coffee.png"),
}


def open_digits(split: str, data_dir: str | None = None) -> TfdsSource:
    """scikit-learn's digits, 8 x 8 uint8: a TFDS data set, built at the first call.

    Args:
      split: "train" (1437 images), "test" (360), or parts of them as in TFDS.
      data_dir: where to build it; None: `$XDG_CACHE_HOME/jdeconv/tfds`, by default
        `~/.cache/jdeconv/tfds`.

    Raises:
      ModuleNotFoundError: scikit-learn is needed and missing.
      ValueError: no such split.
    """
    if data_dir is None:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        data_dir = f"{cache}/jdeconv/tfds"
    folder = pathlib.Path(data_dir).expanduser() / "sklearn_digits" / _DIGITS_VERSION
    if not folder.is_dir():
        _build_digits(folder)
    return TfdsSource(folder, split, name="digits")


def _build_digits(folder: pathlib.Path) -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise ModuleNotFoundError(
            'the source "digits" needs scikit-learn: pip install "jdeconv[demo]"'
        )
    from jdeconv.data.sources.digits_builder import SklearnDigits

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may do this at the same time: each builds its own and the
    # first one to rename it has won.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build.") as scratch:
        _prepare_quietly(SklearnDigits(data_dir=scratch, file_format="array_record"))
        built = pathlib.Path(scratch) / folder.parent.name / folder.name
        try:
            built.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _prepare_quietly(builder) -> None:
    import tensorflow_datasets as tfds

    # A second's work: TFDS' messages and bars for it would only clutter the screen.
    # Anything wrong is an exception.
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )


class Photos:
    """Photographs bundled in scikit-image, those to train with and those to test.

    Args:
      split: "train", "test", or photographs of them by number, "train[:4]".
      channels: 1: all of them, in grey; 3: the colour ones.

    Raises:
      ModuleNotFoundError: scikit-image is missing.
      FileNotFoundError: the installed one lacks a photograph.
      ValueError: no such split, or it holds nothing.
    """

    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    masked: bool = False

    def __init__(self, split: str, channels: int = 1):
        name, start, stop = parse_split(split)
        if name not in PHOTOS:
            raise ValueError(f"split {split!r} of photos: must be train or test")
        if channels not in (1, 3):
            raise ValueError(f"data.channels={channels!r}: photos have 1 or 3")
        self.name = f"photos[{split}]"
        self.channels = channels
        self.dtype = np.dtype(np.uint8)
        folder = _skimage_data()
        files = [folder / file for file in PHOTOS[name]]
        pictures = {file.name: read_image(file) for file in files}
        if channels == 3:
            pictures = {n: p for n, p in pictures.items() if p.shape[-1] == 3}
        chosen = list(pictures.items())[split_slice(start, stop, len(pictures))]
        if not chosen:
            raise ValueError(f"split {split!r} of photos holds no photograph")
        self.file_names = tuple(name for name, _ in chosen)
        self._pictures = [to_channels(picture, channels) for _, picture in chosen]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Record:
        return {"image": self._pictures[index]}

    def describe(self, index: int) -> str:
        """What to call a picture in an error."""
        return f"scikit-image's {self.file_names[index]}"

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every photograph."""
        return [picture.shape[:2] for picture in self._pictures]


def _skimage_data() -> pathlib.Path:
    # Found without importing scikit-image, whose own loader would download what is
    # not there.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            'the source "photos" needs scikit-image: pip install "jdeconv[demo]"'
        )
    return pathlib.Path(spec.submodule_search_locations[0]) / "data"
