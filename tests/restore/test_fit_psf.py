"""PSFs told from the blurred image: known blurs of photographs are found again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, fit_psf, noise, psf, wiener
from jdeconv.restore.fit_psf import _fit
from jdeconv.restore.spectrum import periodogram, squared_frequency

STDS = np.arange(0.5, 6.1, 1.0)
STEPS = [[3.0, 6.0, 9.0, 13.0, 18.0], np.arange(-10, 191, 20.0)]


def gaussian(std):
    return psf.gaussian(std, (21, 21))


def motion(length, angle):
    return psf.motion(length, angle, (25, 25))


def disk(radius):
    return psf.disk(radius, (21, 21))


@pytest.fixture(scope="module")
def scene():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[60:316, 60:316], jnp.float32) / 255


def measured(scene, kernel, std=0.01):
    y = Blur(kernel, scene.shape, "valid")(scene)
    return noise.gaussian(jax.random.key(1), y, std)


def turned(angle, other):
    """Degrees between two directions."""
    return abs((float(angle) - other + 90) % 180 - 90)


def parameters(y, psf_of, starts, noise_std=None):
    """Without the scene."""
    grid = jnp.stack([g.ravel() for g in jnp.meshgrid(*map(jnp.asarray, starts))], -1)
    options = {"psf_of": psf_of, "fall": 2.5, "num_iters": 30, "periodic": False}
    return _fit(y, grid.astype(y.dtype), noise_std, **options)


@pytest.mark.parametrize(
    "noise_std", [pytest.param(None, marks=pytest.mark.slow), 0.01]
)
def test_gaussian_blur_is_found(scene, noise_std):
    for std in (2.0, 3.0, 4.0) if noise_std is None else (3.0,):
        y = measured(scene, gaussian(std))
        known = None if noise_std is None else jnp.asarray(noise_std)
        found, kernel, sigma, history = parameters(y, gaussian, [STDS], known)
        np.testing.assert_allclose(found, [std], rtol=0.1)
        np.testing.assert_allclose(kernel, gaussian(found[0]), atol=1e-6)
        np.testing.assert_allclose(sigma, 0.01, rtol=0.05)
        assert (np.diff(history) <= 0).all() and history[0] > history[-1]


@pytest.mark.parametrize(
    "length, angle",
    [
        pytest.param(9.0, 30.0, marks=pytest.mark.slow),
        pytest.param(15.0, 100.0, marks=pytest.mark.slow),
    ],
)
def test_motion_is_found(scene, length, angle):
    y = measured(scene, motion(length, angle))
    found, *_ = parameters(y, motion, STEPS)
    assert abs(found[0] - length) < 1
    assert turned(found[1], angle) < 5


@pytest.mark.slow
def test_defocus_is_found_and_the_scene_with_it(scene):
    y = measured(scene, disk(4.0))
    colour = jnp.stack([y, 0.8 * y[::-1]], -1)[20:-20, 20:-20]
    fit = fit_psf(colour, disk, [[1.5, 3.0, 5.0, 7.0]], channel_axis=-1)
    np.testing.assert_allclose(fit.parameters, [4.0], atol=0.2)
    assert fit.image.shape == colour.shape and fit.history.shape == (30,)
    truth = scene[30:-30, 30:-30]

    def rmse(x):
        return float(jnp.sqrt(jnp.mean((x - truth) ** 2)))

    assert rmse(fit.image[..., 0]) < 0.7 * rmse(colour[..., 0])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coins", "astronaut", "cat", "coffee", "gravel"])
def test_other_photographs(name):
    data = pytest.importorskip("skimage.data", reason="the photographs are its")
    image = jnp.asarray(getattr(data, name)(), jnp.float32) / 255
    image = (image if image.ndim == 2 else image[..., 1])[:300, :300]
    for std in (2.0, 3.0):
        found, *_ = parameters(measured(image, gaussian(std)), gaussian, [STDS])
        np.testing.assert_allclose(found, [std], rtol=0.15)
    for length, angle in ((12.0, 60.0), (6.0, 170.0)):
        y = measured(image, motion(length, angle))
        found, *_ = parameters(y, motion, STEPS)
        assert abs(found[0] - length) < 1 and turned(found[1], angle) < 5


@pytest.mark.slow
def test_the_model_is_that_of_its_own_draws():
    # A scene with exactly this spectrum: the parameters come out to the last percent.
    shape, std = (192, 160), 2.0
    white = jax.random.normal(jax.random.key(0), shape)
    frequency = squared_frequency(shape, jnp.float32).at[0, 0].set(1)
    spectrum = jnp.fft.rfftn(white) * frequency ** (-2.5 / 4)
    drawn = jnp.fft.irfftn(spectrum.at[0, 0].set(0), shape)
    y = Blur(gaussian(std), shape, "circular")(drawn)
    y = noise.gaussian(jax.random.key(1), y, 0.02)
    fit = fit_psf(y, gaussian, [[1.0, 4.0]], boundary="circular")
    np.testing.assert_allclose(fit.parameters, [std], rtol=0.03)
    np.testing.assert_allclose(fit.noise_std, 0.02, rtol=0.02)
    known = wiener(y, gaussian(std), noise_std=0.02, boundary="circular")
    error, best = (jnp.mean((x - drawn) ** 2) for x in (fit.image, known))
    assert error < 1.5 * best


@pytest.mark.slow
def test_parameters_stay_within_their_starts(scene):
    y = measured(scene, gaussian(3.0))
    found, *_ = parameters(y, gaussian, [[0.5, 2.0]])
    np.testing.assert_allclose(found, [2.0])


@pytest.mark.slow
def test_power_of_white_noise_is_its_variance():
    x = 0.3 * jax.random.normal(jax.random.key(0), (120, 91)) + 5
    for periodic in (False, True):
        power, counts = periodogram(x, periodic=periodic)
        mean = jnp.sum(counts * power) / jnp.sum(counts)
        np.testing.assert_allclose(mean, 0.09, rtol=0.05)
    assert counts.shape == power.shape == (120, 46)
    assert int(jnp.sum(1 - counts)) == 18  # within three periods, of the half


@pytest.mark.parametrize(
    "change, message",
    [
        ({"starts": []}, "must be ascending values per parameter"),
        ({"starts": [[2.0, 1.0]]}, "must be ascending values per parameter"),
        ({"fall": 0.0}, "fall=0.0: must be > 0"),
        ({"num_iters": 0}, "num_iters=0: must be >= 1"),
        ({"y": jnp.ones((30, 30), int)}, "y of int32: must be floating"),
        ({"y": jnp.ones((9, 9))}, "nor larger than the image"),
    ],
)
def test_bad_input(change, message):
    arguments = {"y": jnp.ones((30, 30)), "psf_of": gaussian, "starts": [STDS]} | change
    with pytest.raises(ValueError, match=message):
        fit_psf(arguments.pop("y"), **arguments)
