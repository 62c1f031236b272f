"""`unshared` gives what `jax.jit` gives, and by jax 0.10 shares no step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

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
