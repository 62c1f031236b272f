"""`unshared` gives what `jax.jit` gives, and by jax 0.10 shares no step."""

import functools
import importlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jdeconv.restore import Blur, psf
from jdeconv.restore.prepared import prepare
from jdeconv.restore.unshared import unshared


def blurred_often(x, times):
    def step(x, _):
        spectrum = jnp.fft.rfft2(x)
        x = jnp.fft.irfft2(spectrum / (1 + jnp.abs(spectrum)), x.shape)
        return x, jnp.sum(x**2)

    return lax.scan(step, x, length=times)


jitted = jax.jit(blurred_often, static_argnames="times")
function = unshared(jitted, ("times",))


def sharing(lowered):
    """Of a program: steps that are shared between threads."""
    return lowered.compile().as_text().count("outer_dimension_partitions")


def test_equals_jit_alone_and_within_programs_and_transforms():
    x = jnp.asarray(np.random.default_rng(0).random((3, 16, 20), np.float32))
    expected, _ = jax.vmap(functools.partial(jitted, times=2))(x)
    for found in (
        jnp.stack([function(y, times=2)[0] for y in x]),
        jax.vmap(lambda y: function(y, times=2)[0])(x),
        jax.jit(jax.vmap(lambda y: function(y, times=2)[0]))(x),
        jax.jit(lambda: jnp.stack([function(y, times=2)[0] for y in x]))(),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    def total(f, y):
        return jnp.sum(f(y, times=2)[1])

    for transform in (jax.grad, jax.jacfwd):
        a, b = (
            transform(functools.partial(total, f))(x[0]) for f in (function, jitted)
        )
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="of older jax")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of CPUs")
def test_no_step_is_shared_between_threads():
    x = jnp.ones((512, 512))
    alone = function.__closure__[0].cell_contents
    assert sharing(jitted.lower(x, times=2)) > 0
    assert sharing(alone.lower(x, times=2)) == 0


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="of older jax")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of CPUs")
@pytest.mark.parametrize("boundary", ["circular", "zero", "valid"])
def test_around_richardson_lucys_loop_are_no_more_than_eight_steps(boundary):
    """XLA runs so many in order; of more it is chance in which thread the loop runs."""
    blur = Blur(psf.gaussian(2.0, (9, 9)), (40, 40), boundary)
    image = jnp.ones(blur.output_shape)
    given = prepare(image, blur, None, 0.0, None, framed=True, one_thread=False)
    module = importlib.import_module("jdeconv.restore.richardson_lucy")
    alone = module._solve_unshared.__closure__[0].cell_contents
    program = alone.lower(
        given,
        0.0,
        None,
        None,
        0.0,
        None,
        scene=blur.shape,
        shown=blur.output_shape,
        num_iters=5,
        rule=None,
        damped=False,
        accelerated=False,
        has_tv=False,
    )
    entry = program.compile().as_text().split("ENTRY")[1]
    kinds = re.findall(r"^ .* = .*?[\]})] ([\w-]+)\(", entry, re.MULTILINE)
    free = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
    steps = [kind for kind in kinds if kind not in free]
    assert "while" in steps and len(steps) <= 8, steps
