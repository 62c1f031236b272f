import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdeconv.train.soap import scale_by_soap


def descend(rule, grad, params, steps, rate):
    optimizer = optax.chain(rule, optax.scale_by_learning_rate(rate))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(grad(params), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


def test_correlated_inputs_do_not_slow_it_down(rng):
    """Least squares on neighbouring pixels, whose covariance has a condition of 1e4."""
    x = np.cumsum(rng.normal(size=(256, 9)), axis=0).astype("float32")
    x = x - x.mean(0) + 0.01 * rng.normal(size=x.shape).astype("float32")
    x = (x.mean(1, keepdims=True) + 0.02 * x).astype("float32")
    x /= x.std()
    kernel = rng.normal(size=(3, 3, 1, 4)).astype("float32")
    y = x @ kernel.reshape(9, 4)

    def loss(params):
        return jnp.mean(jnp.square(x @ params["kernel"].reshape(9, 4) - y))

    start = {"kernel": jnp.zeros_like(kernel)}
    left = {
        name: float(loss(descend(rule, jax.grad(loss), start, 200, 0.02)))
        for name, rule in {
            "adam": optax.scale_by_adam(0.95, 0.99),
            "soap": scale_by_soap(0.95, 0.99, every=5),
        }.items()
    }
    assert left["soap"] < 0.4 * left["adam"], left


def test_what_has_one_axis_goes_as_by_adam(rng):
    target = rng.normal(size=6).astype("float32")

    def grad(params):
        return {"bias": params["bias"] - target}

    start = {"bias": jnp.zeros(6)}
    ours, adams = (
        descend(rule, grad, start, 10, 0.1)["bias"]
        for rule in (scale_by_soap(0.9, 0.99), optax.scale_by_adam(0.9, 0.99))
    )
    np.testing.assert_allclose(ours, adams, rtol=1e-5)


def test_it_does_not_depend_on_the_basis_the_layer_is_written_in(rng):
    """Rotating the inputs of a linear layer rotates the updates and nothing else."""
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0].astype("float32")
    grads = rng.normal(size=(6, 4, 3)).astype("float32")
    rule = scale_by_soap(0.9, 0.95, every=2)
    plain, turned = (rule.init(jnp.zeros((4, 3))) for _ in range(2))
    for grad in grads:
        one, plain = rule.update(jnp.asarray(grad), plain)
        two, turned = rule.update(jnp.asarray(turn @ grad), turned)
        np.testing.assert_allclose(turn @ one, two, atol=1e-3)


def test_refusal():
    with pytest.raises(ValueError, match="every=0"):
        scale_by_soap(every=0)
