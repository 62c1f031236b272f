"""`conv` against loops, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import conv
from tests.ops import oracles

GEOMETRIES = [  # spatial sizes, window, strides, dilation, groups
    ((7,), (3,), (2,), (1,), 1),
    ((7, 6), (3, 2), (2, 1), (1, 2), 1),
    ((6, 7), (4, 3), (2, 3), (1, 1), 2),
    ((5, 4, 5), (2, 3, 2), (1, 2, 2), (1, 1, 2), 2),
]
PADDINGS = ["SAME", "VALID", "CIRCULAR", "REFLECT", "EDGE", "CAUSAL", 2, "pairs"]


@pytest.mark.parametrize("padding", PADDINGS)
def test_equals_loops_in_every_mode(padding, rng):
    inputs, calls, expected = [], [], []
    for sizes, window, strides, dilation, groups in GEOMETRIES:
        pad = [(1, 2), 0, (3, 1)][: len(sizes)] if padding == "pairs" else padding
        options = {
            "strides": strides,
            "padding": pad,
            "kernel_dilation": dilation,
            "feature_group_count": groups,
        }
        x = rng.normal(size=(*sizes, 4)).astype(np.float32)
        kernel = rng.normal(size=(*window, 4 // groups, 6)).astype(np.float32)
        inputs.append((x, kernel))
        calls.append(options)
        expected.append(oracles.conv(x, kernel, **options))

    @jax.jit
    def run(inputs):
        return [conv(x, k, **options) for (x, k), options in zip(inputs, calls)]

    for y, reference in zip(run(inputs), expected):
        np.testing.assert_allclose(y, reference, rtol=1e-4, atol=1e-4)


def test_any_number_of_batch_axes(rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 5, 6, 2)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 2, 4)), jnp.float32)
    y = conv(x, kernel)
    assert y.shape == (2, 3, 5, 6, 4)
    np.testing.assert_allclose(y[1, 2], conv(x[1, 2], kernel), rtol=1e-5, atol=1e-5)


def test_causal_output_sees_no_later_input(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 1, 1)), jnp.float32)
    jacobian = jax.jacobian(lambda x: conv(x, kernel, padding="CAUSAL")[:, 0])(
        jnp.zeros((6, 1))
    )[..., 0]
    assert float(jnp.abs(jnp.triu(jacobian, 1)).max()) == 0
    assert float(jnp.abs(jnp.diag(jacobian)).min()) > 0


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_accumulates_in_32(dtype):
    # 1 + 2048 * 2**-12 = 1.5; one by one in 16 bits, every addend would be lost.
    x = jnp.full((1, 2049), 2.0**-12, dtype).at[0, 0].set(1)
    kernel = jnp.ones((1, 2049, 1), dtype)
    y = conv(x, kernel, padding="VALID")
    assert y.dtype == jnp.dtype(dtype)
    assert float(y[0, 0]) == 1.5
    wide = conv(x, kernel, padding="VALID", preferred_element_type=jnp.float32)
    assert wide.dtype == jnp.float32


@pytest.mark.parametrize(
    ("x", "kernel", "options", "error", "message"),
    [
        ((5, 5), (3, 3, 1, 1), {}, ValueError, "spatial axes"),
        ((5, 5, 2), (3, 3, 1, 1), {}, ValueError, "2 channels.*takes 1"),
        ((5, 2), (2, 2), {}, ValueError, "at least one spatial axis"),
        (
            (5, 5, 4),
            (3, 3, 2, 3),
            {"feature_group_count": 2},
            ValueError,
            "feature_group_count=2",
        ),
        ((5, 1), (3, 1, 1), {"strides": 0}, ValueError, "strides=0"),
        ((2, 1), (5, 1, 1), {"padding": "VALID"}, ValueError, "empty output"),
        ((2, 1), (5, 1, 1), {"padding": "REFLECT"}, ValueError, "at least 3"),
        ((5, 1), (3, 0, 1), {}, ValueError, "may be empty"),
    ],
)
def test_bad_input_is_named(x, kernel, options, error, message):
    with pytest.raises(error, match=message):
        conv(jnp.ones(x), jnp.ones(kernel), **options)


def test_integers_and_mixed_types_are_refused():
    with pytest.raises(TypeError, match=r"x has dtype uint8.*floating"):
        conv(jnp.ones((5, 1), jnp.uint8), jnp.ones((3, 1, 1)))
    with pytest.raises(TypeError, match="cast one"):
        conv(jnp.ones((5, 1), jnp.bfloat16), jnp.ones((3, 1, 1)))
