"""`taps`: right for every side and part, and no larger than said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops.geometry import conv_axes
from jdeconv.ops.lowering import conv_by, conv_transpose_by, taps
from jdeconv.ops.lowering.problem import Problem
from tests.ops.oracles import EPS

# Sizes, window, strides, dilation, channels of x and y, groups, batch; parts of the
# batch that the images are made in.
CASES = {
    "few in": ((9, 11), (3, 4), (1, 1), 1, (2, 8), 1, 2, 1),
    "few out": ((9, 11), (3, 4), (1, 1), 2, (8, 1), 1, 2, 1),
    "strided": ((9, 11), (4, 3), (2, 3), 1, (3, 8), 1, 2, 1),
    "groups": ((9, 11), (3, 3), (2, 1), 1, (4, 6), 2, 2, 1),
    "stride beyond the window": ((9, 11), (2, 2), (3, 4), 1, (1, 5), 1, 2, 1),
    "one axis": ((50,), (5,), (2,), 1, (1, 4), 1, 2, 1),
    "three axes": ((5, 6, 7), (3, 2, 3), (1, 1, 1), 1, (1, 4), 1, 2, 1),
    "in parts": ((64, 64), (5, 5), (1, 1), 1, (3, 8), 1, 4, 4),
    "in parts, groups": ((64, 64), (5, 5), (1, 1), 1, (8, 8), 2, 4, 4),
    "in parts, few out": ((64, 64), (5, 5), (1, 1), 1, (8, 3), 1, 4, 4),
    "in parts, strided": ((96, 96), (7, 7), (2, 2), 1, (3, 4), 1, 6, 6),
    "parts of y too large": ((400, 400), (2, 2), (1, 1), 1, (1, 9), 1, 2, 1),
}


@pytest.mark.parametrize("by", [conv_by, conv_transpose_by])
@pytest.mark.parametrize("case", CASES)
def test_kernel_gradient_equals_the_reference(case, by, rng):
    *case, parts = CASES[case]
    asked = assert_gradient_is_right(by, *case, rng)
    assert taps.bytes_at_once(asked) == asked.groups * asked.windows_bytes // parts


@pytest.mark.parametrize("by", [conv_by, conv_transpose_by])
@pytest.mark.parametrize(
    "strides, channels",
    [
        ((2, 3), (8, 2)),
        pytest.param((1, 1), (8, 1), marks=pytest.mark.slow),
    ],
)
def test_large_images_are_cut(strides, channels, by, rng):
    case = (1801, 190), (5, 6), strides, 1, channels, 1, 1
    asked = assert_gradient_is_right(by, *case, rng)
    assert asked.slabs > 8
    assert asked.windows_bytes > 32e6
    assert taps.bytes_at_once(asked) < 6e6


def assert_gradient_is_right(
    by, sizes, window, strides, dilation, channels, groups, batch, rng
):
    """The problem whose windows are cut is returned."""
    inputs, outputs = channels
    axes = conv_axes(
        sizes, window, strides=strides, padding="SAME", kernel_dilation=dilation
    )
    asked = Problem(batch, axes, groups, inputs // groups, outputs // groups, 4)
    kernel = jnp.asarray(rng.normal(size=(*window, inputs // groups, outputs)), "f4")
    x = jnp.asarray(rng.normal(size=(batch, *sizes, inputs)), "f4")
    on_grid = [a.output_size for a in axes]
    y = jnp.asarray(rng.normal(size=(batch, *on_grid, outputs)), "f4")
    image, cotangent = (x, y) if by is conv_by else (y, x)

    def gradient(name):
        def f(kernel):
            return by(name, axes, groups, part="kernel_gradient")(image, kernel)

        return jax.jit(lambda c: jax.linear_transpose(f, kernel)(c)[0])(cotangent)

    ours, reference = gradient("taps"), gradient("lhs_dilation")
    scale = np.sqrt(x.size * y.size / kernel.size)
    np.testing.assert_allclose(ours, reference, atol=64 * EPS * scale)
    assert np.abs(reference).max() > 1  # and of that size it is
    return asked.mirrored if asked.from_y else asked
