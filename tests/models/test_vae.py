"""The VAE: two networks that fit each other, for any size of image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models
from tests.models.test_models import make, num_params

KERAS = {
    "name": "vae",
    "features": (32, 64),
    "decoder_features": (64, 32),
    "hidden": 16,
    "decoder_hidden": None,
    "latent": 2,
}
SMALL = {"name": "vae", "features": (4, 6), "hidden": 8, "latent": 3}


def test_it_is_keras_example():
    model = nnx.eval_shape(lambda: make(KERAS))
    encoder = num_params(model.encoder) + num_params(model.moments)
    assert (encoder, num_params(model.decoder)) == (69076, 65089)
    assert num_params(model) == 134165


@pytest.mark.parametrize(
    "options",
    [
        {"batch_norm": True, "decoder_hidden": 5, "decoder_features": (5,)},
        {"decoder_hidden": None, "downsample": "max_pool", "upsample": "subpixel"},
    ],
    ids=str,
)
def test_every_parameter_has_a_gradient(options):
    shape = (9, 7, 3)
    model = make(SMALL | {"features": (4,)} | options, shape)
    x = jax.random.normal(jax.random.key(0), (4, *shape))
    keys = jax.random.split(jax.random.key(1), 4)

    def objective(model):
        mean, log_var = model.encode(x)
        y = model.decode(models.vae.reparameterize(mean, log_var, keys))
        return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.cos(mean) + jnp.cos(log_var))

    grads = nnx.jit(nnx.grad(objective))(model)
    for path, grad in nnx.to_flat_state(grads):
        assert float(jnp.abs(grad[...]).max()) > 0, path


@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 7, 3), (1, 16, 2)])
@pytest.mark.parametrize("upsample", ["conv_transpose", "subpixel", "resize"])
def test_sizes(shape, upsample):
    def shapes(x):
        model = make(SMALL | {"upsample": upsample}, shape)
        return *model.encode(x), model(x)

    mean, log_var, y = jax.eval_shape(shapes, jnp.zeros((2, *shape)))
    assert mean.shape == log_var.shape == (2, 3)
    assert y.shape == (2, *shape)


def test_batch_norm_takes_the_place_of_the_bias():
    model = nnx.eval_shape(lambda: make(SMALL | {"batch_norm": True}, (8, 8, 1)))
    convs = [*model.encoder.convs, *model.decoder.layers]
    assert len(convs) == 4 and all(conv.bias is None for conv in convs)
    assert [norm.num_features for norm in model.decoder.norms] == [6, 4]
    assert model.decoder.conv.bias is not None


def test_key_draws_around_the_mean():
    model = make(SMALL, (8, 8, 1))
    apply = nnx.jit(lambda model, x, key: model(x, key=key))
    x = jax.random.uniform(jax.random.key(0), (2, 8, 8, 1))
    mean, _ = model.encode(x)
    at_mean = model(x)
    np.testing.assert_array_equal(at_mean, model.decode(mean))
    keys = jax.random.split(jax.random.key(1), 2)
    once, again = apply(model, x, keys), apply(model, x, keys)
    np.testing.assert_array_equal(once, again)
    # An example's draw is its key's, wherever it lies in the batch.
    turned = apply(model, x[::-1], keys[::-1])
    np.testing.assert_allclose(turned[::-1], once, rtol=1e-5, atol=1e-5)
    assert float(jnp.abs(once - at_mean).max()) > 1e-3


def test_reparameterize_has_the_moments_of_the_gaussian():
    mean, log_var = jnp.array([[1.0, -2.0]]), jnp.log(jnp.array([[4.0, 0.25]]))
    keys = jax.random.split(jax.random.key(0), 20000)
    wide = [jnp.broadcast_to(a, (20000, 2)) for a in (mean, log_var)]
    z = np.asarray(models.vae.reparameterize(*wide, keys))
    # Five standard errors: sigma / sqrt(n), and sigma / sqrt(2 n) for the deviation.
    sigma = np.array([2.0, 0.5])
    assert (abs(z.mean(0) - [1, -2]) < 5 * sigma / np.sqrt(20000)).all()
    assert (abs(z.std(0) - sigma) < 5 * sigma / np.sqrt(40000)).all()
    slope = jax.grad(lambda m: models.vae.reparameterize(m, log_var, keys[:1]).sum())
    np.testing.assert_allclose(slope(mean), 1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"latent": 0}, "latent=0"),
        ({"hidden": 0}, "hidden=0"),
        ({"decoder_features": (4,)}, r"decoder_features=\(4,\).*2"),
        ({"upsample": "unpool"}, "upsample='unpool'"),
        ({"downsample": "avg"}, "downsample='avg'"),
    ],
)
def test_illegal_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(SMALL | options)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(9, 8\).*\(8, 8\)"):
        make(SMALL, (8, 8, 1)).encode(jnp.zeros((1, 9, 8, 1)))
