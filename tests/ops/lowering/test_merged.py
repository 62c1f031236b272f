"""`merged`: narrow groups taken together equal every group by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import conv, conv_transpose
from jdeconv.ops.geometry import conv_transpose_axes
from jdeconv.ops.lowering import choose, merged
from jdeconv.ops.lowering.problem import problem
from tests.ops.oracles import EPS


def asked(groups, inputs, outputs, strides):
    y = jax.ShapeDtypeStruct((2, 5, 4, groups * outputs), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 2, inputs, groups * outputs), jnp.float32)
    axes = conv_transpose_axes((5, 4), (3, 2), strides=strides)
    return problem(y, kernel, axes, groups)


@pytest.mark.parametrize(
    "groups, inputs, outputs, strides, count",
    [
        (8, 16, 16, 2, 2),  # 32 channels at a stride
        (8, 16, 16, 1, 4),  # 64 else
        (16, 9, 16, 2, 4),  # the narrower side counts
        (6, 9, 9, 2, 6),  # four do not divide six
        (2, 12, 12, 2, 2),  # all there are
        (4, 64, 64, 2, 1),
    ],
)
def test_the_fewest_groups_that_are_wide(groups, inputs, outputs, strides, count):
    p = asked(groups, inputs, outputs, strides)
    assert merged.count(p) == count
    wide = merged.wider(p)
    assert wide.groups * wide.group_in == groups * inputs
    assert wide.groups * wide.group_out == groups * outputs
    assert merged.count(wide) == 1
    assert ("merged" in choose.on_cpu(p)) == (count > 1)
    assert "merged" not in choose.on_cpu(wide)


def test_each_group_keeps_its_kernel_and_gets_zeros_beside(rng):
    p = asked(16, 4, 4, 2)  # eight at a time
    kernel = rng.normal(size=(3, 2, 4, 64)).astype(np.float32)
    expected = np.zeros((3, 2, 32, 64), np.float32)
    for group in range(16):
        rows = slice(group % 8 * 4, group % 8 * 4 + 4)
        columns = slice(group * 4, group * 4 + 4)
        expected[:, :, rows, columns] = kernel[..., columns]
    np.testing.assert_array_equal(merged.kernel_of(p, kernel), expected)


@pytest.mark.parametrize("strides", [2, 1])
def test_equals_group_by_group(strides, rng):
    groups, inputs, outputs = 4, 16, 16
    y = jnp.asarray(rng.normal(size=(2, 4, 5, groups * outputs)), jnp.float32)
    kernel = rng.normal(size=(3, 2, inputs, groups * outputs)) / 8
    kernel = jnp.asarray(kernel, jnp.float32)
    split = lambda a: jnp.split(a, groups, -1)  # noqa: E731

    def by_groups(y, kernel):
        parts = zip(split(y), split(kernel), strict=True)
        each = [
            conv_transpose(a, b, strides=strides, algorithm="lhs_dilation")
            for a, b in parts
        ]
        return jnp.concatenate(each, -1)

    options = {"strides": strides, "feature_group_count": groups}

    @jax.jit
    def all_parts(y, kernel):
        x, pull_back = jax.vjp(by_groups, y, kernel)
        bar = jnp.cos(x)
        expected = (x, *pull_back(bar))
        x, pull_back = jax.vjp(
            lambda *a: conv_transpose(*a, algorithm="merged", **options), y, kernel
        )
        # The forward conv of x's size, whose input gradient is x again.
        forward, forward_pull_back = jax.vjp(
            lambda x, k: conv(x, k, **options), bar, kernel
        )
        back, kernel_bar = forward_pull_back(y)
        return expected, (x, *pull_back(bar)), (back, forward, kernel_bar)

    expected, transposed, forward = all_parts(y, kernel)
    for found in (transposed, forward):
        for a, b in zip(found, expected, strict=True):
            assert float(jnp.abs(a - b).max() / jnp.abs(b).max()) < 64 * EPS
