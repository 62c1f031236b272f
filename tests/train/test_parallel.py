import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from jdeconv import train
from jdeconv.train import checkpoint
from tests.train import tiny

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def four_devices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.devices", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), folder


def test_one_device_equals_four_equals_pmap(four_devices):
    results, _ = four_devices
    assert len(results) == 6
    for result in results:
        for part in ("params", "ema", "model_state", "metrics"):
            assert result[part] <= 1e-5, (result["run"], part, result[part])


def test_steps_after_the_first_compile_nothing(four_devices):
    assert [r["recompiled"] for r in four_devices[0]] == [0] * 6


def test_microbatches_are_cut_without_moving_data_between_devices(four_devices):
    assert all(r["moved"] == [] for r in four_devices[0])


def test_checkpoint_of_four_devices_opens_on_one(four_devices):
    _, folder = four_devices
    state = tiny.make_state(tiny.Net(norm=True), ema_decay=0.9, accumulate=2)
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    found = checkpoint.restore(folder, state, here)
    assert found.step == 10 and int(found.state.step) == 10
    with np.load(folder / "params.npz") as saved:
        for name, leaf in zip(saved.files, jax.tree.leaves(found.state.params)):
            assert leaf.devices() == {jax.devices()[0]}
            np.testing.assert_array_equal(saved[name], leaf)


def test_unknown_kind_and_batches_that_cannot_be_shared_are_refused():
    with pytest.raises(ValueError, match="parallel='thread'.*jit, pmap"):
        train.make_parallel("thread")
    parallel = train.make_parallel("jit")
    with pytest.raises(ValueError, match="batch_size=6: must be a multiple of 4"):
        parallel.check_batch_size("batch_size", 6, accumulate=4 // len(jax.devices()))
