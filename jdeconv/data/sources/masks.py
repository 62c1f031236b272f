"""Masks: images that say what each pixel of another image shows."""

import dataclasses
import io
import pathlib
from typing import Any, Literal

import numpy as np

from jdeconv.data import images
from jdeconv.data.sources.base import Record
from jdeconv.data.sources.folders import Folder, split_folder
from jdeconv.data.sources.splits import parse_split

IGNORE = 255
REST = "rest"


@dataclasses.dataclass(frozen=True)
class MaskCode:
    """Which stored number stands for which class.

    Attributes:
      values: class k is stored as values[k].
      ignore: stored numbers of pixels that do not count; "rest": every one that is not
        in `values`.
      names: of the classes; None: their numbers.

    Raises:
      ValueError: an attribute that is none of these, with its field of `config.data`.

    >>> code = MaskCode((0, 255), names=("background", "nucleus"))
    >>> code.encode(np.array([[0, 255]], np.uint8)).tolist()
    [[0, 1]]
    >>> code.decode(np.array([[1, 0]])).tolist()
    [[255, 0]]
    """

    values: tuple[int, ...]
    ignore: tuple[int, ...] | Literal["rest"] = ()
    names: tuple[str, ...] | None = None

    def __post_init__(self):
        values = _numbers("data.mask_values", self.values)
        if not 2 <= len(values) <= IGNORE or len(set(values)) < len(values):
            raise ValueError(
                f"data.mask_values={values}: must be 2 to {IGNORE} different numbers, "
                "the stored value of each class, such as (0, 255)"
            )
        object.__setattr__(self, "values", values)
        if self.ignore != REST:
            ignore = _numbers("data.mask_ignore", self.ignore)
            if set(ignore) & set(values):
                raise ValueError(
                    f"data.mask_ignore={ignore}: {sorted(set(ignore) & set(values))} "
                    "are classes in data.mask_values"
                )
            object.__setattr__(self, "ignore", ignore)
        if self.names is not None:
            names = tuple(str(name) for name in self.names)
            if len(names) != len(values) or len(set(names)) < len(names):
                raise ValueError(
                    f"data.mask_names={names}: must be {len(values)} different names, "
                    "one for each of data.mask_values"
                )
            object.__setattr__(self, "names", names)

    def encode(self, stored: np.ndarray, name: str = "the mask") -> np.ndarray:
        """Stored numbers to classes, uint8 `[H, W]`; IGNORE where a pixel counts not.

        Args:
          stored: unsigned integers `[H, W]`.
          name: what to call it in an error.

        Raises:
          ValueError: a number that is neither a class nor ignored.
        """
        largest = int(np.iinfo(stored.dtype).max)
        unknown = -1
        start = IGNORE if self.ignore == REST else unknown
        table = np.full(largest + 1, start, np.int16)
        ignored = () if isinstance(self.ignore, str) else self.ignore
        meaning = dict.fromkeys(ignored, IGNORE)
        meaning |= {number: k for k, number in enumerate(self.values)}
        for number, label in meaning.items():
            if number <= largest:
                table[number] = label
        labels = table[stored]
        if (labels == unknown).any():
            strange = np.unique(stored[labels == unknown])
            shown = ", ".join(map(str, strange[:5])) + (", ..." * (len(strange) > 5))
            raise ValueError(
                f"{name} holds {shown}, which data.mask_values={self.values} does not "
                "name; data.mask_ignore names values that do not count, 'rest' is all "
                "others"
            )
        return labels.astype(np.uint8)

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Classes to the numbers they are stored as, uint8 or uint16."""
        dtype = np.uint8 if max(self.values) < 256 else np.uint16
        return np.asarray(self.values, dtype)[labels]


class MaskedFolder(Folder):
    """Pictures in one folder, and in another the mask of each, under the same name.

    `PATH/image/NAME.jpg` goes with `PATH/mask/NAME.png`, for the split "all" and its
    parts; for "train" these two folders lie in `PATH/train`. A mask has one channel, or
    is a palette image, whose numbers are taken.

    Args:
      path: the folder.
      split: as for `Folder`, such as "sorted[:80%]".
      image, mask: names of the two folders.
      code: what the stored numbers mean.
      channels: as for `Folder`.

    Raises:
      FileNotFoundError: a folder is not there, or a picture has no mask.
      ValueError: as for `Folder`.
    """

    def __init__(
        self,
        path: pathlib.Path,
        split: str,
        *,
        image: str,
        mask: str,
        code: MaskCode,
        channels: int | None = None,
    ):
        super().__init__(path, split, channels=channels, inside=image)
        folder = split_folder(path, parse_split(split)[0]) / mask
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder} of masks (data.mask)")
        by_name = {file.stem: file for file in images.images_in(folder)}
        for file in self.files:
            if file.stem not in by_name:
                raise FileNotFoundError(f"{file} has no mask {folder / file.stem}.png")
        self.masks = [by_name[file.stem] for file in self.files]
        self.masked = True
        self.num_classes = len(code.values)
        self.class_names = code.names
        self._code = code

    def __getitem__(self, index: int) -> Record:
        image = super().__getitem__(index)["image"]
        file = self.masks[index]
        mask = self._code.encode(read_mask(file), str(file))
        check_size(self.describe(index), image, str(file), mask)
        return {"image": image, "mask": mask}


def read_mask(path: pathlib.Path) -> np.ndarray:
    """The numbers in a mask's file, unsigned integers `[H, W]`.

    Raises:
      ValueError: a colour picture, floats, or no image at all.
    """
    import PIL.Image

    if path.suffix.lower() == ".png":
        try:
            with PIL.Image.open(path) as picture:
                if picture.mode == "P":
                    return np.asarray(picture)
        except OSError:
            pass  # what is wrong with it is said below
    return _one_channel(images.read_image(path), str(path))


def decode_mask(encoded: bytes, name: str) -> np.ndarray:
    """The numbers in an encoded mask, as `read_mask`."""
    import PIL.Image

    with PIL.Image.open(io.BytesIO(encoded)) as picture:
        stored = np.asarray(picture if picture.mode != "1" else picture.convert("L"))
    return _one_channel(stored if stored.ndim == 3 else stored[..., None], name)


def check_size(image_name: str, image: np.ndarray, name: str, mask: np.ndarray) -> None:
    """Raises ValueError unless a mask has the size of its picture."""
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f"{name} is {mask.shape[0]} x {mask.shape[1]} pixels, {image_name} "
            f"{image.shape[0]} x {image.shape[1]}: a mask has the size of its picture"
        )


def _one_channel(stored: np.ndarray, name: str) -> np.ndarray:
    if (stored != stored[..., :1]).any():
        raise ValueError(f"{name} is a colour picture: a mask has one number per pixel")
    if stored.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{name} holds {stored.dtype}: must be uint8 or uint16")
    return stored[..., 0]


def _numbers(field: str, values: Any) -> tuple[int, ...]:
    numbers = tuple(values) if np.ndim(values) else (values,)
    if not all(isinstance(v, int) and 0 <= v < 2**16 for v in numbers):
        raise ValueError(f"{field}={values!r}: must be numbers in 0 .. 65535")
    return numbers
