"""U-Net, FCN and SegNet: a class for every pixel of an image of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models, ops
from tests.parameters import fast_if

SMALL = {
    "unet": {"features": 4, "stages": 2},
    "fcn": {"features": (3, 4, 4)},
    "segnet": {"features": (3, 4)},
}


def make(name, num_classes=2, **options):
    return models.build(
        {"name": name, **SMALL[name], **options},
        image_shape=(16, 16, 3),
        num_classes=num_classes,
        rngs=nnx.Rngs(0),
    )


@pytest.mark.parametrize("name", fast_if(SMALL, ("fcn", "segnet")))
def test_logits_have_the_size_of_the_image(name):
    model = make(name, num_classes=5)
    model.eval()
    assert model.output == "labels"
    for size in [(16, 16), (13, 7), (9, 21)]:
        shape = (2, *size)
        y = jax.eval_shape(model, jnp.zeros((*shape, 3)))
        assert y.shape == (*shape, 5)


@pytest.mark.parametrize("name", SMALL)
def test_a_pixel_moves_its_own_image_alone(name):
    model = make(name)
    model.eval()
    run = nnx.jit(lambda m, x: m(x))
    x = jax.random.normal(jax.random.key(1), (2, 13, 7, 3))
    change = run(model, x.at[0, 5, 3].add(3.0)) - run(model, x)
    at = np.abs(np.asarray(change)).sum(-1)
    assert at[0, 5, 3] > 0
    assert not at[1].any()


@pytest.mark.parametrize("name", fast_if(SMALL, ("segnet",)))
def test_every_parameter_has_a_gradient(name):
    model = make(name)
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    grads = nnx.jit(nnx.grad(lambda m: jnp.sum(jnp.sin(m(x)))))(model)
    for path, grad in nnx.to_flat_state(grads):
        assert np.isfinite(grad[...]).all(), path
        assert float(jnp.abs(grad[...]).max()) > 0, path


def test_fcn_starts_as_bilinear_interpolation_of_its_coarse_scores():
    model = make("fcn", skips=0)
    model.eval()
    x = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    y = np.asarray(nnx.jit(lambda m, x: m(x))(model, x))
    grid = x
    for stage in model.stages:
        grid = ops.max_pool(stage(grid), (2, 2), padding="SAME")
    expected = ops.resize(model.scores[0](grid), (32, 32), method="linear")
    # At the border the one interpolates towards zero, the other holds the last value.
    inner = np.s_[:, 8:-8, 8:-8]
    np.testing.assert_allclose(y[inner], expected[inner], rtol=1e-4, atol=1e-5)


def test_fcn_has_no_shift_where_the_size_is_no_multiple_of_the_stride():
    """Cut to 8 n - 3 pixels, what is far from the cut stays where it was."""
    model = make("fcn")
    model.eval()
    x = jax.random.normal(jax.random.key(1), (1, 48, 48, 3))
    run = nnx.jit(lambda m, x: m(x))
    whole, cut = run(model, x), run(model, x[:, :45, :45])
    np.testing.assert_allclose(cut[:, :8, :8], whole[:, :8, :8], rtol=1e-4, atol=1e-5)


def test_segnet_puts_values_back_to_where_their_maxima_were():
    model = make("segnet", features=(3,), depth=1)
    model.eval()
    x = jax.random.normal(jax.random.key(1), (1, 6, 6, 3))
    inside = model.down[0](x)
    y, switches = ops.max_pool_with_switches(inside, (2, 2))
    unpooled = ops.max_unpool(y, switches, output_size=(6, 6))
    expected = model.head(model.up[0](unpooled))
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)
    kept = np.asarray(unpooled) != 0
    np.testing.assert_array_equal(np.asarray(unpooled)[kept], np.asarray(inside)[kept])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("unet", {"stages": 0}, "stages=0"),
        ("fcn", {"skips": 3}, r"skips=3: must be in 0 \.\. 2"),
        ("segnet", {"depth": 0}, "depth=0"),
        ("segnet", {"features": ()}, r"features=\(\)"),
    ],
)
def test_wrong_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@pytest.mark.parametrize("name", SMALL)
def test_missing_classes_are_named(name):
    with pytest.raises(ValueError, match=r"needs num_classes.*data\.mask"):
        make(name, num_classes=None)
