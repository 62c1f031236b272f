"""Steps with turns: two networks, two optimizers, one loop."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from configs import checkerboard as study
from jdeconv import train
from jdeconv.data import Preprocess
from jdeconv.tasks import Generate
from jdeconv.train import checkpoint, optim, setup
from tests.train.test_loop import arrays, numbers

ROOT = pathlib.Path(__file__).parents[2]
RATE = {"discriminator": 1e-3, "generator": 4e-3}


class Pair(nnx.Module):
    """The least that can play: a dense generator, a dense discriminator."""

    def __init__(self):
        self.latent, self.num_labels = 5, None
        self.generator = Part(5, 256, (16, 16, 1))
        self.discriminator = Part(256, 1, ())


class Part(nnx.Module):
    def __init__(self, before: int, after: int, shape: tuple[int, ...]):
        self.dense = nnx.Linear(before, after, rngs=nnx.Rngs(0))
        self.shape, self.couples_examples = shape, False

    def __call__(self, x, label=None):
        y = jnp.tanh(self.dense(x.reshape(x.shape[0], -1)))
        return y.reshape(-1, *self.shape)


def make_state(rule=lambda rate: optax.adam(rate, 0.5), **options):
    task = Generate(
        Preprocess(range=(-1.0, 1.0)), discriminator_steps=2, loss_name="hinge"
    )
    return train.create_state(
        Pair(),
        optimizer=optim.by_part({part: rule(r) for part, r in RATE.items()}),
        task=task,
        key=jax.random.key(1),
        **options,
    )


@pytest.fixture
def batch(rng):
    return {"image": rng.integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)}


def test_turns_are_those_of_two_optimizers_by_hand(batch):
    # With momentum, to see that it is kept; Adam would make signs of what rounds to 0.
    def rule(rate):
        return optax.sgd(100 * rate, 0.5)

    state = make_state(rule)
    found, metrics = jax.jit(train.train_step)(state, batch)
    model, task = Pair(), state.task
    opts = {
        name: nnx.Optimizer(getattr(model, name), rule(r), wrt=nnx.Param)
        for name, r in RATE.items()
    }
    key = jax.random.fold_in(state.key, 0)
    rows = (slice(0, None, 2), slice(1, None, 2), slice(0, None, 2))
    losses = []
    for n, (name, own) in enumerate(zip(task.turns, rows)):
        turn = jax.random.fold_in(key, n)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(turn, jnp.arange(4))
        share = {"image": batch["image"][own]}

        def loss(part, name=name, keys=keys, share=share):
            whole = Pair()
            for other in RATE:
                setattr(whole, other, getattr(model, other))
            setattr(whole, name, part)
            return task.turn_loss(name, whole, share, keys)[0].mean()

        value, grads = nnx.value_and_grad(loss)(getattr(model, name))
        opts[name].update(getattr(model, name), grads)
        losses.append(float(value))
    expected = nnx.state(model, nnx.Param)
    for start, a, b in zip(
        *map(jax.tree.leaves, (state.params, found.params, expected)), strict=True
    ):
        np.testing.assert_allclose(a - start, b - start, rtol=2e-3, atol=1e-5)
        assert abs(a - start).max() > 1e-3
    discriminator = (losses[0] + losses[1]) / 2
    assert float(metrics["discriminator_loss"]) == pytest.approx(discriminator, 1e-4)
    assert float(metrics["generator_loss"]) == pytest.approx(losses[2], rel=1e-4)
    assert float(metrics["loss"]) == pytest.approx(discriminator + losses[2], rel=1e-4)
    squares = [float(metrics[f"{name}_grad_norm"]) ** 2 for name in RATE]
    assert float(metrics["grad_norm"]) == pytest.approx(np.sqrt(sum(squares)), rel=1e-5)
    assert int(found.step) == 1


def test_a_part_is_moved_by_its_own_turns_alone(batch):
    state = make_state()
    counts = {n: int(s[0].count) for n, s in state.opt_state.items()}
    found, _ = jax.jit(train.train_step)(state, batch)
    moved = {n: int(s[0].count) - counts[n] for n, s in found.opt_state.items()}
    assert moved == {"discriminator": 2, "generator": 1}
    # Adam's first steps are the learning rate: two of one, one of the other.
    for name, largest in (("discriminator", 2e-3), ("generator", 4e-3)):
        gap = jax.tree.map(
            lambda a, b: jnp.abs(a - b).max(), found.params[name], state.params[name]
        )
        assert max(map(float, jax.tree.leaves(gap))) == pytest.approx(largest, rel=0.05)


def test_microbatches_give_the_turns_of_the_batch(batch):
    # z belongs to the place in the microbatch, so the two runs see other noise, but the
    # same real images: these are what the mean real score is of.
    one, whole = jax.jit(train.train_step)(make_state(), batch)
    two, cut = jax.jit(train.train_step)(make_state(accumulate=2), batch)
    assert jax.tree.structure(one.params) == jax.tree.structure(two.params)
    assert float(cut["real_score"]) == pytest.approx(float(whole["real_score"]), 1e-2)


def test_batches_that_turns_cannot_share_are_refused(batch):
    odd = {"image": batch["image"][:7]}
    with pytest.raises(
        ValueError, match="turns of the discriminator=2: must divide.*7"
    ):
        jax.eval_shape(train.train_step, make_state(), odd)


def make_config(**fields):
    config = train.default_config()
    config.task, config.loss = "generate", "non_saturating"
    config.model.name, config.model.width, config.model.latent = "dcgan", 4, 8
    config.data.source = "digits"
    config.data.test_split = "test[:40]"
    config.preprocess.size = (16, 16)
    config.preprocess.range = (-1.0, 1.0)
    config.generate.learning_rate_factor = 0.5
    config.model.conditional = True
    config.batch_size = 32
    config.log_every = 1
    config.ema_decay = 0.9
    config.optimizer.schedule = "linear"
    config.optimizer.final_scale = 0.5
    config.eval_every = "0 steps"
    config.duration = "6 steps"
    config.update(**fields)
    return config.lock()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gan") / "whole"
    return folder, train.train_and_evaluate(make_config(), folder)


@pytest.mark.slow
def test_a_run_is_measured_and_its_network_can_be_used(finished, tmp_path, capsys):
    folder, result = finished
    for name in ("swd", "swd_16", "ms_ssim", "checkerboard", "real_checkerboard"):
        assert np.isfinite(result[f"test/{name}"]), name
        assert result[f"test/{name}_sem"] >= 0
    assert result["test/swd"] == result["test/swd_16"] > 1
    last = train.read_metrics(folder)[-1]
    assert {"train/real_score", "train/discriminator_loss"} <= last.keys()
    figure = tmp_path / "figure.png"
    metrics = train.evaluate(folder, which="latest", figure=figure)
    assert metrics["test/swd"] == pytest.approx(result["test/swd"], rel=1e-3)
    assert figure.stat().st_size > 1000
    run = train.load_run(folder, "latest")
    keys = jax.random.split(jax.random.key(0), 3)
    images = run.task.sample(run.model, keys, jnp.arange(3))
    assert images.shape == (3, 16, 16, 1) and 0 <= images.min() < images.max() <= 1


@pytest.mark.slow
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    finished, tmp_path, monkeypatch
):
    from jdeconv.train import interrupt

    # As if a signal had come after the third step.
    monkeypatch.setattr(
        interrupt.Interrupt,
        "has_come",
        lambda self, step: step >= 3 and (setattr(self, "name", "SIGTERM") or True),
    )
    first = train.train_and_evaluate(make_config(), tmp_path)
    assert first["step"] == 3 and checkpoint.steps(tmp_path) == [3]
    monkeypatch.undo()
    train.train_and_evaluate(make_config(), tmp_path)
    whole, parts = arrays(finished[0]), arrays(tmp_path)
    assert whole.keys() == parts.keys()
    for part in ("generator", "discriminator"):
        assert f"model.params.{part}.dense.kernel" in whole
        assert any(n.startswith(f"training.opt_state.{part}") for n in whole)
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)
    assert numbers(tmp_path) == numbers(finished[0])


@pytest.mark.slow
def test_the_learning_rate_of_a_part_follows_the_schedule_of_steps(finished):
    # Two updates a step, half the rate: over a linear decay, by hand.
    config = make_config(generate={"discriminator_steps": 2})
    data = {"image_shape": (8, 8, 1), "num_classes": 10, "num_train": 1500}
    task = setup.build_task(config, data)
    optimizer = setup._make_optimizer(config, task, lambda step: 1.0 - step / 10)
    params = {name: {"w": jnp.ones(())} for name in RATE}
    state = optimizer.init(params)
    moved = []
    for _ in range(4):
        grads = {"w": jnp.ones(())}
        updates, state = optimizer.update(
            grads, state, params["discriminator"], part="discriminator"
        )
        moved.append(float(updates["w"]))
    np.testing.assert_allclose(moved, [-0.5, -0.5, -0.45, -0.45], rtol=1e-4)


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"generate": {"discriminator_steps": 5}},
            "batch_size=32: must be a multiple of 5",
        ),
        ({"preprocess": {"size": (8, 8)}}, "images of 8 x 8: task 'generate'"),
        ({"loss": "bce"}, "loss='bce'.*hinge"),
    ],
)
def test_illegal_fields_are_refused_before_anything_is_written(
    tmp_path, fields, message
):
    with pytest.raises(ValueError, match=message):
        train.train_and_evaluate(make_config(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_device_equals_four_equals_pmap():
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.turns_on_devices"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name, gaps in json.loads(done.stdout.splitlines()[-1]).items():
        assert max(gaps.values()) <= 2e-4, (name, gaps)


@pytest.mark.parametrize(
    "spec, parts",
    [
        ("dcgan_mnist.py", (12_654_337, 11_032_193)),
        pytest.param("dcgan_mnist.py:32", None, marks=pytest.mark.slow),
        pytest.param("wgan_gp_mnist.py", None, marks=pytest.mark.slow),
        ("dcgan_mnist.py:hinge", None),
        ("checkerboard.py:resize", None),
        *[
            pytest.param(f"checkerboard.py:{name}", None, marks=pytest.mark.slow)
            for name in sorted(study.VARIANTS.keys() - {"resize"})
        ],
    ],
)
def test_configs_describe_runs_that_can_be_made(spec, parts):
    config = train.read_config(str(ROOT / "configs" / spec))
    data = {"image_shape": (28, 28, 1), "num_classes": 10, "num_train": 60000}
    state = setup.abstract_state(config, data)
    batch = {
        "image": jax.ShapeDtypeStruct((config.batch_size, 28, 28, 1), jnp.uint8),
        "label": jax.ShapeDtypeStruct((config.batch_size,), jnp.int32),
    }
    new, metrics = jax.eval_shape(train.train_step, state, batch)
    assert set(new.params) == set(state.task.turns) == set(new.opt_state)
    assert ("penalty" in metrics) == (config.loss == "wasserstein")
    assert bool(setup.advice(state)) == spec.endswith("transposed3")
    sizes = tuple(
        sum(x.size for x in jax.tree.leaves(new.params[part]))
        for part in ("generator", "discriminator")
    )
    assert parts in (None, sizes)
