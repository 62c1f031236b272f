import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdeconv.train import make_optimizer, make_schedule, optim


def schedule_of(**fields):
    config = optim.default_config()
    config.update(learning_rate=2.0, **fields)
    schedule = make_schedule(config, total_steps=100, batch_size=10, num_examples=100)
    return lambda step: float(schedule(step))


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"schedule": "constant"}, {0: 2, 99: 2, 500: 2}),
        ({"schedule": "linear"}, {0: 2, 50: 1, 100: 0, 500: 0}),
        ({"schedule": "linear", "final_scale": 0.5}, {0: 2, 50: 1.5, 100: 1}),
        ({"schedule": "cosine"}, {0: 2, 50: 1, 25: 1 + 2**-0.5, 100: 0}),
        ({"schedule": "exponential", "final_scale": 0.01}, {0: 2, 50: 0.2, 100: 0.02}),
        (
            {"schedule": "piecewise", "boundaries": ("3 epochs", "600 examples")},
            {29: 2, 30: 0.2, 59: 0.2, 60: 0.02},
        ),
        ({"warmup": "1 epochs"}, {0: 0.2, 4: 1, 9: 2, 10: 2, 50: 2}),
        ({"schedule": "linear", "warmup": "20 steps"}, {19: 2, 20: 2, 60: 1, 100: 0}),
    ],
)
def test_schedules_go_through_known_points(fields, expected):
    schedule = schedule_of(**fields)
    for step, value in expected.items():
        assert schedule(step) == pytest.approx(value, abs=1e-6), step


def test_schedule_is_a_float32_under_jit():
    config = optim.default_config()
    for kind in optim.SCHEDULES:
        config.update(schedule=kind, final_scale=0.1)
        schedule = make_schedule(config, total_steps=10, batch_size=1, num_examples=10)
        traced = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
        assert traced.dtype == jnp.float32 and traced.shape == ()


@pytest.mark.parametrize(
    "fields, match",
    [
        ({"schedule": "cosin"}, "optimizer.schedule='cosin'.*cosine"),
        ({"schedule": "exponential"}, "final_scale"),
        ({"learning_rate": -1.0}, "optimizer.learning_rate=-1.0"),
        ({"learning_rate": float("nan")}, "optimizer.learning_rate=nan"),
        ({"warmup": "soon"}, "optimizer.warmup='soon'"),
        ({"boundaries": ("5",)}, "optimizer.boundaries='5'"),
    ],
)
def test_illegal_schedules_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        config = optim.default_config()
        config.update(**fields)
        make_schedule(config, total_steps=10, batch_size=1, num_examples=10)


PARAMS = {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.full(2, 2.0)}
GRADS = {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([-1.0, 4.0])}


def update(**fields):
    config = optim.default_config()
    config.update(**fields)
    optimizer = make_optimizer(config, lambda step: 0.1)
    updates, _ = optimizer.update(GRADS, optimizer.init(PARAMS), PARAMS)
    return updates


@pytest.mark.parametrize(
    "fields, reference",
    [
        ({"name": "adam"}, optax.adam(0.1)),
        ({"name": "nadam"}, optax.nadam(0.1)),
        ({"name": "sgd", "momentum": 0.0}, optax.sgd(0.1)),
        ({"name": "sgd", "nesterov": True}, optax.sgd(0.1, 0.9, nesterov=True)),
        ({"name": "lion", "beta2": 0.99}, optax.lion(0.1, weight_decay=0.0)),
        ({"name": "rmsprop", "beta2": 0.9}, optax.rmsprop(0.1)),
        ({"name": "lamb", "eps": 1e-6}, optax.lamb(0.1)),
    ],
)
def test_named_rules_are_those_of_optax(fields, reference):
    expected, _ = reference.update(GRADS, reference.init(PARAMS), PARAMS)
    for a, b in zip(jax.tree.leaves(update(**fields)), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_weight_decay_spares_biases():
    plain, decayed = update(name="adamw"), update(name="adamw", weight_decay=0.5)
    np.testing.assert_allclose(decayed["kernel"] - plain["kernel"], -0.1, rtol=1e-5)
    np.testing.assert_array_equal(decayed["bias"], plain["bias"])


def test_clipping_scales_the_whole_gradient():
    norm = float(optax.tree.norm(GRADS))
    clipped = update(name="sgd", momentum=0.0, clip_norm=1.0)
    np.testing.assert_allclose(
        clipped["kernel"], -0.1 * GRADS["kernel"] / norm, rtol=1e-6
    )
    free = update(name="sgd", momentum=0.0, clip_norm=2 * norm)
    np.testing.assert_allclose(free["kernel"], -0.1 * GRADS["kernel"], rtol=1e-6)


@pytest.mark.parametrize(
    "fields, match",
    [
        ({"name": "adan"}, "optimizer.name='adan'.*adamw"),
        ({"name": "adam", "weight_decay": 0.1}, "'adamw'"),
        ({"clip_norm": -1.0}, "optimizer.clip_norm=-1.0"),
    ],
)
def test_illegal_optimizers_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        update(**fields)
