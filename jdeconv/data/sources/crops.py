"""Pictures of any size, cut to images of one size."""

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np

from jdeconv.data.sources.base import Record, Source

Crop = Literal["grid", "center", "random"]


class Pictures(Protocol):
    """What can be cut: records like those of a `Source`, heights and widths free."""

    name: str
    num_classes: int | None
    class_names: tuple[str, ...] | None
    dtype: np.dtype
    channels: int
    masked: bool

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...

    def describe(self, index: int) -> str:
        """What to call a picture in an error."""
        ...


class CroppedSource(Source):
    """Images of one size, cut from pictures of any size at least that large.

    Args:
      pictures: what to cut.
      size: (height, width) of the images.
      crop: "grid": all patches at multiples of `stride` from the upper left corner
        that fit; "center": one from the middle of each picture; "random":
        `per_picture` patches of each picture, anywhere, fixed by `seed`.
      stride: (down, across), of the grid.
      per_picture: number of random patches.
      seed: of the random patches.
      sizes: (height, width) per picture; needed by "grid". Where given, pictures too
        small are found now, otherwise when they are read.

    Raises:
      ValueError: a picture smaller than `size`, or an option out of its range.
    """

    def __init__(
        self,
        pictures: Pictures,
        size: tuple[int, int],
        *,
        crop: Crop = "grid",
        stride: tuple[int, int] | None = None,
        per_picture: int = 1,
        seed: int = 0,
        sizes: Sequence[tuple[int, int]] | None = None,
    ):
        if crop not in get_args(Crop):
            raise ValueError(
                f"crop={crop!r}: must be one of {', '.join(get_args(Crop))}"
            )
        self.name = pictures.name
        self.image_shape = (*size, pictures.channels)
        self.dtype = pictures.dtype
        self.num_classes = pictures.num_classes
        self.class_names = pictures.class_names
        self.masked = pictures.masked
        self._pictures = pictures
        self._size = size
        self._crop = crop
        self._seed = seed
        self._last: tuple[int, Record] | None = None
        for i, picture_size in enumerate(sizes or ()):
            self._check_size(i, picture_size)
        if crop == "grid":
            if sizes is None:
                raise ValueError(
                    f"crop='grid' needs the size of every picture of {self.name} "
                    "beforehand: use 'center' or 'random'"
                )
            corners = [
                (i, top, left)
                for i, (height, width) in enumerate(sizes)
                for top in range(0, height - size[0] + 1, (stride or size)[0])
                for left in range(0, width - size[1] + 1, (stride or size)[1])
            ]
        else:
            per_picture = per_picture if crop == "random" else 1
            # For random patches the second number says which; corners come when read.
            corners = [
                (i, j, 0) for i in range(len(pictures)) for j in range(per_picture)
            ]
        self._corners = np.array(corners, np.int32).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> Record:
        picture, top, left = map(int, self._corners[index])
        record = self._read_picture(picture)
        image = record["image"]
        self._check_size(picture, image.shape[:2])
        height, width = self._size
        room = (image.shape[0] - height, image.shape[1] - width)
        if self._crop == "center":
            top, left = room[0] // 2, room[1] // 2
        elif self._crop == "random":
            draw = np.random.default_rng((self._seed, picture, top))
            top, left = draw.integers((room[0] + 1, room[1] + 1))
        for name in ("image", "mask") if self.masked else ("image",):
            # A copy: the picture need not stay in memory for its patch's sake.
            patch = record[name][top : top + height, left : left + width].copy()
            record = {**record, name: patch}
        return record

    def _read_picture(self, picture: int) -> Record:
        # Neighbouring patches mostly come from one picture; decode it once.
        last = self._last
        if last is None or last[0] != picture:
            last = self._last = (picture, self._pictures[picture])
        return last[1]

    def _check_size(self, picture: int, size: tuple[int, ...]) -> None:
        if size[0] < self._size[0] or size[1] < self._size[1]:
            raise ValueError(
                f"{self._pictures.describe(picture)} is {size[0]} x {size[1]} pixels, "
                f"smaller than the patches, {self._size[0]} x {self._size[1]} "
                "(data.patch_size)"
            )
