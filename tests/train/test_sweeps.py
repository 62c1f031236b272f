"""Sweeps: a grid of two cells by a few steps, its resuming, and its mistakes."""

import json
import shutil

import pytest

from jdeconv import train
from jdeconv.cli import sweep as verb
from jdeconv.train import sweep_report
from jdeconv.train.loop import NonFiniteError
from jdeconv.train.sweeps import Cell, Sweep, read_sweep, short_names

CONFIG = """
from tests.train import tiny

def get_config(arg=None):
    config = tiny.make_config()
    config.duration = config.eval_every = "2 steps"
    return config.lock()

def sweep():
    for pool in (2, 4):
        yield {"model.pool": pool}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    return str(path)


def with_sweep(tmp_path, body):
    path = tmp_path / "other.py"
    path.write_text(CONFIG[: CONFIG.index("def sweep")] + f"def sweep():\n    {body}\n")
    return str(path)


def test_a_sweep_is_trained_once(config, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    trained = []

    def counting(config, folder):
        trained.append((folder.name, config.model.pool, config.seed))
        return train.train_and_evaluate(config, folder)

    monkeypatch.setattr("jdeconv.train.sweeps.train_and_evaluate", counting)
    workdir = tmp_path / "sweep"
    options = ["--config", config, "--workdir", str(workdir)]
    assert verb.run(options) == 0
    assert trained == [("pool=2-0", 2, 0), ("pool=4-0", 4, 0)]
    printed = capsys.readouterr().out
    assert "| cell | pool | accuracy | seeds | steps | time |" in printed
    assert (workdir / "sweep.md").read_text() in printed
    assert (workdir / "sweep.png").stat().st_size > 5_000
    whole = json.loads((workdir / "sweep.json").read_text())
    assert whole["criterion"] == ["accuracy", "higher"] and whole["versions"]["jax"]

    # Called again: nothing is trained, and the results are those of the runs.
    result = train.sweep(config, workdir)
    assert len(trained) == 2 and result.complete
    for cell, kept in zip(result.cells, whole["cells"]):
        last = train.read_metrics(result.workdir(cell, 0))[-1]
        assert cell.results[0]["test/accuracy"] == last["test/accuracy"]
        assert cell.results[0] == kept["results"]["0"]
    # One run has been cut off before its last step was saved.
    shutil.rmtree(workdir / "pool=4-0" / "checkpoints" / "latest" / "2")
    shutil.rmtree(workdir / "pool=4-0" / "checkpoints" / "best")
    assert verb.run([*options, "--metric", "loss"]) == 0
    assert trained[2:] == [("pool=4-0", 4, 0)]
    assert "| cell | pool | loss | seeds |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="metric 'los': the runs have accuracy, loss"):
        verb.run([*options, "--metric", "los"])
    # The same folder for another config is refused before anything is trained.
    with pytest.raises(ValueError, match="batch_size was 16 and is 8"):
        verb.run([*options, "--config.batch_size=8"])


def test_a_run_that_diverges_does_not_stop_the_rest(config, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")

    done = {}

    def diverging(config, folder):
        if config.model.pool == 2:
            raise NonFiniteError("loss is nan at step 1")
        if config.seed:
            return {"interrupted": "SIGTERM"}
        done[folder] = {"test/loss": 0.5, "step": 2, "wall_time_s": 1.0}
        return {"interrupted": None}

    for name, stand_in in (
        ("train_and_evaluate", diverging),
        ("finished", lambda workdir, config: done.get(workdir)),
        ("_criterion", lambda workdir: ("loss", "lower")),
    ):
        monkeypatch.setattr(f"jdeconv.train.sweeps.{name}", stand_in)
    result = train.sweep(config, tmp_path / "sweep", seeds=3)
    assert result.interrupted == "SIGTERM" and not result.complete
    bad, good = result.cells
    assert bad.failed == {n: "loss is nan at step 1" for n in (0, 1)}
    assert list(good.results) == [0]  # what was interrupted has no result yet
    text = (tmp_path / "sweep" / "sweep.md").read_text()
    assert "| pool=2 | 2 | - | 0, 2 not finite | - | - |" in text
    assert "| pool=4 | 4 | 0.5 | 1 | 2 | 1 s |" in text


@pytest.mark.parametrize(
    "body, told",
    [
        ("return []", "gives no cells"),
        ("return [{'model.poool': 2}]", "did you mean config.model.pool"),
        ("return [{'batch_size': 'many'}]", "batch_size='many': must be an int"),
        ("return [{'model.pool': 2}, {'model.pool': 2}]", "'pool=2' is there twice"),
        ("return {'a/b': {'model.pool': 2}}", "'a/b' is no name for a folder"),
        ("return [{'seed': 1}]", "the number of seeds is an option"),
        ("return [{'log_every': 5}]", "config.log_every of sweep.*it varies"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(tmp_path, body, told):
    path = with_sweep(tmp_path, body)
    with pytest.raises(ValueError, match=told):
        train.sweep(path, tmp_path / "sweep", overrides={"log_every": "1"})
    assert not (tmp_path / "sweep").exists()


def test_what_is_no_sweep(config, tmp_path):
    with pytest.raises(TypeError, match="a cell is a dict"):
        read_sweep(with_sweep(tmp_path, "return [3]"))
    path = tmp_path / "none.py"
    path.write_text(CONFIG[: CONFIG.index("def sweep")])
    with pytest.raises(ValueError, match=r"has no function sweep\(\)"):
        read_sweep(str(path))
    with pytest.raises(ValueError, match="seeds=0"):
        train.sweep(config, tmp_path / "sweep", seeds=0)
    with pytest.raises(ValueError, match="--workdir is missing"):
        verb.run(["--config", config])


def test_cells_know_all_that_varies(tmp_path):
    grid = [
        {"dtype": "float32"},
        {"model.blocks": ((2,), (3, 4))},
        {"optimizer.name": "sgd"},
        {"optimizer.learning_rate": 3e-4},
    ]
    cells, configs = read_sweep(with_sweep(tmp_path, f"return {grid}"))
    given = ["name=sgd", "learning_rate=0.0003"]
    assert [c.name for c in cells] == ["dtype=float32", "blocks=2x3x4", *given]
    assert [c.fields["optimizer.name"] for c in cells][1:] == ["adam", "sgd", "adam"]
    assert configs["blocks=2x3x4"].model.blocks == ((2,), (3, 4))
    names = short_names(["model.name", "optimizer.name", "seed"])
    assert list(names.values()) == ["model.name", "optimizer.name", "seed"]


def grid(fields):
    cells = []
    for n, values in enumerate(fields):
        results = {
            seed: {"test/loss": n + seed, "step": 4, "wall_time_s": 2.0}
            for seed in (0, 1)
        }
        cells.append(Cell(str(n), values, results))
    return Sweep("c.py", None, (0, 1), ("loss", "lower"), cells)


def test_plot_has_a_line_for_each_combination_beside_its_axis():
    plt = pytest.importorskip("matplotlib.pyplot")
    result = grid(
        {"model.width": w, "model.up": u} for u in ("a", "b") for w in (4, 2, 8)
    )
    axis = sweep_report.draw(result).axes[0]
    assert axis.get_xlabel() == "model.width"
    assert [t.get_text() for t in axis.get_legend().get_texts()] == ["up a", "up b"]
    line = axis.containers[1].lines[0]
    assert line.get_xdata().tolist() == [2, 4, 8]
    assert line.get_ydata().tolist() == [4.5, 3.5, 5.5]
    assert sweep_report.value(result.cells[0], "loss") == (0.5, pytest.approx(0.5**0.5))
    axis = sweep_report.draw(grid({"up": u} for u in "abc")).axes[0]
    assert axis.get_legend() is None and len(axis.containers) == 1
    plt.close("all")
