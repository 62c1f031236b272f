"""`jdeconv tune`: from a config to the file that `auto` reads."""

import json

import pytest

from jdeconv.cli.main import main
from jdeconv.ops.lowering import tuned

CONFIG = """
from tests.train import tiny

def get_config(arg=None):
    return tiny.make_config().lock()
"""


@pytest.fixture
def choices_file(tmp_path, monkeypatch):
    file = tmp_path / "cache" / "lowerings.json"
    monkeypatch.setenv(tuned.VARIABLE, str(file))
    return file


def test_tunes_every_convolution_of_the_training_step(tmp_path, choices_file, capsys):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    assert main(["tune", "--config", str(path), "--repeats", "1"]) == 0
    shown = capsys.readouterr().out
    assert "kernel_gradient" in shown and str(choices_file) in shown
    ((platform, versions),) = json.loads(choices_file.read_text()).items()
    assert platform == "cpu"
    ((_, choices),) = versions.items()
    assert choices and all(len(choice) == 3 for choice in choices.values())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--config is missing"),
        (["--config", "nowhere.py"], "nowhere.py"),
        (["--config", "a.py", "--repeats", "0"], "--repeats=0"),
        (["--config", "a.py", "--fast"], "--fast"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, message, choices_file, capsys):
    assert main(["tune", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not choices_file.exists()
