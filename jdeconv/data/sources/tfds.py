"""TensorFlow Datasets, read at random and without TensorFlow.

Data sets are opened from what lies on disk (`builder_from_directory`), so neither the
network nor the code that once prepared them is asked for anything.
"""

import io
import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jdeconv.data.sources.base import Record, Source
from jdeconv.data.sources.masks import MaskCode, check_size, decode_mask

_NAME = re.compile(r"\w+(/\w[\w.+-]*)?(:\d+\.\d+\.\d+)?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_FORMAT = "array_record"


class TfdsSource(Source):
    """Images with labels or masks, of a TFDS data set stored as array_record.

    Without `mask`, the features "image" and "label".

    Args:
      folder: of the version, `data_dir/name[/config]/version`.
      split: as in TFDS: "train", "test[:1000]", "train+test", ...
      name: what to call it.
      image: the feature that holds the images.
      mask: the feature that holds the masks; None: none is read.
      code: what the numbers in the masks mean.

    Raises:
      ValueError: the split does not exist, or the features are no images.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        split: str,
        *,
        name: str,
        image: str = "image",
        mask: str | None = None,
        code: MaskCode | None = None,
    ):
        import tensorflow_datasets as tfds

        self.name = f"{name}[{split}]"
        self._folder = folder
        builder = tfds.builder_from_directory(folder)
        features = builder.info.features
        self._image, self._mask, self._code = image, mask, code
        self._shape, self.dtype = _image_spec(name, features, image)
        self.image_shape = self._shape
        self.channels = self._shape[-1]
        self.masked = mask is not None
        self._labelled = _is_class(features) and not self.masked
        if mask is not None and code is not None:
            if _image_spec(name, features, mask)[0][-1] != 1:
                raise ValueError(f"the feature {mask!r} of {name} has several channels")
            self.num_classes = len(code.values)
            self.class_names = code.names
        elif self._labelled:
            self.num_classes = features["label"].num_classes
            self.class_names = tuple(features["label"].names)
        # Decoding by TFDS takes twice the time and asks for OpenCV. Types other than
        # uint8 are left to it.
        self._encoded = {
            feature
            for feature in (image, mask)
            if feature is not None
            and isinstance(features[feature], tfds.features.Image)
            and features[feature].np_dtype == np.uint8
        }
        skip = {feature: tfds.decode.SkipDecoding() for feature in self._encoded}
        if not builder.info.splits:
            raise ValueError(f"{folder} holds no split: it was not prepared to the end")
        try:
            self._records = builder.as_data_source(split=split, decoders=skip or None)
        except ValueError as error:
            raise ValueError(
                f"split {split!r} of {name}: must be made of "
                f"{', '.join(builder.info.splits)} ({error})"
            ) from None

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Record:
        return self.read([index])[0]

    def read(self, indices: Sequence[int]) -> list[Record]:
        """The records at these places."""
        indices = [int(i) for i in indices]
        length = len(self)
        if any(not -length <= i < length for i in indices):
            raise IndexError(f"{self.name} has {length} records, asked for {indices}")
        try:
            records = self._records.__getitems__([i % length for i in indices])
            return [self._record(r) for r in records]
        except Exception as error:  # a damaged file shows in many ways
            raise ValueError(
                f"{self._folder} cannot be read, it may be cut short or damaged "
                f"({type(error).__name__}: {error})"
            ) from error

    def _record(self, record: dict) -> Record:
        image = record[self._image]
        kept = {
            "image": _decode(image, self.channels)
            if self._image in self._encoded
            else np.asarray(image)
        }
        if self._labelled:
            kept["label"] = np.asarray(record["label"], np.int32)
        if self._mask is not None and self._code is not None:
            stored = record[self._mask]
            name = f"a mask of {self.name}"
            stored = (
                decode_mask(stored, name)
                if self._mask in self._encoded
                else np.asarray(stored)[..., 0]
            )
            kept["mask"] = self._code.encode(stored, name)
            check_size("its image", kept["image"], name, kept["mask"])
        return kept

    def describe(self, index: int) -> str:
        """What to call a picture in an error."""
        return f"image {index} of {self.name}"

    def sizes(self) -> list[tuple[int, int]] | None:
        """(height, width) per image, or None where the data set does not say."""
        if None in self._shape:
            return None
        return [self._shape[:2]] * len(self)

    def one_size(self) -> "TfdsSource":
        """This source, if all its images have one size, else ValueError."""
        if None in self._shape:
            raise ValueError(
                f"the images of {self.name} have any size: set data.patch_size, and "
                "data.crop to 'center' or 'random'"
            )
        return self


def open_tfds(
    name: str,
    split: str,
    data_dir: str | None = None,
    *,
    image: str = "image",
    mask: str | None = None,
    code: MaskCode | None = None,
) -> TfdsSource:
    """A TFDS data set on disk.

    Args:
      name: "mnist", "mnist:3.0.1", "name/config" or "name/config:version"; without a
        version the highest one there.
      split: as in TFDS.
      data_dir: where TFDS keeps its data; None: the environment variable
        TFDS_DATA_DIR, and without it `~/tensorflow_datasets`.
      image, mask, code: as for `TfdsSource`.

    Raises:
      FileNotFoundError: it is not there; with the command that gets it.
      ValueError: a name, split or file format that will not do.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"TFDS data set {name!r}: must be NAME, NAME/CONFIG or either followed by "
            ":VERSION, e.g. tfds:mnist:3.0.1"
        )
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = pathlib.Path(data_dir).expanduser()
    path, _, version = name.partition(":")
    how = (
        f'pip install "jdeconv[tf]" && tfds build {name} --file_format={_FORMAT} '
        f"--data_dir={root}"
    )
    folder = _version_folder(root / path, version)
    if folder is None:
        raise FileNotFoundError(
            f"data set {name!r} is not in {root} (data.data_dir, or the environment "
            f"variable TFDS_DATA_DIR, names another place). To get it: {how}"
            f"{_by_hand(path, root)}"
        )
    stored = json.loads((folder / "dataset_info.json").read_text()).get("fileFormat")
    if stored != _FORMAT:
        raise ValueError(
            f"{folder} is stored as {stored or 'tfrecord'}, which cannot be read at "
            f"random. To store it as {_FORMAT}: {how} --overwrite"
        )
    return TfdsSource(
        folder, split, name=f"tfds:{name}", image=image, mask=mask, code=code
    )


def _by_hand(path: str, root: pathlib.Path) -> str:
    """What the user has to download first, where TFDS cannot."""
    import tensorflow_datasets as tfds

    try:
        how = tfds.builder_cls(path.partition("/")[0]).MANUAL_DOWNLOAD_INSTRUCTIONS
    except Exception:  # a set TFDS does not know, or cannot import without TensorFlow
        return ""
    if not how:
        return ""
    return (
        f". Before that, put the files into {root / 'downloads' / 'manual'}: "
        f"{' '.join(how.split())}"
    )


def _image_spec(name: str, features: Any, feature: str) -> tuple[tuple, np.dtype]:
    if feature not in features:
        raise ValueError(
            f"data set {name} has the features {', '.join(features)}, but none called "
            f"{feature}"
        )
    shape = tuple(features[feature].shape)
    dtype = np.dtype(features[feature].np_dtype)
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            f"the images of {name} have shape {shape}: must be (height, width, 1 or 3)"
        )
    return shape, dtype


def _is_class(features: Any) -> bool:
    return "label" in features and hasattr(features["label"], "num_classes")


def _decode(encoded: bytes, channels: int) -> np.ndarray:
    import PIL.Image

    with PIL.Image.open(io.BytesIO(encoded)) as image:
        mode = "L" if channels == 1 else "RGB"
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels[..., None] if channels == 1 else pixels


def _version_folder(folder: pathlib.Path, version: str) -> pathlib.Path | None:
    if not folder.is_dir():
        return None
    versions = [
        f
        for f in folder.iterdir()
        if _VERSION.fullmatch(f.name)
        and (f / "dataset_info.json").is_file()
        and version in ("", f.name)
    ]
    return max(versions, key=lambda f: tuple(map(int, f.name.split("."))), default=None)
