import json
import os
import signal
import threading
import time

import jax
import numpy as np
import pytest

from jdeconv import train
from jdeconv.train import checkpoint
from tests.train import tiny

STEPS = 600


def config(**fields):
    config = tiny.make_config()
    config.duration = f"{STEPS} steps"
    config.eval_every = "250 steps"
    config.checkpoint_every = "200 steps"
    config.update(**fields)
    return config.lock()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "whole"
    return folder, train.train_and_evaluate(config(), folder)


def arrays(folder, kind="latest"):
    """All arrays of a checkpoint, read without any of our code's structure."""
    from orbax.checkpoint.experimental import v1 as ocp

    step = checkpoint.steps(folder, kind)[-1]
    read = ocp.load_checkpointables(folder / "checkpoints" / kind / str(step))
    return {
        f"{part}.{name}": np.asarray(x)
        for part in ("model", "training")
        for name, x in read[part].items()
    }


def numbers(folder):
    """metrics.jsonl without what a clock says."""
    clocks = ("images_per_s", "wall_time_s")
    return [
        {k: v for k, v in record.items() if k not in clocks}
        for record in train.read_metrics(folder)
    ]


def test_what_a_run_leaves(finished):
    folder, result = finished
    records = train.read_metrics(folder)
    assert [r["step"] for r in records] == list(range(5, STEPS + 1, 5))
    tested = [r for r in records if "test/loss" in r]
    assert [r["step"] for r in tested] == [250, 500, STEPS]
    for name in ("train/loss", "train/accuracy", "train/grad_norm", "learning_rate"):
        assert all(np.isfinite(r[name]) for r in records), name
    assert records[-1]["train/loss"] < records[0]["train/loss"]
    assert records[-1]["epoch"] == STEPS * 16 / 200
    assert checkpoint.steps(folder) == [400, STEPS]
    assert len(checkpoint.steps(folder, "best")) == 1
    assert (folder / "tensorboard").is_dir()
    assert json.loads((folder / "config.json").read_text())["batch_size"] == 16
    assert json.loads((folder / "environment.json").read_text())["versions"]["flax"]
    assert result["step"] == STEPS and result["interrupted"] is None
    last = tested[-1]
    assert result["test/accuracy"] == last["test/accuracy"] > 0.2
    assert result["test/accuracy_sem"] == last["test/accuracy_sem"]


def test_best_is_that_of_the_best_evaluation(finished):
    folder, _ = finished
    tested = [r for r in train.read_metrics(folder) if "test/accuracy" in r]
    best = max(tested, key=lambda r: r["test/accuracy"])  # the first of equal ones
    assert checkpoint.steps(folder, "best") == [best["step"]]


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(
    finished, tmp_path, capfd
):
    folder = tmp_path / "parts"
    done = threading.Event()

    def interrupt():
        while not train.read_metrics(folder) and not done.is_set():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    first = train.train_and_evaluate(config(), folder)
    done.set()
    thread.join()
    assert first["interrupted"] == "SIGTERM" and 5 <= first["step"] < STEPS
    assert checkpoint.steps(folder)[-1] == first["step"]
    said = capfd.readouterr().err
    assert f"SIGTERM: saved at step {first['step']} of {STEPS}" in said

    second = train.train_and_evaluate(config(log_every=5), folder)
    assert f"resuming {folder} at step {first['step']}" in capfd.readouterr().err
    assert second["step"] == STEPS and second["interrupted"] is None
    assert second["wall_time_s"] > first["wall_time_s"]
    whole, parts = arrays(finished[0]), arrays(folder)
    assert whole.keys() == parts.keys() and len(whole) > 20
    for name, array in whole.items():
        np.testing.assert_array_equal(parts[name], array, err_msg=name)
    assert numbers(folder) == numbers(finished[0])


def test_finished_run_is_not_run_again(finished):
    folder, result = finished
    before = numbers(folder)
    again = train.train_and_evaluate(config(), folder)
    assert {k: v for k, v in again.items() if k != "wall_time_s"} == {
        k: v for k, v in result.items() if k != "wall_time_s"
    }
    assert numbers(folder) == before


def test_workdir_of_another_config_is_refused_untouched(finished):
    folder, _ = finished
    before = (folder / "config.json").read_text()
    with pytest.raises(ValueError, match="seed was 0 and is 1"):
        train.train_and_evaluate(config(seed=1), folder)
    assert (folder / "config.json").read_text() == before


def test_evaluate_and_use_what_was_trained(finished, tmp_path):
    folder, result = finished
    figure = tmp_path / "figure.png"
    metrics = train.evaluate(folder, which="latest", figure=figure)
    assert metrics["step"] == STEPS and metrics["examples"] == 50
    assert metrics["test/loss"] == pytest.approx(result["test/loss"], rel=1e-6)
    assert figure.stat().st_size > 1000

    # The mean over all 50 examples, by hand, in one batch.
    run = train.load_run(folder, "latest")
    from jdeconv import data

    source = data.load_source(run.config.data, "test")
    images = np.stack([source[i]["image"] for i in range(len(source))])
    labels = np.array([source[i]["label"] for i in range(len(source))])
    p = np.asarray(jax.jit(run.apply)(images))
    right = p.argmax(-1) == labels
    assert metrics["test/accuracy"] == pytest.approx(right.mean(), abs=1e-9)
    sem = right.std(ddof=1) / np.sqrt(50)
    assert metrics["test/accuracy_sem"] == pytest.approx(sem, rel=1e-6)
    losses = -np.log(p[np.arange(50), labels])
    assert metrics["test/loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert run.class_names == tuple("0123456789") and run.image_shape == (8, 8, 1)


def test_divergence_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    diverging = tiny.make_config()
    with diverging.unlocked():
        diverging.model.blocks = ()
        diverging.model.dropout = 0.0
        diverging.data.augment = "none"
        diverging.optimizer.name = "sgd"
        diverging.optimizer.learning_rate = 3e38
        diverging.duration = "100 steps"
        diverging.checkpoint_every = "1 steps"
        diverging.eval_every = "0 steps"
    with pytest.raises(
        train.NonFiniteError, match=r"loss is inf at step 2: .*of step 1"
    ):
        train.train_and_evaluate(diverging.lock(), tmp_path)
    assert checkpoint.steps(tmp_path) == [1]
    for name, array in arrays(tmp_path).items():
        assert np.isfinite(array.astype(np.float64)).all(), name


def test_starting_from_another_run(finished, tmp_path):
    folder, _ = finished
    # At a learning rate of 0 the parameters stay what they were.
    other = config(init_from=str(folder), duration="1 steps")
    with other.unlocked():
        other.optimizer.learning_rate = 0.0
    train.train_and_evaluate(other, tmp_path / "on")
    old, new = arrays(folder), arrays(tmp_path / "on")
    for name in old:
        if name.startswith("model.ema"):
            kept = name.replace("model.ema", "model.params")
            np.testing.assert_array_equal(new[kept], old[name], err_msg=name)


def test_starting_from_another_network_is_refused(finished, tmp_path):
    folder, _ = finished
    other = config(init_from=str(folder))
    with other.unlocked():
        other.model.pool = 3
    with pytest.raises(ValueError, match=r"init_from=.*dense.kernel.*\(16, 10\)"):
        train.train_and_evaluate(other, tmp_path / "on")


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"accumulate": 3}, "batch_size=16: must be a multiple of 3"),
        ({"log_every": 0}, "log_every=0"),
        ({"duration": "soon"}, "duration='soon'"),
        ({"dtype": "float16"}, "dtype='float16'.*bfloat16"),
        ({"parallel": "mpi"}, "parallel='mpi'"),
        ({"task": "paint"}, "task='paint'"),
        ({"loss": "mse"}, "loss='mse'.*cross_entropy"),
        ({"keep": 0}, "keep=0"),
        ({"ema_decay": 1.0}, "ema_decay=1.0"),
    ],
)
def test_illegal_fields_are_refused_before_anything_is_written(
    tmp_path, fields, message
):
    with pytest.raises(ValueError, match=message):
        train.train_and_evaluate(config(**fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()
