"""Noise and blur on the device."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jdeconv.data import Degrade, gaussian_blur, gaussian_noise


def keys(n):
    return jax.random.split(jax.random.key(3), n)


def test_noise_is_each_examples_own():
    x = jnp.full((4, 6, 5, 3), 0.5)
    y = gaussian_noise(keys(4), x, std=0.1)
    # Not of the batch: the same key gives the same noise alone, in any place or shape.
    np.testing.assert_array_equal(gaussian_noise(keys(4)[2], x[2], std=0.1), y[2])
    np.testing.assert_array_equal(gaussian_noise(keys(4)[::-1], x, std=0.1), y[::-1])
    np.testing.assert_array_equal(
        gaussian_noise(keys(4).reshape(2, 2), x.reshape(2, 2, 6, 5, 3), std=0.1),
        y.reshape(2, 2, 6, 5, 3),
    )
    assert not np.allclose(y[0], y[1])


def test_numbers_do_not_depend_on_the_devices():
    script = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jdeconv.data import Degrade
devices = jax.devices()
assert len(devices) == 4, devices
split = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec("data"))
key = jax.random.split(jax.random.key(3), 8)
x = jax.random.uniform(jax.random.key(1), (8, 10, 9, 1))
degrade = jax.jit(Degrade(noise_std=0.3, blur_sigma=0.5).__call__)
parts = degrade(jax.device_put(key, split), jax.device_put(x, split))
assert len(parts.sharding.device_set) == 4
np.testing.assert_allclose(parts, degrade(key, x), atol=2e-7)
"""
    flags = "--xla_force_host_platform_device_count=4"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", script], env=env, check=True)


def test_noise_statistics():
    n = 100 * 100 * 3
    y = gaussian_noise(keys(2), jnp.full((2, 100, 100, 3), 0.5), std=0.2) - 0.5
    # Six standard errors.
    assert np.abs(y.mean((1, 2, 3))).max() < 6 * 0.2 / n**0.5
    assert np.abs(y.std((1, 2, 3)) - 0.2).max() < 6 * 0.2 / (2 * n) ** 0.5
    assert abs(np.corrcoef(y[0].ravel(), y[1].ravel())[0, 1]) < 6 / n**0.5


def test_16_bit_floats_see_the_same_noise():
    x = jnp.zeros((2, 8, 8, 1))
    y = gaussian_noise(keys(2), x, std=0.1)
    small = gaussian_noise(keys(2), x.astype(jnp.bfloat16), std=0.1)
    assert small.dtype == jnp.bfloat16
    np.testing.assert_array_equal(small, y.astype(jnp.bfloat16))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.2])
def test_blur_against_scipy(rng, sigma):
    x = rng.random((2, 20, 23, 3)).astype(np.float32)
    y = gaussian_blur(jnp.asarray(x), sigma=sigma)
    # scipy calls "mirror" what the rest of the world calls "reflect".
    expected = ndimage.gaussian_filter(
        x.astype(np.float64), (0, sigma, sigma, 0), mode="mirror", truncate=4.0
    )
    np.testing.assert_allclose(y, expected, atol=4e-7)


def test_degrade_composes(rng):
    x = jnp.asarray(rng.random((2, 20, 20, 1)), jnp.float32)
    np.testing.assert_array_equal(Degrade()(keys(2), x), x)
    y = Degrade(noise_std=0.5, blur_sigma=1.0)(keys(2), x)
    expected = gaussian_noise(keys(2), gaussian_blur(x, sigma=1.0), std=0.5)
    np.testing.assert_array_equal(y, jnp.clip(expected, 0, 1))
    assert y.min() == 0
    assert y.max() == 1
    unclipped = Degrade(noise_std=0.5, blur_sigma=1.0, clip=False)(keys(2), x)
    np.testing.assert_array_equal(unclipped, expected)
    y = Degrade(noise_std=2.0, clip=[-1, 1])(keys(2), x)
    assert (y.min(), y.max()) == (-1, 1)
    assert hash(Degrade(clip=[-1, 1])) == hash(Degrade(clip=(-1, 1)))


def test_degrade_is_differentiable_under_jit(rng):
    x = jnp.asarray(rng.random((2, 12, 12, 1)), jnp.float32)
    degrade = Degrade(noise_std=0.1, blur_sigma=0.7, clip=False)
    gradient = jax.jit(jax.grad(lambda x: degrade(keys(2), x).sum()))(x)
    np.testing.assert_allclose(gradient.sum(), x.size, rtol=1e-5)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"noise_std": -0.1}, "noise_std=-0.1"),
        ({"blur_sigma": float("nan")}, "blur_sigma=nan"),
        ({"clip": (1, 0)}, "low < high"),
    ],
)
def test_illegal_options(options, match):
    with pytest.raises(ValueError, match=match):
        Degrade(**options)


def test_illegal_inputs():
    x = jnp.zeros((2, 8, 8, 1))
    degrade = Degrade(noise_std=0.1)
    with pytest.raises(TypeError, match="must be floating"):
        degrade(keys(2), x.astype(jnp.uint8))
    with pytest.raises(ValueError, match=r"must be \(2,\), one key per example"):
        degrade(keys(3), x)
    with pytest.raises(TypeError, match="typed keys"):
        degrade(jnp.zeros((2, 2), jnp.uint32), x)
    with pytest.raises(ValueError, match="height, width"):
        degrade(keys(2), x[0, 0])
    with pytest.raises(ValueError, match="reaches 8 pixels"):
        gaussian_blur(x, sigma=2.0)


def test_noise_of_a_range_is_drawn_per_example():
    degrade = Degrade(noise_std=(0.1, 0.3), clip=False)
    key = keys(400)
    y = degrade(key, jnp.zeros((400, 12, 12, 1)))
    std = np.asarray(degrade.noise_stds(key))
    assert std.min() >= 0.1 and std.max() < 0.3
    # Uniform: six standard errors of its mean and standard deviation.
    assert abs(std.mean() - 0.2) < 6 * 0.2 / (12 * 400) ** 0.5
    assert abs(std.std() - 0.2 / 12**0.5) < 0.01
    # The noise has the level it is said to have, and is no function of it.
    measured = np.asarray(y).std((1, 2, 3))
    np.testing.assert_allclose(measured, std, rtol=6 / (2 * 144) ** 0.5)
    np.testing.assert_allclose(degrade(key[7], jnp.zeros((12, 12, 1))), y[7], rtol=1e-6)
    one = Degrade(noise_std=0.2, clip=False)
    np.testing.assert_array_equal(one.noise_stds(key[:3]), jnp.full(3, 0.2))
    np.testing.assert_allclose(
        y[7] / std[7], one(key[7], jnp.zeros((12, 12, 1))) / 0.2, rtol=1e-5
    )


@pytest.mark.parametrize("bad", [(0.3, 0.1), (0.1,), (-0.1, 0.1), (0.0, np.inf)])
def test_illegal_range_of_noise(bad):
    with pytest.raises(ValueError, match="must be a number or .low, high."):
        Degrade(noise_std=bad)
