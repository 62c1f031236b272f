"""Notebooks are in step with their scripts, hold no outputs, and run small."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

COLAB = pathlib.Path(__file__).resolve().parent.parent / "colab"
SCRIPTS = sorted(COLAB.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.stem)
def test_notebook_is_made_from_the_script(script):
    jupytext = pytest.importorskip("jupytext")
    made = jupytext.read(script)
    kept = json.loads(script.with_suffix(".ipynb").read_text())
    assert [c["cell_type"] for c in kept["cells"]] == [c.cell_type for c in made.cells]
    for ours, cell in zip(kept["cells"], made.cells):
        assert "".join(ours["source"]) == cell.source, "run `make notebooks`"
        assert not ours.get("outputs"), "outputs are not kept"


def code_cells(script):
    return [c for c in script.read_text().split("# %%") if not c.startswith(" [mark")]


TRANSLATED = [s for s in SCRIPTS if s.stem.endswith(".zh")]


@pytest.mark.parametrize("script", TRANSLATED, ids=lambda s: s.stem)
def test_translation_has_the_same_code(script):
    original = script.with_name(script.name.replace(".zh.", "."))
    assert code_cells(script)[1:] == code_cells(original)[1:]


LONG = (
    "02_arithmetic",
    "03_checkerboards_and_kernels",
    "04_generate",
    "05_deblur_your_image",
    "06_seeing_inside",
)  # half a minute of training
RUN = [
    pytest.param(s, marks=[pytest.mark.slow] if s.stem in LONG else [], id=s.stem)
    for s in SCRIPTS
    if s not in TRANSLATED
]


@pytest.mark.parametrize("script", RUN)
def test_script_runs_small_and_offline(script, tmp_path):
    pytest.importorskip("matplotlib")
    environment = os.environ | {
        "JDECONV_SMALL": "1",
        "JDECONV_WORK": str(tmp_path),
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(COLAB.parent),
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
