"""NNX layers: what they compute, whose array they hold, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import nn, ops


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.normal(size=(2, 9, 8, 4)), jnp.float32)


def test_conv_equals_flax(x):
    ours = nn.Conv(4, 6, (3, 2), strides=2, feature_group_count=2, rngs=nnx.Rngs(0))
    theirs = nnx.Conv(4, 6, (3, 2), strides=2, feature_group_count=2, rngs=nnx.Rngs(1))
    assert ours.kernel.shape == theirs.kernel.shape
    theirs.kernel[...] = ours.kernel[...]
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_conv_transpose_holds_the_array_of_flax_with_transpose_kernel(x):
    ours = nn.ConvTranspose(4, 6, (3, 2), strides=2, rngs=nnx.Rngs(0))
    theirs = nnx.ConvTranspose(
        4, 6, (3, 2), strides=2, transpose_kernel=True, rngs=nnx.Rngs(1)
    )
    assert ours.kernel.shape == theirs.kernel.shape == (3, 2, 6, 4)
    theirs.kernel[...] = ours.kernel[...]
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_conv_transpose_undoes_the_shape_and_adds_its_bias(x):
    layer = nn.ConvTranspose(
        4, 2, (3, 3), strides=2, bias_init=jax.nn.initializers.ones, rngs=nnx.Rngs(0)
    )
    y = layer(x, output_size=(17, 15))
    assert y.shape == (2, 17, 15, 2)
    plain = ops.conv_transpose(x, layer.kernel[...], strides=2, output_size=(17, 15))
    np.testing.assert_allclose(y, plain + 1, rtol=1e-6)


def test_tied_layer_has_no_kernel_and_is_the_adjoint(x):
    conv = nn.Conv(4, 6, (3, 3), strides=2, use_bias=False, rngs=nnx.Rngs(0))
    tied = nn.TiedConvTranspose(conv, use_bias=False)
    y = jnp.ones_like(conv(x))
    error = ops.adjoint_error(conv, lambda y: tied(y, output_size=(9, 8)), x, y)
    assert float(error) < 1e-6
    model = nnx.Dict(conv=conv, tied=tied)
    kernels = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert [k.shape for k in kernels] == [(3, 3, 4, 6)]


def test_tied_gradient_is_the_sum_of_both_uses(x):
    conv = nn.Conv(4, 6, (3, 3), strides=2, use_bias=False, rngs=nnx.Rngs(0))
    pair = nnx.Dict(conv=conv, tied=nn.TiedConvTranspose(conv, use_bias=False))

    def loss(pair):
        return jnp.sum(pair.tied(pair.conv(x), output_size=(9, 8)) ** 2)

    def by_hand(kernel):
        y = ops.conv(x, kernel, strides=2)
        return jnp.sum(
            ops.conv_transpose(y, kernel, strides=2, output_size=(9, 8)) ** 2
        )

    (grad,) = jax.tree.leaves(nnx.grad(loss)(pair))
    np.testing.assert_allclose(
        grad, jax.grad(by_hand)(conv.kernel[...]), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("layer", [nn.ResizeConv, nn.SubPixelConv])
def test_upsampling_layers_meet_every_size(layer, x):
    up = layer(4, 3, (3, 3), 2, rngs=nnx.Rngs(0))
    assert up(x).shape == (2, 18, 16, 3)
    assert up(x, output_size=(17, 16)).shape == (2, 17, 16, 3)
    with pytest.raises(ValueError, match=r"output_size=\(16, 16\).*17 to 18"):
        up(x, output_size=(16, 16))


def test_sub_pixel_starts_as_nearest_upsampling_of_a_conv(x):
    up = nn.SubPixelConv(4, 3, (3, 3), 2, rngs=nnx.Rngs(0))
    y = up(x)
    np.testing.assert_allclose(y[:, ::2, ::2], y[:, 1::2, 1::2], rtol=1e-6)


def test_pooling_layers(x):
    y, switches = nn.MaxPool(2, return_switches=True)(x)
    np.testing.assert_array_equal(y, nn.MaxPool(2)(x))
    back = nn.MaxUnpool()(y, switches, output_size=(9, 8))
    assert back.shape == x.shape
    np.testing.assert_allclose(back.sum(), y.sum(), rtol=1e-5)


def test_dropout_is_drawn_per_example_and_keeps_the_mean():
    dropout = nn.Dropout(0.5)
    keys = jax.random.split(jax.random.key(0), 4)
    x = jnp.ones((4, 2000))
    y = dropout(x, key=keys)
    np.testing.assert_allclose(y.mean(1), 1, atol=0.1)
    np.testing.assert_array_equal(y[1:3], dropout(x[1:3], key=keys[1:3]))
    with pytest.raises(ValueError, match="key"):
        dropout(x)
    dropout.eval()
    np.testing.assert_array_equal(dropout(x), x)
    with pytest.raises(ValueError, match="rate=1"):
        nn.Dropout(1.0)


def test_compute_dtype_and_parameter_dtype(x):
    layer = nn.ConvTranspose(4, 2, (3, 3), 2, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert layer.kernel.dtype == jnp.float32
    assert layer(x).dtype == jnp.bfloat16
    with jax.numpy_dtype_promotion("strict"):
        nn.Conv(4, 2, (3, 3), rngs=nnx.Rngs(0))(x)


def test_int_kernel_size_is_one_axis():
    layer = nn.ConvTranspose(2, 3, 4, 2, padding=1, rngs=nnx.Rngs(0))
    assert layer(jnp.ones((1, 5, 2))).shape == (1, 10, 3)


def test_causal_layer_works():
    layer = nn.Conv(2, 3, 3, padding="CAUSAL", rngs=nnx.Rngs(0))
    assert layer(jnp.ones((1, 5, 2))).shape == (1, 5, 3)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda **k: nn.Conv(2, 3, (3,), input_dilation=2, **k), TypeError, "nn.ConvT"),
        (lambda **k: nn.Conv(2, 3, (3,), mask=1, **k), TypeError, "mask"),
        (
            lambda **k: nn.ConvTranspose(2, 3, (3,), transpose_kernel=True, **k),
            TypeError,
            "transpose_kernel",
        ),
        (lambda **k: nn.Conv(2, 3, (3,), colour=1, **k), TypeError, "'colour'"),
        (lambda **k: nn.Conv(3, 4, (3,), feature_group_count=2, **k), ValueError, "=3"),
        (lambda **k: nn.Conv(0, 4, (3,), **k), ValueError, "in_features=0"),
        (lambda **k: nn.Conv(2, 4, (0,), **k), ValueError, "kernel_size"),
        (lambda **k: nn.TiedConvTranspose(3), TypeError, "conv=int"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(rngs=nnx.Rngs(0))


def test_wrong_channels_are_named_at_the_call(x):
    with pytest.raises(ValueError, match="4 channels"):
        nn.ConvTranspose(3, 2, (3, 3), rngs=nnx.Rngs(0))(x)


def test_missing_and_misnamed_parameters_raise():
    layer = nn.ConvTranspose(2, 3, (3, 3), 2, rngs=nnx.Rngs(0))
    params = nn.get_params(layer)
    before = layer.kernel[...]
    with pytest.raises(ValueError, match=r"missing bias$"):
        nn.set_params(layer, {"kernel": params["kernel"] + 1})
    with pytest.raises(ValueError, match="missing kernel; unknown weight"):
        nn.set_params(layer, {"weight": params["kernel"], "bias": params["bias"]})
    with pytest.raises(ValueError, match=r"bias has shape \(4,\), not \(3,\)"):
        nn.set_params(layer, {"kernel": params["kernel"], "bias": jnp.zeros(4)})
    np.testing.assert_array_equal(layer.kernel[...], before)
    nn.set_params(layer, jax.tree.map(lambda p: p + 1, params))
    np.testing.assert_array_equal(layer.kernel[...], before + 1)
