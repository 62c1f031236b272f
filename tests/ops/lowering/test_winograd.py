"""`winograd`: equal to the stock form at sizes that take its other branches."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jdeconv.ops.geometry import conv_axes
from jdeconv.ops.lowering import conv_by, conv_transpose_by, winograd
from tests.ops.oracles import EPS, relative


def check_value_and_gradients(by, axes, image, kernel):
    """Of a nonlinear function of the layer, against the stock form's."""

    @jax.jit
    def results(image, kernel):
        found = []
        for name in ("winograd", "lhs_dilation"):
            x, pull_back = jax.vjp(by(name, axes, 1), image, kernel)
            found.append((x, *pull_back(jnp.cos(x))))
        return found

    for a, b in zip(*results(image, kernel), strict=True):
        assert relative(a, b) < 64 * EPS


@pytest.mark.parametrize("transpose", [conv_transpose_by, conv_by])
def test_tiles_beyond_the_cache_are_made_in_parts(transpose, rng, monkeypatch):
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", 4096)
    axes = conv_axes((9, 8), (3, 5), padding=((1, 0), (2, 3)))
    sizes = (9, 8) if transpose is conv_by else (8, 9)
    image = jnp.asarray(rng.normal(size=(6, *sizes, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 5, 4, 4)), jnp.float32)
    assert winograd._chunks(image) == 2
    check_value_and_gradients(transpose, axes, image, kernel)


def test_kernel_gradient_by_a_constant_of_the_program(rng):
    """jax 0.10 gets it wrong where products are added to outputs by broadcasting."""
    image = jnp.asarray(rng.normal(size=(8, 36, 36, 32)), jnp.float32)
    cotangent = jnp.asarray(rng.normal(size=(8, 36, 36, 32)), jnp.float32)
    kernel = jax.ShapeDtypeStruct((5, 5, 32, 32), jnp.float32)
    axes = conv_axes((36, 36), (5, 5))

    @jax.jit
    def gradients(image):
        found = []
        for name in ("winograd", "lhs_dilation"):
            layer = functools.partial(conv_by(name, axes, 1), image)
            found += jax.linear_transpose(layer, kernel)(cotangent)
        return found

    assert relative(*gradients(image)) < 64 * EPS


@pytest.mark.parametrize("window", [(3,), (7, 4), (3, 3, 3)])
def test_one_product_in_a_loop(window):
    """Written out, 64 products of 3 x 3 x 3 took XLA 3 s to compile."""
    axes = conv_axes((12,) * len(window), window)
    image = jnp.zeros((2, *(12,) * len(window), 4))
    kernel = jnp.zeros((*window, 4, 4))
    program = jax.make_jaxpr(conv_by("winograd", axes, 1))(image, kernel)
    assert str(program).count("dot_general[") == 2  # and the one that makes matrices
