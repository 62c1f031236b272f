"""Folders of image files, labelled or not."""

import hashlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jdeconv.data import images
from jdeconv.data.sources.base import Record, Source
from jdeconv.data.sources.splits import parse_split, split_slice

WHOLE, SORTED = "all", "sorted"


class Folder(Source):
    """The image files of a folder, in a fixed order.

    A folder of sub-folders with images in them is labelled: each sub-folder is a
    class, numbered in the order of their names. A folder with images directly in it is
    not.

    Splits: "train" is the sub-folder `train`, and so on for any name; "all" is the
    folder itself. "all[:80%]" and "all[80%:]" are parts of it: for these the files
    are put in an order that looks random but depends on their names alone. "sorted"
    keeps them in the order of their names (of their numbers, where all names are), so
    "sorted[:80%]" is the first part: for slices of a stack, whose neighbours are alike.

    Args:
      path: the folder.
      split: as above.
      channels: 1 or 3: convert to grey or RGB; None: as stored, the same for all.
      class_split: the split whose sub-folders number the classes.
      inside: the sub-folder of the split that holds the images; None: the split itself.

    Raises:
      FileNotFoundError: the folder or the split does not exist, or is empty.
      ValueError: a folder both labelled and not, a split that holds nothing, classes
        that `class_split` has not.
    """

    def __init__(
        self,
        path: pathlib.Path,
        split: str = WHOLE,
        *,
        channels: int | None = None,
        class_split: str | None = None,
        inside: str | None = None,
    ):
        if channels not in (None, 1, 3):
            raise ValueError(f"data.channels={channels!r}: must be 1, 3 or None")
        if not path.is_dir():
            raise FileNotFoundError(f"there is no folder {path}")
        self.name = f"folder:{path}[{split}]"
        name, start, stop = parse_split(split)
        root = split_folder(path, name)
        if inside is not None:
            root = root / inside
            if not root.is_dir():
                raise FileNotFoundError(f"there is no folder {root} of images")
        files, classes = _labelled_files(root)
        if class_split is not None and classes is not None:
            known = _class_folder_names(split_folder(path, parse_split(class_split)[0]))
            if not set(classes) <= set(known):
                raise ValueError(
                    f"{root} has the classes {sorted(set(classes) - set(known))}, "
                    f"which the split {class_split!r} has not: it has {known}"
                )
            classes = known
        if name == SORTED:
            files.sort(key=_by_number(files))
        elif start or stop:
            files.sort(key=lambda file: _scattered(file.relative_to(root)))
        files = files[split_slice(start, stop, len(files))]
        if not files:
            raise ValueError(f"split {split!r} of {path} holds no image")
        self.files = files
        self.class_names = None if classes is None else tuple(classes)
        self.num_classes = None if classes is None else len(classes)
        self._labels = (
            None if classes is None else [classes.index(f.parent.name) for f in files]
        )
        first = images.read_image(files[0])
        self._convert = channels
        self.dtype = first.dtype
        self.channels = channels or first.shape[-1]
        # Of the first file: `one_size` or a crop makes sure of the others.
        self.image_shape = (*first.shape[:2], self.channels)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Record:
        image = images.read_image(self.files[index])
        if self._convert is not None:
            image = images.to_channels(image, self._convert)
        if image.shape[-1] != self.channels or image.dtype != self.dtype:
            raise ValueError(
                f"{self.describe(index)} is {image.dtype} with {image.shape[-1]} "
                f"channels, {self.describe(0)} {self.dtype} with {self.channels}: "
                "they must be alike (data.channels=1 or 3 converts grey and RGB)"
            )
        record = {"image": image}
        if self._labels is not None:
            record["label"] = np.asarray(self._labels[index], np.int32)
        return record

    def describe(self, index: int) -> str:
        """What to call a picture in an error: its path."""
        return str(self.files[index])

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every file, from the headers."""
        return [images.image_size(file) for file in self.files]

    def one_size(self) -> "Folder":
        """This source, if all its images have one size.

        Raises:
          ValueError: they have not; naming two that differ.
        """
        for i, size in enumerate(self.sizes()):
            if size != self.image_shape[:2]:
                raise ValueError(
                    f"{self.describe(i)} is {size[0]} x {size[1]} pixels, "
                    f"{self.describe(0)} {self.image_shape[0]} x "
                    f"{self.image_shape[1]}: set data.patch_size and data.crop to cut "
                    "them to one size"
                )
        return self


def split_folder(path: pathlib.Path, name: str) -> pathlib.Path:
    """Where the images of a split lie.

    Raises:
      FileNotFoundError: there is no such folder.
    """
    if name in (WHOLE, SORTED):
        return path
    if not (path / name).is_dir():
        raise FileNotFoundError(
            f"split {name!r}: there is no folder {path / name}; make it, or divide "
            f"{path} by data.train_split='all[:80%]' and data.test_split='all[80%:]'"
        )
    return path / name


def _labelled_files(
    root: pathlib.Path,
) -> tuple[list[pathlib.Path], list[str] | None]:
    direct = images.images_in(root)
    classes = _class_folder_names(root)
    if direct and classes:
        raise ValueError(
            f"{root} holds images ({direct[0].name}, ...) and folders with images "
            f"({classes[0]}, ...): one or the other, unlabelled or a folder per class"
        )
    if not direct and not classes:
        raise FileNotFoundError(
            f"folder {root} holds no image: looked for {', '.join(images.SUFFIXES)} "
            "in it and in its sub-folders"
        )
    if direct:
        return direct, None
    return [file for c in classes for file in images.images_in(root / c)], classes


def _class_folder_names(root: pathlib.Path) -> list[str]:
    return sorted(
        folder.name
        for folder in root.iterdir()
        if folder.is_dir()
        and not folder.name.startswith(".")
        and images.images_in(folder)
    )


def _by_number(files: Sequence[pathlib.Path]) -> Callable[[pathlib.Path], Any]:
    if all(file.stem.isdecimal() for file in files):
        return lambda file: int(file.stem)
    return lambda file: file


def _scattered(file: pathlib.Path) -> bytes:
    """A key whose order mixes classes and stays when files are added."""
    return hashlib.sha256(file.as_posix().encode()).digest()
