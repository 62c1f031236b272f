"""`jdeconv train` and `jdeconv evaluate`, and how mistakes are told."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from jdeconv import train
from jdeconv.cli.main import VERBS, main
from jdeconv.cli.train import format_metrics, split_overrides

ROOT = pathlib.Path(__file__).parents[2]

CONFIG = """
from tests.train import tiny

def get_config(arg=None):
    config = tiny.make_config()
    if arg:
        config.batch_sise = int(arg)
    return config.lock()
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    return str(path)


def jdeconv(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "jdeconv", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_train_then_evaluate(config, tmp_path, capsys):
    workdir = tmp_path / "run"
    # Overrides may stand before --config, with and without "=".
    options = ["--config.duration=30 steps", "--config.eval_every", "0 steps"]
    code = main(["train", *options, "--config", config, "--workdir", str(workdir)])
    out = capsys.readouterr().out
    assert code == 0
    assert "step: 30" in out and "test/accuracy: " in out
    assert json.loads((workdir / "config.json").read_text())["duration"] == "30 steps"

    assert main(["evaluate", "--workdir", str(workdir), "--figure"]) == 0
    out = capsys.readouterr().out
    assert f"figure: {workdir}/figure.png" in out and "examples: 50" in out
    assert (workdir / "figure.png").is_file()

    # The same workdir with another seed is refused.
    options += ["--config.seed=1"]
    code = main(["train", *options, "--config", config, "--workdir", str(workdir)])
    assert code == 2 and "seed was 0 and is 1" in capsys.readouterr().err


def test_sigterm_saves_and_exits_cleanly(config, tmp_path):
    workdir = tmp_path / "run"
    process = jdeconv(
        *("train", "--config", config, "--workdir", workdir),
        *("--config.duration=1e6 steps", "--config.eval_every=0 steps"),
    )
    deadline = time.monotonic() + 100
    while not train.read_metrics(workdir):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "SIGTERM: saved at step" in err and "Traceback" not in err
    from jdeconv.train import checkpoint

    assert checkpoint.steps(workdir)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("tran", "unknown verb 'tran': did you mean 'train'"),
        ("train --workdir W", "--config is missing"),
        ("train --config C", "--workdir is missing"),
        ("train --config", "argument --config: expected one argument"),
        ("train --config nowhere.py --workdir W", "'nowhere.py' does not exist"),
        ("train --config C --workdir W --lr=1", "unknown argument '--lr=1'"),
        ("train --config C --workdir W --config.seed", "--config.seed needs a value"),
        (
            "train --config.seed=1 --config C --workdir W --config.seed=2",
            "--config.seed is given twice",
        ),
        (
            "train --config.batch_sise=3 --config C --workdir W",
            "did you mean config.batch_size?",
        ),
        ("train --config C --workdir W --config.seed=x", "config.seed='x': must be an"),
        ("train --config C:3 --workdir W", '"batch_size"'),  # by ml_collections
        ("train --config C --workdir C", "is a file, not a folder"),
        ("train --config C --workdir W --config.task=dream", "task='dream'"),
        ("train --config C --workdir W --config.model.name=x", "config.model.name='x'"),
        (
            "train --config C --workdir W --config.data.source=folder:/nowhere",
            "/nowhere",
        ),
        ("evaluate", "the following arguments are required: --workdir"),
        ("evaluate --workdir W", "holds no training run"),
        ("evaluate --workdir W --checkpoint worst", "invalid choice: 'worst'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments, message, config, tmp_path, capsys
):
    places = {"C": config, "C:3": f"{config}:3", "W": str(tmp_path / "run")}
    assert main([places.get(a, a) for a in arguments.split()]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_config_with_a_syntax_error_is_a_mistake_too(tmp_path, capsys):
    (tmp_path / "a.py").write_text("def get_config(:")
    assert main(["train", "--config", f"{tmp_path}/a.py", "--workdir", "w"]) == 2
    assert "invalid syntax" in capsys.readouterr().err


def test_bug_is_not_told_as_a_mistake(tmp_path):
    (tmp_path / "a.py").write_text(
        "import numpy as np\ndef get_config(): return np.zeros(2).reshape(3)"
    )
    (tmp_path / "b.py").write_text(
        "import json\ndef get_config(): return json.loads('{')"
    )
    # numpy raises from C, in the config's own frame; json in a frame of its own.
    assert main(["train", "--config", f"{tmp_path}/a.py", "--workdir", "w"]) == 2
    with pytest.raises(json.JSONDecodeError):
        main(["train", "--config", f"{tmp_path}/b.py", "--workdir", "w"])


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("JDECONV_TRACEBACK", "1")
    with pytest.raises(ValueError, match="--config is missing"):
        main(["train"])


def test_help_names_every_verb_and_imports_nothing_heavy(capsys):
    code = "; ".join(
        [
            "import sys",
            "from jdeconv.cli.main import main",
            "code = main(['--help'])",
            "print(code, sorted({'jax', 'flax', 'numpy'} & set(sys.modules)))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)
    assert main([]) == 2
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        assert f"jdeconv {verb}" in capsys.readouterr().out
    from jdeconv import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_splitting_overrides():
    rest, fields = split_overrides(["--config.a.b=1=2", "--workdir", "w"])
    assert rest == ["--workdir", "w"] and fields == {"a.b": "1=2"}


def test_format_of_metrics():
    metrics = {"test/loss": 0.123456789, "test/loss_sem": 0.00123, "step": 7}
    assert format_metrics(metrics) == "test/loss: 0.123457 ± 0.0012\nstep: 7"
