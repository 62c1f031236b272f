"""Noise: its moments, its units, and its level told from one image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import noise, psf
from jdeconv.restore.blur import Blur

KEY = jax.random.key(3)


def test_gaussian_has_the_standard_deviation_asked_for():
    x = jnp.full((200, 200), 0.25)
    y = noise.gaussian(KEY, x, 0.1)
    np.testing.assert_allclose(y.mean(), 0.25, atol=4 * 0.1 / 200)
    np.testing.assert_allclose(y.std(), 0.1, rtol=0.02)


def test_poisson_has_variance_x_over_peak_and_counts_whole_photons():
    x = jnp.broadcast_to(jnp.array([[0.0], [0.2], [1.0]]), (3, 40000))
    y = noise.poisson(KEY, x, 50.0)
    np.testing.assert_allclose(y.mean(1), x[:, 0], atol=4 * np.sqrt(1 / 50 / 40000))
    np.testing.assert_allclose(y.var(1), x[:, 0] / 50, rtol=0.05)
    np.testing.assert_allclose(y * 50, jnp.round(y * 50), atol=1e-4)
    assert jnp.all(noise.poisson(KEY, x - 2.0, 50.0) == 0)


def test_variances_of_poisson_gaussian_add():
    x = jnp.full((40000,), 0.5)
    y = noise.poisson_gaussian(KEY, x, 100.0, 0.1)
    np.testing.assert_allclose(y.var(), 0.5 / 100 + 0.01, rtol=0.05)


@pytest.mark.parametrize("std", [0.01, 0.03, 0.1])
def test_the_level_is_told_from_a_blurred_photograph(std):
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    x = jnp.asarray(data.camera()[100:356, 100:356], jnp.float32) / 255
    blurred = Blur(psf.gaussian(1.5), x.shape, "reflect")(x)
    y = noise.gaussian(KEY, blurred, std)
    np.testing.assert_allclose(noise.estimate_std(y), std, rtol=0.05)


@pytest.mark.slow
def test_the_level_in_other_numbers_of_axes_and_batches():
    levels = jnp.array([0.1, 0.5])[:, None, None, None]
    y = noise.gaussian(KEY, jnp.zeros((2, 24, 24, 24)), levels)
    found = noise.estimate_std(y, num_axes=3)
    np.testing.assert_allclose(found, [0.1, 0.5], rtol=0.05)
    line = noise.gaussian(KEY, jnp.linspace(0.0, 9.0, 4000), 0.2)
    np.testing.assert_allclose(noise.estimate_std(line, num_axes=1), 0.2, rtol=0.05)


def test_flat_images_have_no_noise():
    assert noise.estimate_std(jnp.full((16, 16), 3.0)) < 1e-6


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: noise.gaussian(KEY, jnp.zeros(3), -1.0), "std=-1.0"),
        (lambda: noise.poisson(KEY, jnp.zeros(3), 0.0), "peak=0.0"),
        (lambda: noise.poisson(KEY, jnp.zeros(3, int), 1.0), "int32"),
        (lambda: noise.estimate_std(jnp.zeros((3, 9))), r"\(3, 9\).*4 pixels"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_white_noise_is_even_and_patterns_are_not():
    from jdeconv.restore.spectrum import unevenness

    white = jax.random.normal(jax.random.key(3), (2, 63, 64))
    found = unevenness(white, 2)
    assert found.shape == (2,) and abs(found - 2).max() < 0.15
    assert abs(unevenness(1e-6 * white, 2) - found).max() < 1e-4
    striped = white + jnp.sin(jnp.arange(64) * 0.8)
    assert (unevenness(striped, 2) > 50).all()
    # By Parseval: the energy of the circular autocorrelation over its squared peak.
    x = np.asarray(white[0] - white[0].mean(), np.float64)
    lags = np.fft.ifft2(abs(np.fft.fft2(x)) ** 2).real
    expected = (lags**2).sum() / lags[0, 0] ** 2
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)
    assert jnp.isfinite(unevenness(jnp.zeros((8, 8)), 2))
