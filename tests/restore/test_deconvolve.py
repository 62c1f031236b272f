"""The one call: number types in and out, methods, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import (
    Blur,
    deconvolve,
    denoisers,
    plug_and_play,
    psf,
    richardson_lucy,
    total_variation,
    wiener,
)

KERNEL = psf.gaussian(1.2)


@pytest.fixture(scope="module")
def blurred():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    scene = jnp.asarray(data.camera()[100:164, 180:244], jnp.float32) / 255
    y = Blur(KERNEL, scene.shape, "reflect")(scene)
    return y + 0.01 * jax.random.normal(jax.random.key(1), y.shape)


@pytest.mark.parametrize(
    "dtype, step", [("uint8", 1 / 255), ("uint16", 1 / 65535), ("uint32", 1e-6)]
)
def test_integers_come_back_as_they_came(blurred, dtype, step):
    top = np.iinfo(dtype).max
    y = np.round(np.asarray(blurred, np.float64).clip(0, 1) * top).astype(dtype)
    result = deconvolve(y, KERNEL, method="wiener", weight=0.01)
    assert result.dtype == dtype and isinstance(result, np.ndarray)
    floats = deconvolve(y / np.float32(top), KERNEL, method="wiener", weight=0.01)
    expected = np.clip(floats, 0, 1)
    np.testing.assert_allclose(result / top, expected, atol=step + 2e-6)


@pytest.mark.slow
def test_half_floats_are_solved_in_single(blurred):
    assert deconvolve(blurred.astype("bfloat16"), KERNEL).dtype == jnp.float32
    assert deconvolve(blurred, KERNEL, method="wiener").dtype == jnp.float32


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, lambda y: total_variation(y, KERNEL).image),
        ({"method": "wiener", "noise_std": 0.01}, lambda y: wiener(
            y, KERNEL, noise_std=0.01)),
        ({"method": "richardson_lucy", "weight": 0.01}, lambda y: richardson_lucy(
            y, KERNEL, tv_weight=0.01, acceleration="biggs-andrews", stop=1e-3,
            num_iters=200).image),
        ({"likelihood": "poisson", "weight": 0.01}, lambda y: total_variation(
            y, KERNEL, likelihood="poisson", weight=0.01).image),
        ({"method": "bm3d", "num_iters": 2}, lambda y: plug_and_play(
            y, KERNEL, denoiser=denoisers.bm3d, num_iters=2).image),
    ],
)  # fmt: skip
def test_is_the_method_asked_for(blurred, options, expected):
    # Another program, whose sums are ordered otherwise.
    result = deconvolve(blurred, KERNEL, **options)
    np.testing.assert_allclose(result, expected(blurred), atol=2e-5)


@pytest.mark.slow
def test_combined_is_the_mean_under_three_priors(blurred):
    options = dict(noise_std=0.02, boundary="reflect")
    members = [
        total_variation(blurred, KERNEL, **options),
        total_variation(blurred, KERNEL, power=0.8, **options),
        plug_and_play(blurred, KERNEL, **options),
    ]
    mean = sum(m.image for m in members) / 3
    result = deconvolve(blurred, KERNEL, method="combined", **options)
    np.testing.assert_allclose(result, mean, atol=2e-5)
    with pytest.raises(ValueError, match="weight=0.1: combined has none"):
        deconvolve(blurred, KERNEL, method="combined", weight=0.1)


def test_bm3d_is_not_for_signals(blurred):
    with pytest.raises(ValueError, match="method='bm3d': is for images and volumes"):
        deconvolve(blurred[0], jnp.ones(3), method="bm3d")


def test_weight_and_noise_count_in_units_of_white_for_integers(blurred):
    y = np.round(np.asarray(blurred).clip(0, 1) * 255).astype("uint8")
    options = dict(weight=0.002, noise_std=0.01)
    result = deconvolve(y, KERNEL, **options)
    expected = total_variation(jnp.asarray(y, jnp.float32) / 255, KERNEL, **options)
    np.testing.assert_array_equal(
        result, np.round(np.clip(expected.image, 0, 1) * 255).astype("uint8")
    )


def test_operators_go_to_richardson_lucy(blurred):
    blur = Blur(KERNEL / KERNEL.sum(), blurred.shape, "reflect")
    result = deconvolve(blurred, blur, method="richardson_lucy", num_iters=5)
    expected = richardson_lucy(
        blurred, KERNEL, boundary="reflect", acceleration="biggs-andrews", num_iters=5
    )
    np.testing.assert_allclose(result, expected.image, atol=1e-6)
    with pytest.raises(ValueError, match="psf is a Blur: .* richardson_lucy"):
        deconvolve(blurred, blur)


@pytest.mark.parametrize(
    "error, change, message",
    [
        (ValueError, {"method": "magic"}, "method='magic': must be one of auto"),
        (ValueError, {"likelihood": "flat"}, "likelihood='flat': must be one of"),
        (TypeError, {"y": np.ones((8, 8), int)}, "y has dtype int64: must be floating"),
        (TypeError, {"y": np.ones((8, 8), bool)}, "y has dtype bool"),
        (ValueError, {"weight": -1.0}, "weight=-1.0: must be > 0"),
        (ValueError, {"noise_std": -0.1}, "noise_std=-0.1: must be finite and >= 0"),
        (
            ValueError,
            {"method": "wiener", "num_iters": 0},
            "num_iters=0: must be >= 1",
        ),
        (
            ValueError,
            {"method": "wiener", "likelihood": "poisson"},
            "likelihood='poisson': wiener is for Gaussian",
        ),
    ],
)
def test_bad_input(error, change, message):
    arguments = {"y": jnp.ones((8, 8)), "psf": jnp.ones((3, 3))} | change
    with pytest.raises(error, match=message):
        deconvolve(arguments.pop("y"), arguments.pop("psf"), **arguments)
