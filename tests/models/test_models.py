"""Every network: any image size, exact sizes back, gradients everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models, nn, ops
from jdeconv.models.encoder import stage_sizes
from tests.parameters import fast_if

IMAGE_TO_IMAGE = [
    {"name": "conv_deconv", "head": "regress"},
    {"name": "autoencoder"},
    {"name": "autoencoder", "features": (4, 4, 4), "upsample": "resize"},
    {"name": "autoencoder", "features": (4, 4), "upsample": "subpixel"},
    {"name": "autoencoder", "features": (4, 6), "downsample": "stride", "tied": True},
    {"name": "autoencoder", "features": (4,), "residual": True},
]
CLASSIFY = [
    {"name": "conv_deconv"},
    {"name": "conv_deconv", "pool": 1},
    {"name": "cnn"},
    {"name": "cnn", "blocks": ((4,), (4, 8)), "dropout": 0.0, "pool": 2},
]


def make(config, image_shape=(28, 28, 1), num_classes=10, **options):
    return models.build(
        config,
        image_shape=image_shape,
        num_classes=num_classes,
        rngs=nnx.Rngs(0),
        **options,
    )


def num_params(model):
    return sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize("config", IMAGE_TO_IMAGE, ids=str)
def test_image_networks_return_exactly_the_size_they_take(config):
    for channels, sizes in [(1, [(28, 28), (13, 7)]), (3, [(9, 16)])]:
        model = make(config, (28, 28, channels))
        for size in sizes:
            shape = (2, *size, channels)
            assert jax.eval_shape(model, jnp.zeros(shape)).shape == shape


@pytest.mark.parametrize("config", CLASSIFY, ids=str)
def test_classifiers_take_any_size(config):
    model = make(config)
    model.eval()
    for size in [(28, 28), (13, 7), (64, 9)]:
        assert jax.eval_shape(model, jnp.zeros((2, *size, 1))).shape == (2, 10)


@pytest.mark.parametrize(
    "config", fast_if(IMAGE_TO_IMAGE + CLASSIFY, IMAGE_TO_IMAGE[:1] + CLASSIFY), ids=str
)
def test_every_parameter_has_a_gradient(config, rng):
    model = make(config, (8, 8, 1))
    x = jnp.asarray(rng.normal(size=(4, 8, 8, 1)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 4)
    grads = nnx.jit(nnx.grad(lambda m: jnp.sum(jnp.sin(m(x, key=keys)))))(model)
    for path, grad in nnx.to_flat_state(grads):
        assert np.isfinite(grad).all(), path
        assert float(jnp.abs(grad[...]).max()) > 0, path


def test_autoencoder_is_keras_example():
    assert num_params(make({"name": "autoencoder"})) == 28353


def test_tutorial_network_as_printed():
    model = make({"name": "conv_deconv"})
    assert model.conv.padding == "VALID"
    assert model.conv.kernel.shape == (3, 3, 1, 32)
    features = jax.eval_shape(model.features, jnp.zeros((1, 28, 28, 1)))
    assert features.shape == (1, 52, 52, 32)
    assert model.dense.kernel.shape == (7 * 7 * 32, 10)


def test_tied_decoder_is_the_adjoint_of_the_encoder(rng):
    config = {"name": "autoencoder", "features": (4,), "downsample": "stride"}
    model = make(config | {"tied": True}, (9, 9, 2))
    assert num_params(model) == 3 * 3 * 2 * 4 + 4 + 2  # one kernel, two biases
    conv, tied = model.encoder.convs[0], model.decoder.layers[0]
    assert tied.conv is conv
    x = jnp.asarray(rng.normal(size=(1, 9, 9, 2)), jnp.float32)
    y = jnp.asarray(rng.normal(size=(1, 5, 5, 4)), jnp.float32)
    error = ops.adjoint_error(
        conv, lambda y: tied(y, output_size=(9, 9)) - tied.bias[...], x, y
    )
    assert float(error) < 1e-6


@pytest.mark.parametrize("tied", [False, True])
def test_latent_autoencoder_and_its_decoder(tied):
    config = {
        "name": "autoencoder",
        "latent": 5,
        "features": (4, 6),
        "downsample": "stride",
        "tied": tied,
    }
    model = make(config, (13, 7, 3))
    assert model.encoder(jnp.zeros((2, 13, 7, 3))).shape == (2, 5)
    assert model(jnp.zeros((2, 13, 7, 3))).shape == (2, 13, 7, 3)
    with pytest.raises(ValueError, match=r"\(13, 7\)"):
        model(jnp.zeros((2, 14, 7, 3)))


def test_decoder_makes_images_of_any_size_from_latent_vectors():
    for shape in [(28, 28, 1), (17, 31, 3)]:
        decoder = nnx.eval_shape(
            lambda shape=shape: models.Decoder(
                shape, latent=6, features=(8, 4), rngs=nnx.Rngs(0)
            )
        )
        made = nnx.eval_shape(lambda model, z: model(z), decoder, jnp.ones((2, 6)))
        assert made.shape == (2, *shape)
        assert any(isinstance(m, nn.ConvTranspose) for m in decoder.layers)


def test_stage_sizes():
    assert stage_sizes((28, 13), 3) == ((28, 13), (14, 7), (7, 4), (4, 2))


def test_compute_dtype_leaves_parameters_in_float32():
    model = nnx.eval_shape(lambda: make({"name": "cnn"}, (8, 8, 1), dtype=jnp.bfloat16))
    model.eval()
    x = jnp.zeros((1, 8, 8, 1))
    assert nnx.eval_shape(lambda model, x: model(x), model, x).dtype == jnp.bfloat16
    for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)):
        assert leaf.dtype == jnp.float32


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "resnet"}, "'resnet'.*autoencoder"),
        ({"name": "cnn", "width": 3}, "config.model.width.*blocks"),
        ({"name": "autoencoder", "upsample": "unpool"}, "upsample='unpool'.*subpixel"),
        ({"name": "autoencoder", "tied": True}, "downsample='stride'"),
        (
            {"name": "autoencoder", "tied": True, "upsample_kernel_size": 5},
            "decoder has the encoder's kernels, of 3",
        ),
        (
            {
                "name": "autoencoder",
                "tied": True,
                "upsample": "resize",
                "downsample": "stride",
            },
            "tied=True with upsample='resize'",
        ),
        ({"name": "autoencoder", "downsample": "avg"}, "downsample='avg'"),
        ({"name": "conv_deconv", "head": "both"}, "head='both'"),
    ],
)
def test_bad_configs_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        make(config)


def test_classifier_without_labels_is_named():
    for name in ("cnn", "conv_deconv"):
        with pytest.raises(ValueError, match="num_classes"):
            make({"name": name}, num_classes=None)
