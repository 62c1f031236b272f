"""What every solver must do, whatever it minimises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import restore
from jdeconv.restore import Blur, psf
from jdeconv.restore.problem import BOUNDARY_NAMES
from tests.parameters import fast_if

SOLVERS = {
    "wiener": lambda *a, **k: restore.wiener(*a, balance=1e-3, **k),
    "richardson_lucy": lambda *a, **k: restore.richardson_lucy(*a, **k).image,
    "total_variation": lambda *a, **k: (
        restore.total_variation(*a, weight=1e-4, **k).image
    ),
    "total_variation, automatic": lambda *a, **k: (
        restore.total_variation(*a, **k).image
    ),
    "wiener, automatic": restore.wiener,
    "plug_and_play": lambda *a, **k: restore.plug_and_play(*a, **k).image,
    "deconvolve": restore.deconvolve,
}
BASIC = ["wiener", "richardson_lucy", "total_variation"]
AUTOMATIC = [name for name in SOLVERS if name not in BASIC]


@pytest.fixture(scope="module")
def scene():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[100:164, 180:244], jnp.float32) / 255


def rmse(a, b):
    return float(jnp.sqrt(jnp.mean((jnp.asarray(a) - b) ** 2)))


@pytest.mark.parametrize("name", SOLVERS)
def test_a_cropped_scene_is_better_than_its_input(name, scene):
    kernel = jnp.ones((5, 4)) / 20
    blur = Blur(kernel, scene.shape, "valid")
    y = blur(scene)
    starts = [k - 1 - c for k, c in zip(kernel.shape, blur.center)]
    truth = scene[tuple(slice(a, a + n) for a, n in zip(starts, y.shape))]
    assert rmse(SOLVERS[name](y, kernel), truth) < 0.8 * rmse(y, truth)


@pytest.mark.parametrize("size", [4, 7])
@pytest.mark.parametrize("name", BASIC)
def test_the_peak_stays_and_flux_is_kept(name, size):
    star = jnp.zeros((32, 32)).at[16, 16].set(100.0)
    kernel = psf.gaussian(1.0, (size, size))
    y = Blur(kernel, star.shape, "zero")(star)
    image = SOLVERS[name](y, kernel)
    assert jnp.unravel_index(image.argmax(), image.shape) == (16, 16)
    np.testing.assert_allclose(image.sum(), y.sum(), rtol=0.01)


@pytest.mark.parametrize("name", fast_if(SOLVERS, (*BASIC, "deconvolve")))
def test_zeros_and_constants(name):
    images = jnp.stack([jnp.zeros((16, 17)), jnp.ones((16, 17))])
    restored = SOLVERS[name](images, psf.gaussian(1.0, (5, 6)))
    np.testing.assert_allclose(restored, images, atol=2e-4)


@pytest.mark.parametrize(
    "boundary", fast_if(BOUNDARY_NAMES, ("unknown", "circular", "edge"))
)
@pytest.mark.parametrize("name", BASIC)
def test_every_boundary_keeps_what_it_keeps(name, boundary):
    level = 0.0 if boundary == "zero" else 2.0
    y = jnp.full((16, 17), level)
    restored = SOLVERS[name](y, psf.gaussian(1.0, (5, 6)), boundary=boundary)
    np.testing.assert_allclose(restored, y, atol=1e-3)


@pytest.mark.parametrize("name", fast_if(BASIC, ("richardson_lucy",)))
def test_one_three_axes_and_batches(name):
    rng = np.random.default_rng(0)
    for num_axes, n in ((1, 20), (3, 9)):
        y = jnp.asarray(rng.random((2, *[n] * num_axes)), jnp.float32)
        kernel = functools.reduce(
            jnp.multiply.outer, [jnp.array([1.0, 2, 1])] * num_axes
        )
        both = SOLVERS[name](y, kernel)
        one = SOLVERS[name](y[1], kernel)
        assert both.shape == y.shape
        np.testing.assert_allclose(both[1], one, atol=2e-4)


@pytest.mark.parametrize(
    "name",
    [pytest.param("deconvolve", marks=pytest.mark.slow), "wiener", "richardson_lucy"],
)
def test_channels_wherever_they_are(name, scene):
    colour = jnp.stack([scene, 1 - scene, scene.T], -1)
    kernel = psf.gaussian(1.0)
    last = SOLVERS[name](colour, kernel, channel_axis=-1)
    first = SOLVERS[name](jnp.moveaxis(colour, -1, 0), kernel, channel_axis=0)
    assert last.shape == colour.shape
    np.testing.assert_allclose(jnp.moveaxis(first, 0, -1), last, atol=1e-5)


@pytest.mark.parametrize("name", fast_if(AUTOMATIC, ("wiener, automatic",)))
def test_the_unit_of_brightness_does_not_matter(name, scene):
    kernel = psf.gaussian(1.0)
    y = Blur(kernel, scene.shape, "reflect")(scene)
    y = y + 0.01 * jax.random.normal(jax.random.key(0), y.shape)
    one, many = (SOLVERS[name](unit * y, kernel) / unit for unit in (1.0, 4000.0))
    assert rmse(one, many) < 2e-3


@pytest.mark.parametrize("name", BASIC)
def test_under_jit_and_vmap(name, scene):
    kernel = psf.gaussian(1.0, (5, 5))
    y = jnp.stack([scene[:20, :20], scene[20:40, :20]])
    mapped = jax.jit(jax.vmap(lambda y: SOLVERS[name](y, kernel)))(y)
    np.testing.assert_allclose(mapped, SOLVERS[name](y, kernel), atol=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": jnp.ones((8, 8), int)}, "y of int32: must be floating"),
        ({"y": jnp.ones((8, 8)).at[1, 2:4].set(jnp.nan)}, "y has 2 of 64 pixels"),
        ({"y": jnp.ones(8)}, "must have 1 to 1 axes"),
        ({"y": jnp.ones((0, 8))}, "psf of shape|empty"),
        ({"psf": -jnp.ones((3, 3))}, "psf: must be finite, not negative"),
        ({"psf": jnp.zeros((3, 3))}, "psf: must be finite, not negative"),
        ({"psf": jnp.ones((9, 3))}, "nor larger than the image"),
        ({"boundary": "wrap"}, "boundary='wrap': must be one of unknown"),
        ({"channel_axis": 2}, "channel_axis=2: y has shape"),
    ],
)
@pytest.mark.parametrize("name", BASIC)
def test_bad_input(name, change, message):
    arguments = {"y": jnp.ones((8, 8)), "psf": jnp.ones((3, 3))} | change
    with pytest.raises(ValueError, match=message):
        SOLVERS[name](arguments.pop("y"), arguments.pop("psf"), **arguments)
