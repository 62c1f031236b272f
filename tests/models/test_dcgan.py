import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models


def build(image_shape=(16, 16, 1), **options):
    return models.build(
        {"name": "dcgan", "width": 4, "latent": 10} | options,
        image_shape=image_shape,
        num_classes=10,
        rngs=nnx.Rngs(0),
    )


@functools.cache
def made(**options):
    return nnx.jit(lambda: build(**options))()


def kernels(module):
    return {
        ".".join(map(str, path)): np.asarray(value[...])
        for path, value in nnx.to_flat_state(nnx.state(module, nnx.Param))
    }


def test_parameters_are_those_of_the_well_known_network():
    # PyTorch's DCGAN example, nz = 100, ngf = ndf = 64, 3 channels, has 3,576,704 and
    # 2,765,568; ours adds the biases of the layers without a norm.
    model = nnx.eval_shape(lambda: build((64, 64, 3), width=64, latent=100))
    counts = [
        sum(x.size for x in jax.tree.leaves(nnx.state(part, nnx.Param)))
        for part in (model.generator, model.discriminator)
    ]
    assert counts == [3_576_704 + 3, 2_765_568 + 64 + 1]


def test_kernels_start_as_in_the_paper():
    for name, value in kernels(made(width=16)).items():
        mean = 1.0 if "scale" in name else 0.0
        if "bias" in name:
            assert not value.any()
            continue
        error = 6 * 0.02 / np.sqrt(value.size)
        assert value.mean() == pytest.approx(mean, abs=error), name
        assert value.std() == pytest.approx(0.02, abs=error), name


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (17, 30), (32, 64)])
def test_any_size_is_met(size):
    def shapes():
        model = build((*size, 3))
        images = model(jnp.zeros((2, 10)))
        return images, model.discriminator(images)

    images, scores = nnx.eval_shape(shapes)
    assert images.shape == (2, *size, 3) and scores.shape == (2,)
    assert images.dtype == scores.dtype == jnp.float32


@pytest.mark.slow
def test_labels_reach_both_networks():
    model = made(conditional=True, norm="none")
    z = jax.random.normal(jax.random.key(0), (10, 10))
    one, other = jnp.zeros(10, int), jnp.arange(10)
    images = jax.random.normal(jax.random.key(1), (10, 16, 16, 1))

    @nnx.jit
    def gaps(model):
        scores = [model.discriminator(images, label) for label in (one, other)]
        made = [model(z, label) for label in (one, other)]
        return abs(scores[1] - scores[0]), abs(made[1] - made[0]).max((1, 2, 3))

    of_scores, of_images = gaps(model)
    assert (of_scores[1:] > 1e-7).all() and of_scores[0] == 0
    assert (of_images[1:] > 1e-5).all()
    for network, x in ((model.generator, z), (model.discriminator, images)):
        with pytest.raises(ValueError, match="label=None: a conditional network"):
            network(x)


@pytest.mark.parametrize(
    "upsample, equal", [("subpixel", True), ("subpixel_plain", False)]
)
def test_sub_pixel_layers_start_with_or_without_icnr(upsample, equal):
    layer = made(upsample=upsample, kernel_size=3).generator.layers[0]
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, layer.conv.in_features))
    y = np.asarray(layer(x))
    assert np.array_equal(y[:, ::2], y[:, 1::2]) == equal


def test_layer_norm_sees_one_example_and_batch_norm_all():
    x = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))
    for norm, couples in (("layer", False), ("none", False), ("batch", True)):
        discriminator = made(norm=norm).discriminator
        assert discriminator.couples_examples == couples
        gap = nnx.jit(lambda d: d(x)[:2] - d(x[:2]))(discriminator)
        assert (abs(gap).max() > 1e-4) == couples, norm


@pytest.mark.parametrize(
    "options, message",
    [
        ({"upsample": "unpool"}, "upsample='unpool'.*subpixel_plain"),
        ({"norm": "instance"}, "norm='instance': must be one of batch, layer, none"),
        ({"image_shape": (6, 16, 1)}, "7 x 7 or more"),
        ({"features": 3}, "config.model.features: the network 'dcgan' has no such"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: build(**options))


def test_conditional_needs_labels():
    with pytest.raises(ValueError, match="conditional=True, and the data set"):
        models.DCGAN((16, 16, 1), conditional=True, rngs=nnx.Rngs(0))
