"""The speed benchmark: what it compares is equal, and it says so when it is not."""

import json
import math

import jax
import numpy as np
import pytest

from benchmarks import conv_transpose, networks, timing
from benchmarks.layers import CANDIDATES, Candidate, Shape, arrays
from jdeconv.ops.lowering import tune

TINY = {
    "strided": Shape(2, (5, 4), 6, 4, 3, 2, 1, 1),
    "grouped": Shape(2, (5, 4), 6, 4, 4, 2, 1, 0, 2),
    "1-D": Shape(2, (9,), 3, 2, 5, 3, 1),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) for n in ("strided", "grouped", "1-D")],
)
def test_all_candidates_compute_the_same(name):
    cell = conv_transpose.bench(TINY[name], turns=2)
    assert {"jdeconv", "lax"} <= set(cell["both"])
    assert ("flax.nnx" in cell["both"]) == (name != "grouped")
    assert max(cell["gap_to_lax"].values()) < 1e-5
    assert cell["both"]["jdeconv"]["median_ms"] > 0
    record = {"shapes": {name: cell}, "limits": {"matmul_gflops": 100.0}}
    assert f"| {name} |" in conv_transpose.table(record)


def test_a_candidate_that_computes_something_else_is_refused():
    shape = TINY["strided"]
    made = {"lax": CANDIDATES["lax"](shape, *arrays(shape))}
    result = made["lax"].both()
    wrong = tuple(np.asarray(a) * 1.001 for a in result)
    made["other"] = Candidate(lambda: None, lambda: wrong, lambda arrays: arrays)
    with pytest.raises(RuntimeError, match="other differs from lax"):
        conv_transpose.check_equal(made)


def test_candidates_take_turns_and_slow_ones_fewer(monkeypatch):
    calls = []
    monkeypatch.setattr(timing, "PATIENCE_S", 0.0)
    runs = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = timing.alternate(runs, turns=5)
    assert [len(t) for t in times.values()] == [3, 3]
    summary = timing.summary([0.001, 0.002, 0.003])
    assert math.isclose(summary["median_ms"], 2.0) and summary["runs"] == 3


@pytest.mark.parametrize("backend, some", [("cpu", False), ("gpu", True)])
def test_an_accelerator_is_given_some_calls_at_once(monkeypatch, backend, some):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    started, waited = [], []
    run = timing.Queued(lambda: started.append(1) or len(started), waited.append)
    cell = timing.per_call({"a": run}, turns=3)["a"]
    assert run.calls == (tune.MOST_AT_ONCE if some else 1)
    assert cell["runs"] == 3 and waited[-1] == len(started)  # the last call
    # One compiles, one says how long it takes; then whole runs.
    assert (len(started) - 2) % run.calls == 0 and len(started) >= 2 + 5 * run.calls


def test_table_of_lowerings_says_what_was_taken():
    parts = ("conv_transpose", "conv", "kernel_gradient")
    times = {"lhs_dilation": 2.0, "phases": 0.5}
    cell = dict.fromkeys(parts, times) | {
        "auto": dict.fromkeys(parts, "lhs_dilation") | {"kernel_gradient": "phases"},
        "lhs_dilation_over_auto": 6 / 4.5,
    }
    line = conv_transpose.lowerings_table({"unet": cell}).splitlines()[-1]
    assert line == "| unet | 2 | 2 | 2 -> 0.5 phases | 1.3 times |"


def small(name, batch, inputs, targets):
    return networks.NETWORKS[name]._replace(batch=batch, inputs=inputs, targets=targets)


@pytest.mark.parametrize(
    "name, network",
    [
        pytest.param(
            "fsrcnn",
            small("fsrcnn", 2, (6, 6, 1), (18, 18, 1)),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "dcgan",
            small("dcgan", 4, (1, 1, 100), (64, 64, 3)),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "unet", small("unet", 2, (16, 16, 1), (16, 16, 1)), marks=pytest.mark.slow
        ),
    ],
)
def test_every_library_trains_the_same_network(name, network, monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, name, network)
    cell = networks.bench(name, turns=1)
    assert {"jdeconv", "flax.nnx"} <= set(cell["step"])
    assert f"| {name}, {network.batch} |" in networks.table({"networks": {name: cell}})


def test_a_network_that_learns_otherwise_is_refused():
    losses = iter([1.0, 0.5, 0.4])
    others = iter([1.0, 0.6, 0.4])
    made = {"jdeconv": lambda: [next(losses)], "other": lambda: [next(others)]}
    with pytest.raises(RuntimeError, match="other differs from jdeconv"):
        networks.check_equal("made up", made)


def test_the_page_holds_the_tables_of_the_records():
    page = (conv_transpose.ROOT / "docs" / "speed.md").read_text()
    for benchmark in (conv_transpose, networks):
        name = benchmark.__name__.rpartition(".")[2]
        files = sorted(conv_transpose.RECORDS.glob(f"{name}-*.json"))
        assert files
        for file in files:
            assert benchmark.table(json.loads(file.read_text())) in page, file.name
