"""Networks drawn in one program are those that their classes make one by one."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models
from jdeconv.models.autoencoder import Autoencoder
from jdeconv.models.once import draw, jit_once

CONFIG = {"name": "autoencoder", "features": [2, 3]}


@contextlib.contextmanager
def optimized():
    """As users have it, and not as `make test`."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def build(rngs):
    with optimized():
        return models.build(CONFIG, image_shape=(8, 8, 1), rngs=rngs)


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def test_it_is_the_network_that_the_class_makes_and_so_is_the_next():
    ours, theirs = nnx.Rngs(3), nnx.Rngs(3)
    for _ in range(2):
        drawn = build(ours)
        made = Autoencoder((8, 8, 1), features=(2, 3), rngs=theirs)
        assert nnx.graphdef(drawn) == nnx.graphdef(made)
        for a, b in zip(leaves(drawn), leaves(made)):
            np.testing.assert_allclose(a, b, atol=1e-6)
    first = leaves(build(nnx.Rngs(3)))
    assert any((a != b).any() for a, b in zip(first, leaves(drawn)))


def test_it_is_compiled_once():
    traced = []

    class Network(nnx.Module):
        def __init__(self, scale, *, rngs):
            traced.append(scale)
            self.weight = nnx.Param(scale * rngs.normal((3,)))

    with optimized():
        a, b = (draw(Network, {"scale": 2.0}, nnx.Rngs(seed)) for seed in (0, 1))
        c = draw(Network, {"scale": 1.0}, nnx.Rngs(1))
    assert traced == [2.0, 1.0]
    assert (a.weight[...] != b.weight[...]).all()
    np.testing.assert_allclose(b.weight[...], 2 * c.weight[...], rtol=1e-6)


def test_within_other_programs_and_with_options_that_are_no_key():
    shapes = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    assert isinstance(jax.tree.leaves(nnx.state(shapes))[0], jax.ShapeDtypeStruct)
    within = jax.jit(lambda: nnx.as_pure(nnx.state(build(nnx.Rngs(0)))))()
    for a, b in zip(jax.tree.leaves(within), leaves(build(nnx.Rngs(0)))):
        np.testing.assert_allclose(a, b, atol=1e-6)
    unet = {"name": "unet", "stages": {}}
    with optimized(), pytest.raises(TypeError, match="'dict'"):
        models.build(unet, image_shape=(8, 8, 1), num_classes=2, rngs=nnx.Rngs(0))


def test_results_are_those_of_jit():
    x = jnp.linspace(0, 1, 7)
    function = lambda x: {"y": jnp.sin(x), "n": x.size}  # noqa: E731
    found = jit_once(function)(x)
    np.testing.assert_allclose(found["y"], np.sin(x), rtol=1e-6)
    assert found["n"] == 7
