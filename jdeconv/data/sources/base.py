"""`Source`: a data set that can be read at any place, and one held in arrays."""

import abc
from collections.abc import Sequence

import numpy as np

from jdeconv.data.images import check_image

Record = dict[str, np.ndarray]


class Source(abc.ABC):
    """A random-access data set of images of one size, perhaps with labels.

    `source[i]` is a dict of numpy arrays: "image", uint8, uint16 or floating
    `[H, W, C]`; for labelled sets "label", an int32 scalar; for sets with masks "mask",
    uint8 `[H, W]`, the class of each pixel or `masks.IGNORE`.

    Attributes:
      name: what to call it.
      image_shape: (H, W, C) of every image.
      dtype: of the images.
      num_classes: number of labels, or of classes of a pixel; None for a set without.
      class_names: their names, or None.
      masked: whether there are masks.
    """

    name: str
    image_shape: tuple[int, int, int]
    dtype: np.dtype
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    masked: bool = False

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Record: ...

    def read(self, indices: Sequence[int]) -> list[Record]:
        """The records at these places; sources that can read many at once do."""
        return [self[int(i)] for i in indices]

    @property
    def element_bytes(self) -> int:
        """Memory of one decoded record, in bytes."""
        height, width, channels = self.image_shape
        label = 0 if self.num_classes is None else 4
        target = height * width if self.masked else label
        return height * width * channels * self.dtype.itemsize + target

    def __repr__(self) -> str:
        text = f"{self.name}: {len(self)} images {self.dtype} {self.image_shape}"
        return (
            f"<{text}>"
            if self.num_classes is None
            else (f"<{text}, {self.num_classes} classes>")
        )


class ArraySource(Source):
    """A data set of one's own, held in memory.

    Args:
      images: `[N, H, W, C]`, C 1 or 3, uint8, uint16 or floating.
      labels: integers `[N]` from 0, or None.
      num_classes: more than the largest label; None takes that plus one.
      name: what to call it.

    Raises:
      ValueError, TypeError: shapes, types or labels are not these.

    >>> source = ArraySource(np.zeros((5, 4, 4, 1), np.uint8), np.arange(5))
    >>> source
    <arrays: 5 images uint8 (4, 4, 1), 5 classes>
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray | None = None,
        *,
        num_classes: int | None = None,
        name: str = "arrays",
    ):
        images = check_image("images", images)
        if images.ndim != 4:
            raise ValueError(f"images has shape {images.shape}: must be [N, H, W, C]")
        self.name = name
        self.image_shape = images.shape[1:]
        self.dtype = images.dtype
        self._images = images
        self._labels = None
        if labels is None:
            if num_classes is not None:
                raise ValueError(f"num_classes={num_classes}, but there are no labels")
            return
        labels = np.asarray(labels)
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels has shape {labels.shape} and dtype {labels.dtype}: must be "
                f"integers, one per image, {images.shape[:1]}"
            )
        self.num_classes = int(labels.max()) + 1 if num_classes is None else num_classes
        if labels.min() < 0 or labels.max() >= self.num_classes:
            raise ValueError(
                f"labels go from {labels.min()} to {labels.max()}: must lie in 0 .. "
                f"{self.num_classes - 1} (num_classes={self.num_classes})"
            )
        self._labels = labels.astype(np.int32)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Record:
        record = {"image": self._images[index]}
        if self._labels is not None:
            record["label"] = np.asarray(self._labels[index])
        return record
