"""Blind Richardson-Lucy: the PSF comes nearer to the truth, and the data are fitted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, blind_richardson_lucy, noise, psf, richardson_lucy
from tests.parameters import fast_if


@pytest.fixture(scope="module")
def scene():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[60:188, 60:188], jnp.float32) / 255


def measured(scene, kernel):
    """Image and what of the scene it shows."""
    y = Blur(kernel, scene.shape, "valid")(scene)
    inside = [
        slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip(kernel.shape, y.shape)
    ]
    return noise.gaussian(jax.random.key(0), y, 0.01), scene[tuple(inside)]


def distance(a, b):
    return float(jnp.sum(jnp.abs(a - b)))


def rmse(a, b):
    return float(jnp.sqrt(jnp.mean((a - b) ** 2)))


CASES = {
    "gaussian": (psf.gaussian(2.0, (17, 17)), psf.gaussian(4.0, (17, 17)), 0.5),
    "defocus": (psf.disk(4.0, (15, 15)), psf.gaussian(4.0, (15, 15)), 0.75),
    "motion": (psf.motion(9.0, 30.0, (13, 13)), psf.motion(12.0, 22.0, (13, 13)), 0.9),
}


@pytest.mark.parametrize("name", fast_if(CASES, ("gaussian",)))
def test_the_psf_of_a_photograph_comes_nearer(name, scene):
    kernel, start, share = CASES[name]
    y, truth = measured(scene, kernel)
    found = blind_richardson_lucy(y, start)
    np.testing.assert_allclose(found.psf.sum(), 1, rtol=1e-5)
    assert found.psf.min() >= 0 and found.image.shape == y.shape
    assert distance(found.psf, kernel) < share * distance(start, kernel)
    with_start = richardson_lucy(y, start, num_iters=30, tv_weight=0.01).image
    assert rmse(found.image, truth) < min(rmse(y, truth), rmse(with_start, truth))
    # To within the noise, whose I-divergence is std^2 / 2 over the brightness.
    assert found.history[-1] < 1.2 * 1e-4 / 2 * jnp.mean(1 / jnp.maximum(y, 0.05))
    assert found.history[-1] < 0.2 * found.history[1]


def test_the_psf_of_stars(rng):
    places = tuple(rng.integers(0, 96, (2, 20)))
    stars = jnp.full((96, 96), 0.02).at[places].add(20 * rng.exponential(1.0, 20))
    kernel = psf.gaussian(2.0, (17, 17))
    start = psf.gaussian(3.0, (17, 17))
    y, _ = measured(stars.astype(jnp.float32), kernel)
    options = {"scene_steps": 20, "psf_steps": 1, "tv_weight": 0.0, "num_iters": 10}
    found = blind_richardson_lucy(y, start, symmetry="radial", **options)
    assert distance(found.psf, kernel) < 0.35 * distance(start, kernel)
    for other in (found.psf.T, found.psf[::-1]):
        np.testing.assert_allclose(found.psf, other, atol=1e-7)


@pytest.mark.slow
def test_centre_support_and_stopping(scene):
    kernel = psf.motion(7.0, 20.0, (9, 11))
    y, _ = measured(scene[:64, :64], kernel)
    # Begun 2 pixels off: the PSF moves back, the scene with it.
    start = jnp.roll(kernel, 2, 1).at[0].set(0) + 1e-3
    start = start.at[:2].set(0)
    found = blind_richardson_lucy(y, start, num_iters=60, stop=0.02)
    columns = jnp.sum(found.psf * jnp.arange(11))
    assert abs(columns - 5) <= 0.51
    done = int(found.num_iters)
    assert 1 < done < 60 and np.isnan(found.history[done:]).all()
    np.testing.assert_allclose(found.psf[0], 0, atol=1e-7)


@pytest.mark.slow
def test_channels_share_the_psf(scene):
    kernel = psf.gaussian(1.5, (9, 9))
    y, _ = measured(scene[:56, :56], kernel)
    colour = jnp.stack([y, 0.5 * y], -1)
    options = {"num_iters": 4, "symmetry": "point"}
    found = blind_richardson_lucy(
        colour, psf.disk(4.0, (9, 9)), channel_axis=-1, **options
    )
    assert found.image.shape == colour.shape and found.history.shape == (4, 2)
    np.testing.assert_allclose(found.image[..., 1], found.image[..., 0] / 2, rtol=1e-3)
    np.testing.assert_allclose(found.psf, found.psf[::-1, ::-1], atol=1e-7)


@pytest.mark.slow
def test_masked_pixels_do_not_count(scene):
    y, _ = measured(scene[:56, :56], psf.gaussian(1.5, (9, 9)))
    options = {"num_iters": 4, "symmetry": "point"}
    mask = jnp.ones_like(y).at[20:23, 30].set(0)
    clean, dead = (
        blind_richardson_lucy(image, psf.disk(4.0, (9, 9)), mask=mask, **options)
        for image in (y, y.at[20:23, 30].set(y.mean()))
    )
    np.testing.assert_allclose(clean.psf, dead.psf, atol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"symmetry": "axial"}, "symmetry='axial': must be None or one of point"),
        ({"symmetry": "point", "psf": jnp.ones((4, 3))}, "the sizes must be odd"),
        ({"num_iters": 0}, "num_iters=0: must be >= 1"),
        ({"psf_steps": 0}, "psf_steps=0: must be >= 1"),
        ({"tv_weight": -1.0}, "tv_weight=-1.0: must be >= 0"),
        ({"psf": jnp.zeros((3, 3))}, "psf: must be finite, not negative"),
        ({"y": jnp.ones((8, 8), int)}, "y of int32: must be floating"),
    ],
)
def test_bad_input(change, message):
    arguments = {"y": jnp.ones((8, 8)), "psf": jnp.ones((3, 3))} | change
    with pytest.raises(ValueError, match=message):
        blind_richardson_lucy(arguments.pop("y"), arguments.pop("psf"), **arguments)
