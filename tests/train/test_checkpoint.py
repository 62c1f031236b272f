import dataclasses
import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jdeconv.train import checkpoint
from jdeconv.train.checkpoint import Checkpoints
from tests.train import tiny

OPTIMIZER = optax.adam(1e-3)
HERE = jax.sharding.SingleDeviceSharding(jax.devices()[0])


def make_state(step: int):
    """A state whose arrays all say which step it is of."""
    state = tiny.make_state(
        tiny.Net(norm=True), tiny.make_task(), OPTIMIZER, ema_decay=0.5
    )
    fill = jax.tree.map(
        lambda x: (
            x if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x * 0 + step
        ),
        state,
    )
    return dataclasses.replace(fill, step=jnp.int32(step))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    with Checkpoints(folder, keep=2) as checkpoints:
        for step in (3, 6, 9):
            checkpoints.save(make_state(step), step, notes={"at": step})
            if step != 9:
                checkpoints.save(
                    make_state(step), step, kind="best", notes={"accuracy": step / 10}
                )
        assert checkpoints.best_value("accuracy") == 0.6
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def restore(folder, **options):
    return checkpoint.restore(folder, make_state(0), HERE, **options)


def test_newest_are_kept_and_one_best(saved):
    assert checkpoint.steps(saved) == [6, 9]
    assert checkpoint.steps(saved, "best") == [6]
    assert checkpoint.steps(saved / "nowhere") == []


def test_every_array_comes_back_bit_for_bit(saved):
    found, original = restore(saved), make_state(9)
    assert found.step == 9 and found.notes == {"at": 9} and not found.damaged
    bits = jax.random.key_data
    for a, b in zip(jax.tree.leaves(found.state), jax.tree.leaves(original)):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = bits(a), bits(b)
        np.testing.assert_array_equal(a, b)
    assert jax.tree.structure(found.state) == jax.tree.structure(make_state(0))


def test_states_of_variables_come_back_as_arrays(tmp_path):
    state = make_state(3)
    params, model_state, ema = (
        jax.tree.map(nnx.Param, x) for x in (state.params, state.model_state, state.ema)
    )
    older = dataclasses.replace(
        state,
        params=params,
        model_state=model_state,
        ema=ema,
        opt_state=OPTIMIZER.init(params),
    )
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(older, 3)
    found = restore(tmp_path).state
    assert jax.tree.structure(found) == jax.tree.structure(make_state(0))
    for have, want in zip(jax.tree.leaves(found.ema), jax.tree.leaves(state.ema)):
        np.testing.assert_array_equal(have, want)


def test_best_and_the_model_alone(saved):
    found = restore(saved, kind="best", parts=("model",))
    assert found.step == 6
    assert float(found.state.params["out"]["bias"][0]) == 6
    assert int(found.state.step) == 0  # of the abstract state: not read


def files(path):
    return sorted(p for p in path.rglob("*") if p.is_file())


# Orbax leaves coroutines behind when a read fails.
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("sizes_known", [True, False])
def test_truncated_checkpoint_is_passed_over(folder, capsys, sizes_known):
    newest = folder / "checkpoints/latest/9"
    if not sizes_known:  # the run was killed before it could note them
        (folder / "checkpoints/latest/sizes.json").unlink()
    for file in files(newest):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found = restore(folder)
    assert found.step == 6 and found.damaged == (("latest", 9),)
    assert float(found.state.params["out"]["bias"][0]) == 6
    assert "latest/9 is damaged" in capsys.readouterr().err
    gc.collect()


def test_any_single_truncated_or_missing_file_is_noticed(folder, capsys):
    newest = folder / "checkpoints/latest/9"
    for number, file in enumerate(files(newest)):
        content = file.read_bytes()
        if number % 2:
            file.write_bytes(content[:-1])
        else:
            file.unlink()
        assert restore(folder, parts=("model",)).step == 6, file
        have = f"{len(content) - 1} bytes" if number % 2 else "missing"
        assert f"{file.relative_to(newest)} is {have}" in capsys.readouterr().err
        file.write_bytes(content)
    assert restore(folder, parts=("model",)).step == 9


def test_best_is_opened_when_no_newest_can_be(folder):
    shutil.rmtree(folder / "checkpoints/latest/9/model")
    shutil.rmtree(folder / "checkpoints/latest/6/model")
    assert restore(folder).step == 6


def test_nothing_readable_is_an_error_and_nothing_saved_is_not(folder, tmp_path):
    for path in (folder / "checkpoints").glob("*/*/model"):
        shutil.rmtree(path)
    with pytest.raises(ValueError, match="no checkpoint in .* can be read"):
        restore(folder)
    assert restore(tmp_path / "new") is None


def test_what_an_unfinished_save_leaves_is_no_checkpoint(folder):
    shutil.copytree(
        folder / "checkpoints/latest/9",
        folder / "checkpoints/latest/12.orbax-checkpoint-tmp",
    )
    assert restore(folder).step == 9


def test_saving_a_step_again_keeps_what_is_there(folder):
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(make_state(1), 9)
    assert float(restore(folder).state.params["out"]["bias"][0]) == 9


def test_forgetting(folder):
    with Checkpoints(folder) as checkpoints:
        checkpoints.forget(9)
        checkpoints.forget(1000)
    assert checkpoint.steps(folder) == [6]


def test_better_one_of_an_earlier_step_replaces_the_best(folder):
    # After a crash: the best was of a step that the newest has not reached.
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(make_state(4), 4, kind="best", notes={"accuracy": 0.9})
        assert checkpoints.best_value("accuracy") == 0.9
    assert checkpoint.steps(folder, "best") == [4]


def test_illegal_arguments(tmp_path):
    with pytest.raises(ValueError, match="keep=0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="'newest': must be 'latest' or 'best'"):
        checkpoint.steps(tmp_path, "newest")
