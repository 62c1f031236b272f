"""When Richardson-Lucy ends by itself: against the best of all iterations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, noise, psf, richardson_lucy, stopping
from tests.restore.scores import decibels

PEAK = 256.0
KERNELS = {
    "gaussian": psf.gaussian(2.0, (17, 17)),
    "motion": psf.motion(15.0, 30.0, (17, 17)),
}


@pytest.fixture(scope="module")
def scene():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[60:204, 60:204], jnp.float32) / 255


def measured(scene, name, key=0):
    y = Blur(KERNELS[name], scene.shape, "circular")(scene)
    return noise.poisson(jax.random.key(key), y, PEAK)


def solve(y, name, **options):
    return richardson_lucy(y, KERNELS[name], boundary="circular", **options)


@pytest.mark.parametrize("name", KERNELS)
def test_stops_where_the_image_is_nearly_the_best(scene, name):
    y = measured(scene, name)
    images = [jnp.full_like(y, y.mean())]
    for _ in range(40):
        images.append(solve(y, name, num_iters=1, init=images[-1]).image)
    best = max(decibels(image, scene) for image in images)
    for rule, loss in (("held-out", 0.2), ("discrepancy", 0.8)):
        solution = solve(y, name, num_iters=80, stop=rule, peak=PEAK)
        done = int(solution.num_iters)
        assert 2 <= done < 40
        assert decibels(solution.image, scene) > best - loss
        np.testing.assert_allclose(solution.image, images[done], atol=1e-4)
        # One more entry: the divergence of the estimate that it ended with.
        assert np.isfinite(solution.history[: done + 1]).all()
        assert np.isnan(solution.history[done + 1 :]).all()
    assert decibels(images[-1], scene) < best - 0.5


def test_each_image_of_a_batch_stops_by_itself_whatever_its_unit(scene):
    images = jnp.stack([scene, measured(scene, "gaussian")])[:, :64, :64]
    options = {"num_iters": 60, "stop": "discrepancy"}
    both = solve(images, "gaussian", peak=PEAK, **options)
    counts = solve(PEAK * images[1], "gaussian", peak=1.0, **options).image
    np.testing.assert_allclose(both.image[1], counts / PEAK, atol=1e-3)
    assert both.history.shape == (60, 2)


def test_damping_keeps_noise_down(scene):
    y = measured(scene, "motion")

    def after(damping):
        solution = solve(y, "motion", num_iters=80, damping=damping, peak=PEAK)
        return decibels(solution.image, scene)

    plain, nearly, damped = after(0.0), after(1e-3), after(3.0)
    assert damped > plain + 3
    np.testing.assert_allclose(nearly, plain, atol=0.1)


def test_photons_are_split_into_independent_counts():
    y = noise.poisson(jax.random.key(0), jnp.full((160, 160), 2.0), 10.0)
    fitted, checked = stopping.split(y, jnp.asarray(10.0))
    for part, share in ((fitted, 0.8), (checked, 0.2)):
        np.testing.assert_allclose(part.mean(), 2.0, rtol=0.01)
        np.testing.assert_allclose(part.var(), 2.0 / (10 * share), rtol=0.05)
        whole = part * 10 * share
        np.testing.assert_allclose(whole, jnp.round(whole), atol=1e-3)
    assert abs(np.corrcoef(fitted.ravel(), checked.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("mean", [1e-3, 0.3, 1.7, 12.0, 53.0, 400.0])
def test_expected_divergence_is_that_of_draws(mean):
    n = np.random.default_rng(0).poisson(mean, 400000)
    logs = np.where(n > 0, np.log(np.where(n > 0, n, 1) / mean), 0)
    expected = np.mean(n * logs - n + mean)
    ours = stopping.expected_divergence(jnp.asarray(mean))
    np.testing.assert_allclose(ours, expected, rtol=0.1 if mean < 0.1 else 0.01)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"stop": "best"}, "stop='best': must be None, a number or one of held-out"),
        ({"stop": "held-out"}, "peak=None: stop='held-out' asks for the photons"),
        ({"damping": 2.0}, "peak=None: damping=2.0 asks for the photons"),
        ({"damping": -1.0, "peak": 1.0}, "damping=-1.0: must be >= 0"),
        ({"peak": 0.0}, "peak=0.0: must be > 0"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        richardson_lucy(jnp.ones((8, 8)), jnp.ones((3, 3)), **change)
