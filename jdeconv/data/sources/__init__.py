"""Where images come from: TFDS, folders, and what scikit-learn and -image bundle."""

import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from jdeconv.data.sources.base import ArraySource, Source
from jdeconv.data.sources.crops import Crop, CroppedSource
from jdeconv.data.sources.embedded import Photos, open_digits
from jdeconv.data.sources.folders import Folder
from jdeconv.data.sources.masks import MaskCode, MaskedFolder
from jdeconv.data.sources.resized import ResizedSource
from jdeconv.data.sources.tfds import TfdsSource, open_tfds

__all__ = [
    "ArraySource",
    "Crop",
    "CroppedSource",
    "Folder",
    "MaskCode",
    "MaskedFolder",
    "Photos",
    "ResizedSource",
    "Source",
    "TfdsSource",
    "default_config",
    "load_source",
    "mask_code",
    "open_digits",
    "open_tfds",
]

PHOTO_PATCH = 64


def default_config() -> ml_collections.ConfigDict:
    """The fields of `config.data`, unlocked.

    - source: "tfds:NAME", "folder:PATH", "digits" or "photos".
    - data_dir: where TFDS data lies (see `open_tfds`, `open_digits`).
    - train_split, test_split: TFDS' names with slices; see `Folder` and `Photos`.
    - cache_bytes, num_workers: of the `Loader`.
    - patch_size: height and width of what is cut from larger images, an int or a pair;
      None: no cut (photos: 64).
    - crop: "grid", "center" or "random", see `CroppedSource`.
    - patch_stride: of the grid; None: patch_size.
    - patches_per_image: of "random".
    - channels: 1 or 3, to convert folders and photos to grey or RGB (photos: 1).
    - resize: height and width that pictures are brought to before all else, an int or a
      pair; None: as they are.
    - image, mask: of a set with masks, the names of the TFDS features, or of the
      sub-folders of a folder, that hold the images and the masks; mask=None: no masks.
    - mask_values, mask_ignore, mask_names: what the numbers in the masks mean, see
      `MaskCode`.
    """
    return ml_collections.ConfigDict(
        {
            "source": "tfds:mnist",
            "data_dir": config_dict.placeholder(str),
            "train_split": "train",
            "test_split": "test",
            "cache_bytes": 2**30,
            "num_workers": 0,
            "patch_size": config_dict.placeholder(object),
            "crop": "grid",
            "patch_stride": config_dict.placeholder(object),
            "patches_per_image": 1,
            "channels": config_dict.placeholder(int),
            "resize": config_dict.placeholder(object),
            "image": "image",
            "mask": config_dict.placeholder(str),
            "mask_values": config_dict.placeholder(tuple),
            "mask_ignore": config_dict.placeholder(object),
            "mask_names": config_dict.placeholder(tuple),
        }
    )


def load_source(config: Mapping[str, Any], split: str, *, seed: int = 0) -> Source:
    """The data set that a config names.

    Args:
      config: `config.data`, a ConfigDict or dict with fields of `default_config`; one
        that is missing or None has its default.
      split: "train" and "test" stand for `config.train_split` and `config.test_split`;
        any other is taken as it is.
      seed: of random patches (`crop="random"`), nothing else.

    Returns:
      A source whose images have one size.

    Raises:
      FileNotFoundError: the data is not there; with what to do about it.
      ModuleNotFoundError: a package of the extra `demo` is needed.
      ValueError: a field's value is not legal, or does not fit the data.
    """

    def field(name: str) -> Any:
        value = config.get(name)
        return _DEFAULTS[name] if value is None else value

    split = field(f"{split}_split") if split in ("train", "test") else split
    kind, _, name = field("source").partition(":")
    data_dir, channels = field("data_dir"), field("channels")
    size = _pair("data.patch_size", field("patch_size"))
    if kind in ("tfds", "digits") and channels is not None:
        raise ValueError(
            f"data.channels={channels!r} converts images of folders and photos; those "
            f"of {field('source')} are taken as they are"
        )
    image, mask, code = field("image"), field("mask"), mask_code(config)
    if mask is not None and kind not in ("tfds", "folder"):
        raise ValueError(f"data.mask={mask!r}: {field('source')} has no masks")
    pictures: TfdsSource | Folder | Photos | ResizedSource
    if kind == "tfds" and name:
        pictures = open_tfds(name, split, data_dir, image=image, mask=mask, code=code)
    elif kind == "folder" and name and code is not None:
        pictures = MaskedFolder(
            pathlib.Path(name).expanduser(),
            split,
            image=image,
            mask=mask,
            code=code,
            channels=channels,
        )
    elif kind == "folder" and name:
        pictures = Folder(
            pathlib.Path(name).expanduser(),
            split,
            channels=channels,
            class_split=field("train_split"),
        )
    elif kind == "digits" and not name:
        pictures = open_digits(split, data_dir)
    elif kind == "photos" and not name:
        pictures = Photos(split, 1 if channels is None else channels)
    else:
        raise ValueError(
            f"data.source={field('source')!r}: must be tfds:NAME, folder:PATH, digits "
            "or photos"
        )
    resize = _pair("data.resize", field("resize"))
    if resize is not None:
        pictures = ResizedSource(pictures, resize)
    if size is None:
        if not isinstance(pictures, Photos):
            return pictures.one_size()
        size = (PHOTO_PATCH, PHOTO_PATCH)
    return CroppedSource(
        pictures,
        size,
        crop=field("crop"),
        stride=_pair("data.patch_stride", field("patch_stride")),
        per_picture=_positive("data.patches_per_image", field("patches_per_image")),
        seed=seed,
        sizes=pictures.sizes(),
    )


def mask_code(config: Mapping[str, Any]) -> MaskCode | None:
    """What the numbers in the masks of `config.data` mean; None: it has no masks.

    Raises:
      ValueError: data.mask_values is missing, or a field is not legal.
    """
    if config.get("mask") is None:
        return None
    values = config.get("mask_values")
    if values is None:
        raise ValueError(
            f"data.mask={config['mask']!r} needs data.mask_values: the stored value of "
            "each class, such as (0, 255)"
        )
    ignore = config.get("mask_ignore")
    return MaskCode(values, () if ignore is None else ignore, config.get("mask_names"))


_DEFAULTS = default_config().to_dict()


def _pair(name: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2:
        raise ValueError(f"{name}={value!r}: must be an int or (height, width)")
    return _positive(name, pair[0]), _positive(name, pair[1])


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: must be an int >= 1")
    return value
