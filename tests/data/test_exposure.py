"""Less light: sRGB's curve, photon noise, and how `Degrade` draws the exposure."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.data import Degrade
from jdeconv.data.exposure import from_linear, to_linear, underexpose


def keys(n):
    return jax.random.split(jax.random.key(5), n)


def test_curve_of_srgb_and_its_inverse():
    x = np.linspace(0, 1, 257)
    by_hand = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in x]
    found = to_linear(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, by_hand, atol=2e-6)
    np.testing.assert_allclose(from_linear(found), x, atol=2e-6)
    # skimage's Lab begins with the same curve, to XYZ; grey has the light in Y.
    color = pytest.importorskip("skimage.color")
    grey = np.repeat(x[:, None, None], 3, 2)
    np.testing.assert_allclose(color.rgb2xyz(grey)[:, 0, 1], found, atol=2e-5)
    slope = jax.vmap(jax.grad(from_linear))(jnp.array([-1.0, 0.0, 0.5]))
    assert np.isfinite(slope).all() and slope[1] == pytest.approx(12.92)


def test_light_and_photon_noise():
    x = jnp.full((2, 200, 200, 1), 0.8)
    gain = jnp.array([0.5, 0.1])
    y = underexpose(keys(2), x, gain=gain, photons=1000.0)
    light = np.asarray(to_linear(y)).reshape(2, -1)
    expected = gain * to_linear(jnp.asarray(0.8))
    spread = np.sqrt(expected / 1000)
    np.testing.assert_allclose(light.mean(1), expected, atol=6 * spread.max() / 200)
    np.testing.assert_allclose(light.std(1), spread, rtol=6 / (2 * 40000) ** 0.5)
    # An example's noise is its own, wherever it lies in a batch.
    alone = underexpose(keys(2)[1], x[1], gain=0.1, photons=1000.0)
    np.testing.assert_allclose(alone, y[1], atol=1e-6)
    still = underexpose(keys(2), x, gain=1.0)
    np.testing.assert_allclose(still, x, atol=1e-6)


@pytest.mark.slow
def test_exposure_is_drawn_with_a_uniform_logarithm():
    degrade = Degrade(exposure=(1 / 16, 1 / 4))
    key = keys(500)
    found = np.log2(degrade.exposures(key))
    assert -4 <= found.min() < -3.9 and -2.1 < found.max() <= -2
    assert abs(found.mean() + 3) < 6 * 2 / (12 * 500) ** 0.5
    x = jnp.full((500, 2, 2, 3), 0.9)
    by_hand = underexpose(key, x, gain=degrade.exposures(key))
    np.testing.assert_allclose(degrade(key, x), by_hand, rtol=1e-6)
    np.testing.assert_array_equal(Degrade().exposures(key[:3]), 1)
    # What was there before draws what it drew before.
    both = Degrade(exposure=(0.5, 1.0), noise_std=0.1, clip=False)(key[:2], 0 * x[:2])
    alone = Degrade(noise_std=0.1, clip=False)(key[:2], 0 * x[:2])
    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exposure": (0.3, 0.1)}, "must be None or .low, high."),
        ({"exposure": (0.0, 0.1)}, "must be None or .low, high."),
        ({"exposure": (0.1,)}, "must be None or .low, high."),
        ({"exposure": (0.1, 0.3), "photons": 0.0}, "photons=0.0: must be > 0"),
        ({"photons": 100.0}, "needs an exposure"),
    ],
)
def test_illegal_exposures(options, message):
    with pytest.raises(ValueError, match=message):
        Degrade(**options)


def test_illegal_arguments():
    x = jnp.zeros((2, 4, 4, 1))
    with pytest.raises(ValueError, match="photons=-1"):
        underexpose(keys(2), x, gain=1.0, photons=-1)
    with pytest.raises(ValueError, match="one key per example"):
        underexpose(keys(3), x, gain=1.0)
