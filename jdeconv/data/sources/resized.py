"""Pictures of any size, resized to one."""

import numpy as np

from jdeconv.data.sources.base import Record, Source
from jdeconv.data.sources.crops import Pictures


class ResizedSource(Source):
    """Images of one size, stretched or shrunk to it when they are read.

    Images are interpolated linearly, and shrunk with antialiasing; masks, whose numbers
    cannot be mixed, take the nearest pixel. Pixel centres stay where they are.

    Args:
      pictures: what to resize.
      size: (height, width).
    """

    def __init__(self, pictures: Pictures, size: tuple[int, int]):
        self.name = pictures.name
        self.image_shape = (*size, pictures.channels)
        self.dtype = pictures.dtype
        self.channels = pictures.channels
        self.num_classes = pictures.num_classes
        self.class_names = pictures.class_names
        self.masked = pictures.masked
        self._pictures = pictures
        self._size = size

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Record:
        record = self._pictures[index]
        resized = {"image": resize_image(record["image"], self._size)}
        if self.masked:
            resized["mask"] = resize_mask(record["mask"], self._size)
        return {**record, **resized}

    def describe(self, index: int) -> str:
        """What to call a picture in an error."""
        return self._pictures.describe(index)

    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) per picture."""
        return [self._size] * len(self)

    def one_size(self) -> "ResizedSource":
        """This source: its images have one size."""
        return self


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[H, W, C]` of any type to `[*size, C]`, linearly; integers are rounded.

    >>> resize_image(np.array([[[0], [100]]], np.uint8), (1, 1)).tolist()
    [[[50]]]
    """
    import PIL.Image

    if image.shape[:2] == tuple(size):
        return image
    planes = [
        np.asarray(
            PIL.Image.fromarray(image[..., c].astype(np.float32)).resize(
                size[::-1], PIL.Image.Resampling.BILINEAR
            )
        )
        for c in range(image.shape[-1])
    ]
    resized = np.stack(planes, axis=-1)
    if np.issubdtype(image.dtype, np.integer):
        resized = np.round(resized)
    return resized.astype(image.dtype)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[H, W]` to `size`: each pixel is that of the old mask under its centre.

    >>> resize_mask(np.array([[0, 1, 2, 3]]), (2, 2)).tolist()
    [[1, 3], [1, 3]]
    """
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(mask.shape, size)
    )
    return mask[rows[:, None], columns]
