"""`lanes`: equal to the stock form, however many terms its sums have."""

import jax
import jax.numpy as jnp
import pytest

from jdeconv.ops.geometry import conv_axes
from jdeconv.ops.lowering import conv_by, conv_transpose_by, lanes
from tests.ops.oracles import EPS, relative

AXES = {
    "one axis": conv_axes((13,), (5,), strides=3, padding=((2, 1),)),
    "strides": conv_axes((9, 8), (3, 5), strides=(2, 3), padding=((1, 0), (2, 3))),
    "dilated": conv_axes((9, 8), (3, 2), kernel_dilation=(2, 3), padding=1),
    "both": conv_axes(
        (12, 9), (3, 3), strides=(2, 3), kernel_dilation=(3, 2), padding=2
    ),
    "volume": conv_axes((5, 6, 4), (3, 2, 3), strides=(1, 2, 1), padding=1),
}


@pytest.mark.parametrize("terms", [24, 9, 1], ids="{} terms".format)
@pytest.mark.parametrize("part", ["conv_transpose", "conv"])
@pytest.mark.parametrize("by", [conv_transpose_by, conv_by])
def test_equals_the_stock_form(by, part, terms, rng, monkeypatch):
    """Value and gradients, by a loop over no axis, over some and over all."""
    monkeypatch.setattr(lanes, "TERMS", terms)
    inputs, outputs, groups = 3, 2, 4
    given = {}
    for name, axes in AXES.items():
        sizes = [a.input_size if by is conv_by else a.output_size for a in axes]
        channels = groups * (inputs if by is conv_by else outputs)
        window = [a.window for a in axes]
        image = rng.normal(size=(2, *sizes, channels))
        kernel = rng.normal(size=(*window, inputs, groups * outputs))
        given[name] = jnp.asarray(image, jnp.float32), jnp.asarray(kernel, jnp.float32)

    @jax.jit
    def results(given):
        found = []
        for name, (image, kernel) in given.items():
            for lowering in ("lanes", "lhs_dilation"):
                function = by(lowering, AXES[name], groups, part=part)
                x, pull_back = jax.vjp(function, image, kernel)
                found.append((x, *pull_back(jnp.cos(x))))
        return found

    found = results(given)
    for ours, stock in zip(found[::2], found[1::2], strict=True):
        for a, b in zip(ours, stock, strict=True):
            assert relative(a, b) < 64 * EPS


@pytest.mark.parametrize("window, loops", [((3, 3), 0), ((7, 7), 1), ((3, 3, 3), 1)])
def test_sums_of_some_terms_in_a_loop(window, loops):
    """Of 144 terms written out XLA's CPU backend made a pass 14 times as long."""
    axes = conv_axes((8,) * len(window), window)
    image = jnp.zeros((2, *(8,) * len(window), 32))
    kernel = jnp.zeros((*window, 8, 32))
    program = str(jax.make_jaxpr(conv_by("lanes", axes, 4))(image, kernel))
    assert program.count("scan[") == loops
    assert program.count(" mul ") <= lanes.TERMS
