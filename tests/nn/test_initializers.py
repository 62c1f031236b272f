"""Measured output of freshly made layers (P11)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import nn, ops
from jdeconv.nn import initializers

# in, out, window, stride, groups
MORE_LAYERS = [
    (64, 16, 3, 2, 1),
    (8, 64, 6, 3, 1),
    (32, 32, 2, 2, 1),
    (64, 64, 7, 4, 1),
]
LAYERS = [
    (16, 64, 3, 2, 1),
    (64, 64, 4, 2, 1),
    (64, 8, 5, 3, 1),
    (64, 32, 3, 1, 1),
    (64, 64, 4, 2, 4),
    *(pytest.param(*layer, marks=pytest.mark.slow) for layer in MORE_LAYERS),
]


@pytest.mark.parametrize(("inputs", "outputs", "window", "stride", "groups"), LAYERS)
def test_output_deviation_is_one_in_every_phase(
    inputs, outputs, window, stride, groups
):
    layer = nn.ConvTranspose(
        inputs,
        outputs,
        (window, window),
        stride,
        feature_group_count=groups,
        rngs=nnx.Rngs(0),
    )
    x = jax.random.normal(jax.random.key(1), (8, 20, 20, inputs))
    y = layer(x)[:, 2 * window : -2 * window, 2 * window : -2 * window]
    assert y.size and 0.9 < float(y.std()) < 1.1
    # For unit-normal input the variance at each position is the sum of the squared
    # taps that reach it; averaged over draws, to see the initialiser and not one draw.
    init = initializers.conv_transpose_variance_scaling(
        strides=stride, feature_group_count=groups
    )
    keys = jax.random.split(jax.random.key(0), 16)

    @jax.jit
    def variance(keys):
        draws = jax.vmap(lambda k: init(k, layer.kernel.shape, jnp.float32))(keys)
        return ops.conv_transpose(
            jnp.ones((20, 20, inputs)),
            jnp.mean(draws**2, 0),
            strides=stride,
            feature_group_count=groups,
        ).mean(-1)

    inner = np.asarray(variance(keys))[
        2 * window : -2 * window, 2 * window : -2 * window
    ]
    assert 0.95 < float(np.sqrt(inner.mean())) < 1.05
    assert float(np.sqrt(inner.max() / inner.min())) <= 1.05


def test_dilated_and_sparse_phases():
    for window, stride, dilation in [(3, 2, 2), (1, 2, 1), (2, 3, 1)]:
        init = initializers.conv_transpose_variance_scaling(
            strides=stride, kernel_dilation=dilation
        )
        kernel = init(jax.random.key(0), (window, 256, 256), jnp.float32)
        y = jax.random.normal(jax.random.key(1), (8, 64, 256))
        x = ops.conv_transpose(
            y, kernel, strides=stride, kernel_dilation=dilation, padding="VALID"
        )
        assert 0.9 < float(x[:, 16:-16].std()) < 1.1


def test_variance_follows_scale_and_distribution():
    for distribution in ("normal", "truncated_normal", "uniform"):
        init = initializers.conv_transpose_variance_scaling(
            2.0, strides=2, distribution=distribution
        )
        kernel = init(jax.random.key(0), (4, 4, 64, 64), jnp.float32)
        np.testing.assert_allclose(kernel.var(), 2 / (64 * 16 / 4), rtol=0.02)


def test_default_kernel_on_ones_shows_the_checkerboard_of_the_window():
    """All-ones kernel on all-ones input, the literature's picture (P11)."""
    for window, ratio in [(3, 4.0), (4, 1.0)]:
        y = ops.conv_transpose(
            jnp.ones((8, 8, 1)), jnp.ones((window, window, 1, 1)), strides=2
        )
        inner = y[4:-4, 4:-4]
        assert float(inner.max() / inner.min()) == ratio


def test_icnr_makes_equal_sub_kernels():
    kernel = initializers.icnr(2)(jax.random.key(0), (3, 3, 5, 8), jnp.float32)
    parts = jnp.split(kernel, 4, axis=-1)
    for part in parts[1:]:
        np.testing.assert_array_equal(part, parts[0])
    with pytest.raises(ValueError, match="multiple of 4"):
        initializers.icnr(2)(jax.random.key(0), (3, 3, 5, 6), jnp.float32)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_bilinear_interpolates(stride):
    window = 2 * stride - stride % 2
    layer = nn.ConvTranspose(
        2,
        2,
        (window, window),
        stride,
        padding="SAME",
        kernel_init=initializers.bilinear(),
        rngs=nnx.Rngs(0),
    )
    ramp = jnp.arange(8.0)[None, :, None, None] * jnp.ones((1, 8, 8, 2))
    y = layer(ramp)
    inner = y[0, 2 * stride : -2 * stride, 2 * stride : -2 * stride]
    np.testing.assert_allclose(jnp.diff(inner, axis=0), 1 / stride, rtol=1e-5)
    np.testing.assert_allclose(jnp.diff(inner, axis=1), 0, atol=1e-5)
    with pytest.raises(ValueError, match="as many channels"):
        initializers.bilinear()(jax.random.key(0), (4, 4, 1, 2), jnp.float32)
