"""Cutting pictures to one size."""

import numpy as np
import pytest

from jdeconv.data.sources.crops import CroppedSource


class Numbered:
    """Pictures whose pixels are (picture, row, column)."""

    name, num_classes, class_names = "numbered", None, None
    dtype, channels, masked = np.dtype(np.uint8), 3, False

    def __init__(self, sizes):
        self.picture_sizes = sizes
        self.reads = 0

    def __len__(self):
        return len(self.picture_sizes)

    def __getitem__(self, index):
        self.reads += 1
        height, width = self.picture_sizes[index]
        planes = np.full((height, width), index), *np.indices((height, width))
        return {"image": np.stack(planes, axis=-1).astype(np.uint8)}

    def describe(self, index):
        return f"picture {index}"


def corners(source):
    return [tuple(source[i]["image"][0, 0].tolist()) for i in range(len(source))]


def test_grid():
    pictures = Numbered([(5, 7), (4, 3)])
    source = CroppedSource(pictures, (2, 3), sizes=pictures.picture_sizes)
    assert corners(source) == [
        (0, 0, 0),
        (0, 0, 3),
        (0, 2, 0),
        (0, 2, 3),
        (1, 0, 0),
        (1, 2, 0),
    ]
    assert source.image_shape == (2, 3, 3)
    assert all(source[i]["image"].shape == (2, 3, 3) for i in range(6))
    np.testing.assert_array_equal(source[3]["image"][1, 2], [0, 3, 5])


def test_grid_with_overlap_reads_each_picture_once():
    pictures = Numbered([(6, 6), (6, 6)])
    source = CroppedSource(
        pictures, (4, 4), stride=(1, 2), sizes=pictures.picture_sizes
    )
    assert corners(source)[:6] == [(0, i, j) for i in range(3) for j in (0, 2)]
    assert len(source) == 12
    pictures.reads = 0
    corners(source)
    assert pictures.reads == 2


def test_center():
    source = CroppedSource(Numbered([(5, 8), (2, 3)]), (2, 3), crop="center")
    assert corners(source) == [(0, 1, 2), (1, 0, 0)]


def test_random_patches_are_fixed_by_the_seed():
    pictures = Numbered([(40, 50), (60, 30)])
    drawn = [
        corners(CroppedSource(pictures, (8, 8), crop="random", per_picture=20, seed=s))
        for s in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert [picture for picture, _, _ in drawn[0]] == [0] * 20 + [1] * 20
    assert len(set(drawn[0])) > 30
    assert all(top <= (32, 52)[p] and left <= (42, 22)[p] for p, top, left in drawn[0])
    # Both ends are reached.
    tight = CroppedSource(Numbered([(9, 8)]), (8, 8), crop="random", per_picture=20)
    assert {top for _, top, _ in corners(tight)} == {0, 1}


def test_too_small():
    pictures = Numbered([(5, 8), (2, 3)])
    match = "picture 1 is 2 x 3 pixels, smaller than the patches, 3 x 3"
    with pytest.raises(ValueError, match=match):
        CroppedSource(pictures, (3, 3), sizes=pictures.picture_sizes)
    with pytest.raises(ValueError, match=match):
        corners(CroppedSource(pictures, (3, 3), crop="center"))
