"""Linen layers equal the NNX ones, and do not apply without their parameters."""

import flax
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import nn


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(2, 7, 6, 4)), jnp.float32)


PAIRS = [
    (
        nn.linen.Conv(6, (3, 2), strides=2, padding="REFLECT"),
        lambda r: nn.Conv(4, 6, (3, 2), strides=2, padding="REFLECT", rngs=r),
    ),
    (
        nn.linen.ConvTranspose(6, (3, 2), strides=(2, 3), feature_group_count=2),
        lambda r: nn.ConvTranspose(
            4, 6, (3, 2), strides=(2, 3), feature_group_count=2, rngs=r
        ),
    ),
    (
        nn.linen.SubPixelConv(3, (3, 3), 2),
        lambda r: nn.SubPixelConv(4, 3, (3, 3), 2, rngs=r),
    ),
    (
        nn.linen.ResizeConv(3, (3, 3), 2),
        lambda r: nn.ResizeConv(4, 3, (3, 3), 2, rngs=r),
    ),
]


@pytest.mark.parametrize(("layer", "make"), PAIRS)
def test_same_parameters_same_output(layer, make, x):
    twin = make(nnx.Rngs(0))
    pure = nnx.to_pure_dict(nnx.state(twin, nnx.Param))
    made = layer.init(jax.random.key(0), x)["params"]
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, pure)
    np.testing.assert_allclose(layer.apply({"params": pure}, x), twin(x), rtol=1e-6)


@pytest.mark.parametrize("layer", [pair[0] for pair in PAIRS[:2]])
def test_missing_or_misnamed_parameters_raise(layer, x):
    params = layer.init(jax.random.key(0), x)["params"]
    with pytest.raises(flax.errors.ScopeParamNotFoundError):
        layer.apply({"params": {"kernel": params["kernel"]}}, x)
    with pytest.raises(flax.errors.ScopeParamNotFoundError):
        layer.apply({"params": {"weight": params["kernel"]}}, x)


def test_tied_layer_uses_the_kernel_of_the_conv(x):
    class Pair(flax.linen.Module):
        def setup(self):
            self.conv = nn.linen.Conv(6, (3, 3), strides=2)
            self.tied = nn.linen.TiedConvTranspose()

        def __call__(self, x):
            return self.tied(self.conv(x), self.conv, output_size=x.shape[1:3])

    y, variables = Pair().init_with_output(jax.random.key(0), x)
    assert y.shape == x.shape
    assert set(variables["params"]["tied"]) == {"bias"}


def test_bad_features_are_named(x):
    with pytest.raises(ValueError, match="features=5"):
        nn.linen.Conv(5, (3, 3), feature_group_count=2).init(jax.random.key(0), x)
