"""Images in: sources, loader, exact preprocessing, degrading, and image files."""

from jdeconv.data import colors, images
from jdeconv.data.degrade import Degrade, gaussian_blur, gaussian_noise
from jdeconv.data.images import find_images, read_image, write_image
from jdeconv.data.loader import Loader
from jdeconv.data.sources import (
    ArraySource,
    CroppedSource,
    MaskCode,
    Source,
    default_config,
    load_source,
    mask_code,
)
from jdeconv.data.transforms import Preprocess, PreprocessInfo

__all__ = [
    "ArraySource",
    "CroppedSource",
    "Degrade",
    "Loader",
    "MaskCode",
    "Preprocess",
    "PreprocessInfo",
    "Source",
    "colors",
    "default_config",
    "find_images",
    "gaussian_blur",
    "gaussian_noise",
    "images",
    "load_source",
    "mask_code",
    "read_image",
    "write_image",
]
