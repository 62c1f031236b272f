"""`matmul`: the pieces of its windows, and products made for one computation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops.geometry import conv_axes
from jdeconv.ops.lowering import conv_by, conv_transpose_by
from jdeconv.ops.lowering.problem import Problem
from tests.ops.oracles import EPS

# Window, strides, dilation, channels of x and y, groups; the pieces, and whether each
# has a product of its own in the gradient to the image.
CASES = {
    "blocks not all full": ((3, 5), (2, 2), 1, (8, 8), 1, 6, True),
    "full blocks": ((4, 2), (2, 2), 1, (8, 8), 1, 2, True),
    "many outputs": ((3, 3), (2, 2), 1, (4, 16), 1, 4, False),
    "full blocks, many outputs": ((4, 4), (2, 2), 1, (4, 32), 1, 4, False),
    "groups": ((3, 3), (2, 2), 1, (8, 8), 2, 4, True),
    "dilated": ((3, 2), (2, 3), 2, (8, 6), 1, 6, True),
    "stride 1": ((3, 2), (1, 1), 1, (8, 8), 1, 6, True),
    "stride beyond the window": ((2, 2), (3, 4), 1, (8, 8), 1, 1, True),
}


def problem_of(case):
    window, strides, dilation, (inputs, outputs), groups, *_ = CASES[case]
    axes = conv_axes(
        (9, 11), window, strides=strides, padding="SAME", kernel_dilation=dilation
    )
    return Problem(2, axes, groups, inputs // groups, outputs // groups, 4)


@pytest.mark.parametrize("case", CASES)
def test_the_pieces_are_the_window(case):
    asked = problem_of(case)
    *_, pieces, apart = CASES[case]
    assert (asked.pieces, asked.apart) == (pieces, apart)
    assert len(asked.places) == pieces
    strides = [a.stride for a in asked.axes]
    positions = [
        tuple(p.block * s + p.offset + i for p, i, s in zip(place, inside, strides))
        for place in asked.places
        for inside in np.ndindex(*(p.taps for p in place))
    ]
    taps = np.ndindex(*(a.window for a in asked.axes))
    dilations = [a.dilation for a in asked.axes]
    assert sorted(positions) == [
        tuple(int(t * d) for t, d in zip(tap, dilations)) for tap in taps
    ]


@pytest.mark.parametrize("case", CASES)
def test_each_computation_is_right_for_its_part(case, rng):
    asked = problem_of(case)
    axes, groups = asked.axes, asked.groups
    channels = (groups * asked.group_in, groups * asked.group_out)
    x_sizes = [a.input_size for a in axes]
    y_sizes = [a.output_size for a in axes]
    window = [a.window for a in axes]
    x, y, kernel = (
        jnp.asarray(rng.normal(size=shape), jnp.float32)
        for shape in (
            (2, *x_sizes, channels[0]),
            (2, *y_sizes, channels[1]),
            (*window, asked.group_in, channels[1]),
        )
    )

    def computations(name, x, y, kernel):
        """All three, by the transposed and by the forward conv."""

        def transpose(by, part, image, cotangent, of_kernel):
            function = by(name, axes, groups, part=part)
            if of_kernel:
                layer, primal = (lambda k: function(image, k)), kernel
            else:
                layer, primal = (lambda i: function(i, kernel)), image
            return jax.linear_transpose(layer, primal)(cotangent)[0]

        return {
            "conv_transpose": [
                conv_transpose_by(name, axes, groups)(y, kernel),
                transpose(conv_by, "conv_transpose", x, y, False),
            ],
            "conv": [
                conv_by(name, axes, groups)(x, kernel),
                transpose(conv_transpose_by, "conv", y, x, False),
            ],
            "kernel_gradient": [
                transpose(conv_transpose_by, "kernel_gradient", y, x, True),
                transpose(conv_by, "kernel_gradient", x, y, True),
            ],
        }

    found, expected = jax.jit(
        lambda *a: (computations("matmul", *a), computations("lhs_dilation", *a))
    )(x, y, kernel)
    terms = math.prod(y_sizes) * 2
    for part, values in found.items():
        for ours, reference in zip(values, expected[part], strict=True):
            scale = float(jnp.abs(reference).max())
            gap = float(jnp.abs(ours - reference).max())
            assert gap < 4 * EPS * math.sqrt(terms) * scale, part
