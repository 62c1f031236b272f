"""Choices by measurement: the file that `auto` reads, and what writes it."""

import json

import jax.numpy as jnp
import pytest

from jdeconv.ops import conv, conv_transpose, lowering
from jdeconv.ops.lowering import (
    choose,
    matmul,
    tune,
    tuned,
)
from jdeconv.ops.lowering.choose import Forms
from tests.ops.lowering.problems import (
    asked,
)
from tests.ops.oracles import EPS, relative


@pytest.fixture
def choices_file(tmp_path, monkeypatch):
    file = tmp_path / "lowerings.json"
    monkeypatch.setenv(tuned.VARIABLE, str(file))
    return file


def test_a_measured_choice_goes_first(choices_file):
    p = asked()
    choice = Forms("phases", "phases", "phases")
    assert choose.forms(p)["cpu"] != choice
    tuned.store("cpu", {p: choice})
    assert choose.forms(p)["cpu"] == choice
    assert choose.forms(p._replace(batch=64))["cpu"] != choice
    other = asked(window=4)
    tuned.store("cuda", {other: choice})
    assert choose.forms(p)["cpu"] == choice, "what was there is kept"
    assert choose.forms(other)["cuda"] == choice


def test_a_broken_file_is_named(choices_file):
    choices_file.write_text("{")
    with pytest.raises(ValueError, match="lowerings.json.*delete it"):
        choose.forms(asked())


def test_an_unknown_lowering_in_the_file_is_named(choices_file):
    tuned.store("cpu", {asked(): Forms("fastest", "phases", "matmul")})
    with pytest.raises(ValueError, match="'fastest'.*lowerings.json"):
        choose.forms(asked())


@pytest.mark.slow
def test_tune_measures_what_a_function_uses(choices_file, rng):
    y = jnp.asarray(rng.normal(size=(2, 6, 6, 4)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 4, 4)), jnp.float32)

    def function(y, k):
        return conv(conv_transpose(y, k, strides=2), k)

    problems = tune.problems_of(function, y, kernel)
    assert len(problems) == 2 and not choose.listeners
    reports = []
    choices = tune.tune(problems, repeats=2, report=lambda *a: reports.append(a))
    assert set(choices) == set(problems) and len(reports) == 2
    for p in problems:
        assert choose.forms(p)["cpu"] == choices[p]
        assert set(reports[0][1]) == set(Forms._fields)
    assert set(json.loads(choices_file.read_text())) == {"cpu"}
    assert (
        relative(
            function(y, kernel),
            conv(
                conv_transpose(y, kernel, strides=2, algorithm="lhs_dilation"), kernel
            ),
        )
        < 64 * EPS
    )


def test_the_reference_stays_unless_clearly_beaten():
    near = {"lhs_dilation": 1.0, "matmul": 0.99}
    clear = {"lhs_dilation": 1.0, "matmul": 0.5}
    times = {"conv_transpose": near, "conv": clear, "kernel_gradient": near}
    assert tune.fastest(times) == Forms("lhs_dilation", "matmul", "lhs_dilation")


def test_every_lowering_is_offered_by_name():
    assert set(lowering.ALGORITHMS) == {"auto", "merged", *lowering.LOWERINGS}
    assert matmul.__doc__.startswith("Matmul")
