import dataclasses

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jdeconv import train
from tests.train import tiny

step = jax.jit(train.train_step)


def leaves(state):
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(x)
        for path, x in jax.tree.leaves_with_path(state)
    }


def test_golden_step():
    # Taken down on CPU, jax 0.10.2. They change only if the mathematics or the random
    # numbers do; the next test holds the same step against optax by hand.
    params = jax.tree.map(
        lambda x: jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape) / 4,
        nnx.state(tiny.Net(), nnx.Param),
    )
    model = tiny.Net()
    nnx.update(model, params)
    state = tiny.make_state(model, tiny.make_task(noise_std=0.1), optax.adam(1e-2))
    state, metrics = step(state, tiny.make_batch(4))
    numbers = {name: float(x) for name, x in metrics.items()}
    numbers["kernel"] = float(jnp.abs(state.params["out"]["kernel"][...]).sum())
    assert numbers == pytest.approx(GOLDEN, rel=2e-5)


GOLDEN = {
    "loss": 0.16605905,
    "psnr": 8.0133848,
    "input_psnr": 20.420107,
    "grad_norm": 0.66408467,
    "kernel": 5.8258586,
}


def test_step_is_the_gradient_step_of_optax():
    model, batch = tiny.Net(), tiny.make_batch()
    optimizer = optax.sgd(0.1)
    state, metrics = step(tiny.make_state(model, optimizer=optimizer), batch)
    x = batch["image"].astype(np.float32) / 255

    def loss(model):
        return jnp.mean((model(x) - x) ** 2)

    value, grads = nnx.value_and_grad(loss)(model)
    assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-6)
    norm = float(optax.tree.norm(grads))
    assert float(metrics["grad_norm"]) == pytest.approx(norm, rel=1e-5)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, nnx.state(model), grads)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert int(state.step) == 1


def test_microbatches_give_the_gradient_of_the_batch():
    task = tiny.make_task(noise_std=0.1)
    batch = tiny.make_batch(8)
    whole, metrics = step(tiny.make_state(task=task), batch)
    cut, cut_metrics = step(tiny.make_state(task=task, accumulate=4), batch)
    for name, value in metrics.items():
        assert float(cut_metrics[name]) == pytest.approx(float(value), rel=1e-5)
    mu, cut_mu = whole.opt_state[0].mu, cut.opt_state[0].mu
    for a, b in zip(jax.tree.leaves(mu), jax.tree.leaves(cut_mu)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_microbatches_must_divide_the_batch():
    with pytest.raises(ValueError, match="accumulate=3.*8"):
        jax.eval_shape(
            train.train_step, tiny.make_state(accumulate=3), tiny.make_batch(8)
        )


def test_every_microbatch_moves_the_running_mean():
    batch = tiny.make_batch(8)
    states = {
        count: step(tiny.make_state(tiny.Net(norm=True), accumulate=count), batch)[0]
        for count in (1, 2)
    }
    # From 0, momentum 0.9: 0.1 m, and 0.09 m1 + 0.1 m2 with (m1 + m2) / 2 = m.
    one, two = (leaves(s.model_state)["norm.mean"] for s in states.values())
    np.testing.assert_allclose(two / one, 1.9, rtol=0.05)


def test_moving_average_follows_the_parameters():
    start = tiny.make_state(ema_decay=0.99)
    state, _ = step(start, tiny.make_batch())
    decay = 1 / 10  # min(0.99, (1 + 0) / (10 + 0))
    for old, new, ema in zip(
        jax.tree.leaves(start.params),
        jax.tree.leaves(state.params),
        jax.tree.leaves(state.ema),
    ):
        np.testing.assert_allclose(ema, decay * old + (1 - decay) * new, rtol=1e-5)


def test_randomness_depends_on_key_step_and_place_alone():
    task = tiny.make_task(noise_std=0.3)
    batch = tiny.make_batch(8)
    state = tiny.make_state(task=task)
    loss = float(step(state, batch)[1]["input_psnr"])
    assert float(step(state, batch)[1]["input_psnr"]) == loss
    later = step(state, batch)[0]
    assert float(step(later, batch)[1]["input_psnr"]) != loss


def test_bfloat16_computes_in_16_bits_and_keeps_float32_parameters():
    model = tiny.Net(dtype=jnp.bfloat16)
    state = tiny.make_state(model)
    text = str(jax.make_jaxpr(train.train_step)(state, tiny.make_batch()))
    assert "bf16[3,3,1,4]" in text
    new, metrics = jax.eval_shape(train.train_step, state, tiny.make_batch())
    arrays = jax.tree.leaves((new.params, new.opt_state, metrics))
    assert {x.dtype for x in arrays} == {jnp.dtype("float32"), jnp.dtype("int32")}


def test_evaluation_sees_the_average_and_the_same_noise_wherever_an_example_lies():
    task = tiny.make_task(noise_std=0.3)
    state = tiny.make_state(tiny.Net(norm=True), task, ema_decay=0.5)
    batch = tiny.make_batch(4)
    batch |= {"index": np.arange(4), "weight": np.ones(4, np.float32)}
    evaluate = jax.jit(train.eval_step)
    metrics = evaluate(state, batch)
    assert metrics["loss"].shape == (4,)
    turned = evaluate(state, {name: x[::-1] for name, x in batch.items()})
    np.testing.assert_allclose(turned["loss"][::-1], metrics["loss"], rtol=1e-5)
    # Zero parameters in the average: the network gives 0 whatever the others are.
    zero = dataclasses.replace(state, ema=jax.tree.map(jnp.zeros_like, state.ema))
    image = batch["image"].astype(np.float32) / 255
    np.testing.assert_allclose(
        evaluate(zero, batch)["loss"], (image**2).mean((1, 2, 3)), rtol=1e-5
    )


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_step_lowers_for_other_platforms(platform):
    state = tiny.make_state(
        tiny.Net(norm=True, dropout=True, dtype=jnp.bfloat16),
        tiny.make_task(noise_std=0.1, augment="shift_flip"),
        ema_decay=0.9,
        accumulate=2,
    )
    exported = jax.export.export(jax.jit(train.train_step), platforms=[platform])(
        state, tiny.make_batch()
    )
    assert exported.platforms == (platform,)
    assert "stablehlo.convolution" in exported.mlir_module()


def test_state_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="ema_decay=1"):
        tiny.make_state(ema_decay=1)
    with pytest.raises(ValueError, match="accumulate=0"):
        tiny.make_state(accumulate=0)
    with pytest.raises(TypeError, match="typed key"):
        train.create_state(
            tiny.Net(),
            optimizer=optax.sgd(0.1),
            task=tiny.make_task(),
            key=jax.random.PRNGKey(0),
        )


def test_making_a_state_leaves_the_model_alone():
    model = tiny.Net(norm=True)
    model.eval()
    state = tiny.make_state(model, axis_name="batch")
    assert model.norm.axis_name is None and model.norm.use_running_average
    merged = nnx.merge(state.graphdef, state.params, state.model_state)
    assert merged.norm.axis_name == "batch" and not merged.norm.use_running_average
