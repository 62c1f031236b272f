"""Preprocess: forward, and its exact inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import ops
from jdeconv.data import Preprocess

OPTIONS = [
    {},
    {"range": (-1.0, 1.0)},
    {"standardize": "image"},
    {"standardize": (0.1307, 0.3081)},
    {"standardize": ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)), "range": (-1, 1)},
    {"standardize": (120.0, 60.0), "range": (0, 255)},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("jit", [False, True])
def test_integers_come_back_bit_for_bit(options, dtype, jit):
    # Every value that the type holds, in one image.
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    x = np.repeat(values.reshape(1, -1, 16, 1), 3, axis=-1)
    preprocess = Preprocess(**options)
    forward, inverse = preprocess.forward, preprocess.inverse
    if jit:
        forward, inverse = jax.jit(forward), jax.jit(inverse)
    y, info = forward(x)
    assert y.dtype == jnp.float32
    back = inverse(y, info)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("options", OPTIONS)
def test_random_and_blank_images_come_back(rng, options):
    x = rng.integers(0, 65535, (2, 3, 9, 7, 3), np.uint16, endpoint=True)
    x[0, 0] = 40000  # blank
    preprocess = Preprocess(**options)
    y, info = preprocess.forward(x)
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(preprocess.inverse(y, info), x)


def test_values():
    x = np.array([0, 51, 255], np.uint8).reshape(1, 3, 1)
    np.testing.assert_allclose(Preprocess().forward(x)[0][0, :, 0], [0, 0.2, 1])
    y, _ = Preprocess(range=(-1, 1)).forward(x)
    np.testing.assert_allclose(y[0, :, 0], [-1, -0.6, 1], rtol=1e-6)
    y, _ = Preprocess(standardize=(0.2, 0.4)).forward(x)
    np.testing.assert_allclose(y[0, :, 0], [-0.5, 0, 2], atol=1e-6)
    half = np.array([0.25, 1.5], np.float16).reshape(1, 2, 1)
    y, info = Preprocess().forward(half)
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, half.astype(np.float32))  # floats are not scaled
    assert Preprocess().inverse(y, info).dtype == jnp.float16


def test_standardized_by_image(rng):
    x = rng.integers(0, 255, (4, 12, 10, 3), np.uint8)
    y, info = Preprocess(standardize="image").forward(x)
    np.testing.assert_allclose(y.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2, 3)), 1, rtol=1e-5)
    assert info.mean.shape == (4, 1, 1, 1)


def test_inverse_rounds_and_clips():
    x = np.zeros((1, 4, 1), np.uint8)
    preprocess = Preprocess()
    _, info = preprocess.forward(x)
    y = jnp.array([-0.3, 0.5 / 255 + 1e-4, 100.4 / 255, 7.0]).reshape(1, 4, 1)
    assert preprocess.inverse(y, info)[0, :, 0].tolist() == [0, 1, 100, 255]
    _, info = preprocess.forward(x.astype(np.float32))
    np.testing.assert_array_equal(preprocess.inverse(y, info), y)  # floats are kept


def test_resizing_and_back(rng):
    x = rng.integers(0, 255, (2, 31, 45, 3), np.uint8)
    preprocess = Preprocess(size=(28, 20), standardize="image", range=(-1, 1))
    y, info = preprocess.forward(x)
    assert y.shape == (2, 28, 20, 3)
    back = preprocess.inverse(y, info)
    assert back.shape == x.shape
    assert back.dtype == jnp.uint8
    # What is left out is the resampling and nothing else.
    unit = ops.resize(x.astype(np.float32) / 255, (28, 20), antialias=True)
    unit = ops.resize(unit, (31, 45), antialias=True)
    assert np.abs(back - np.asarray(unit) * 255).max() <= 0.5 + 1e-3
    # A network that upsamples is brought back to the original size too.
    larger = ops.resize(y, (56, 40))
    assert preprocess.inverse(larger, info).shape == x.shape


def test_enlarging_with_nearest_is_exact(rng):
    x = rng.integers(0, 255, (5, 6, 1), np.uint8)
    preprocess = Preprocess(size=(15, 18), method="nearest")
    y, info = preprocess.forward(x)
    np.testing.assert_array_equal(preprocess.inverse(y, info), x)


def test_jit_vmap_and_bfloat16(rng):
    x = rng.integers(0, 255, (3, 8, 6, 1), np.uint8)
    preprocess = Preprocess(standardize="image", size=9)
    y, info = preprocess.forward(x)
    one_by_one, infos = jax.vmap(preprocess.forward)(jnp.asarray(x))
    np.testing.assert_allclose(one_by_one, y, atol=1e-5)
    back = jax.vmap(preprocess.inverse)(one_by_one, infos)
    np.testing.assert_array_equal(back, preprocess.inverse(y, info))
    assert preprocess.inverse(y.astype(jnp.bfloat16), info).dtype == jnp.uint8


def test_hashable_and_static():
    a = Preprocess(size=[8, 8], standardize=[[0.5], 0.5], range=[0, 1])
    assert a == Preprocess(size=8, standardize=((0.5,), 0.5))
    assert hash(a) == hash(Preprocess(size=(8, 8), standardize=((0.5,), 0.5)))


@pytest.mark.parametrize(
    "options, match",
    [
        ({"size": 0}, "size=0"),
        ({"size": (1, 2, 3)}, "size="),
        ({"size": 2.5}, "size=2.5"),
        ({"standardize": "images"}, "standardize='images'"),
        ({"standardize": (0.5, 0.0)}, "every std > 0"),
        ({"standardize": (float("nan"), 1.0)}, "finite"),
        ({"range": (1, 0)}, "low < high"),
        ({"range": (0, 1, 2)}, "low < high"),
    ],
)
def test_illegal_options(options, match):
    with pytest.raises(ValueError, match=match):
        Preprocess(**options)


@pytest.mark.parametrize(
    "x, error, match",
    [
        (np.zeros((4, 4), np.uint8), ValueError, r"\[\*batch, height, width"),
        (np.zeros((4, 4, 1), np.int32), TypeError, "dtype int32"),
        (np.zeros((4, 4, 1), bool), TypeError, "dtype bool"),
        (jnp.zeros((4, 4, 1), jnp.int32), TypeError, "dtype int32"),
        (np.zeros((0, 4, 1), np.uint8), ValueError, "shape"),
        (np.full((4, 4, 1), np.nan, np.float32), ValueError, "16 values that are NaN"),
    ],
)
def test_forward_refuses(x, error, match):
    with pytest.raises(error, match=match):
        Preprocess().forward(x)


def test_inverse_refuses():
    _, info = Preprocess().forward(np.zeros((4, 4, 1), np.uint8))
    with pytest.raises(TypeError, match="must be floating"):
        Preprocess().inverse(np.zeros((4, 4, 1), np.uint8), info)
    with pytest.raises(ValueError, match="NaN"):
        Preprocess().inverse(np.full((4, 4, 1), np.nan, np.float32), info)


def test_stats_of_another_number_of_channels():
    with pytest.raises(ValueError, match="images have 1 channels"):
        Preprocess(standardize=((0.1, 0.2, 0.3), 1.0)).forward(
            np.zeros((4, 4, 1), np.uint8)
        )
