"""ArraySource and the fields of config.data."""

import numpy as np
import pytest

from jdeconv.data import ArraySource, default_config, load_source


def test_array_source(rng):
    images = rng.integers(0, 255, (5, 4, 3, 3), np.uint8)
    source = ArraySource(images, np.array([0, 1, 2, 1, 0]), name="mine")
    assert (len(source), source.image_shape, source.num_classes) == (5, (4, 3, 3), 3)
    assert source.element_bytes == 4 * 3 * 3 + 4
    np.testing.assert_array_equal(source[3]["image"], images[3])
    assert source[3]["label"].dtype == np.int32
    assert source[3]["label"] == 1
    assert [r["label"].item() for r in source.read(np.array([4, 2]))] == [0, 2]
    unlabelled = ArraySource(images.astype(np.float32))
    assert unlabelled[0].keys() == {"image"}
    assert unlabelled.num_classes is None
    assert unlabelled.element_bytes == 4 * 4 * 3 * 3


@pytest.mark.parametrize(
    "images, labels, options, error, match",
    [
        (np.zeros((5, 4, 4), np.uint8), None, {}, ValueError, "shape"),
        (np.zeros((5, 4, 4, 1), int), None, {}, TypeError, "int64"),
        (np.full((1, 2, 2, 1), np.nan), None, {}, ValueError, "NaN"),
        (np.zeros((5, 4, 4, 1), np.uint8), np.zeros(4, int), {}, ValueError, "labels"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2), {}, ValueError, "integers"),
        (
            np.zeros((2, 4, 4, 1), np.uint8),
            np.array([0, 3]),
            {"num_classes": 3},
            ValueError,
            r"lie in 0 \.\. 2",
        ),
        (
            np.zeros((2, 4, 4, 1), np.uint8),
            None,
            {"num_classes": 3},
            ValueError,
            "no labels",
        ),
    ],
)
def test_array_source_refuses(images, labels, options, error, match):
    with pytest.raises(error, match=match):
        ArraySource(images, labels, **options)


@pytest.mark.parametrize(
    "field, value, match",
    [
        ("source", "mnist", "data.source='mnist': must be tfds:NAME"),
        ("source", "tfds:", "must be tfds:NAME"),
        ("source", "digits:8", "must be tfds:NAME"),
        ("patch_size", 0, "data.patch_size=0"),
        ("patch_size", (8, 8, 8), "data.patch_size="),
        ("patch_stride", -1, "data.patch_stride=-1"),
        ("patches_per_image", 0, "data.patches_per_image=0"),
        ("crop", "middle", "crop='middle': must be one of grid, center, random"),
        ("channels", 2, "data.channels=2"),
        ("train_split", "validation", "must be train or test"),
        ("train_split", "train[", r"must be NAME or NAME\[start:stop\]"),
        ("train_split", "train[20:]", "holds no photograph"),
    ],
)
def test_illegal_fields(field, value, match):
    config = default_config()
    config.source = "photos"
    config[field] = value
    with pytest.raises(ValueError, match=match):
        load_source(config, "train")


def test_a_plain_dict_will_do():
    assert load_source({"source": "photos"}, "test").image_shape == (64, 64, 1)
