from fractions import Fraction

import pytest

from jdeconv.train.duration import is_due, parse_duration


@pytest.mark.parametrize(
    "text, steps",
    [
        ("10 epochs", 4688),  # 4687.5
        ("1 epoch", 469),
        ("0.5 epochs", 235),
        ("5000 steps", 5000),
        ("5_000 steps", 5000),
        ("20steps", 20),
        ("1e6 examples", 7813),
        ("0 steps", 0),
    ],
)
def test_steps_of_a_duration(text, steps):
    duration = parse_duration(text)
    assert duration.steps(batch_size=128, num_examples=60_000) == steps


@pytest.mark.parametrize(
    "text",
    ["10", "epochs", "-1 steps", "ten epochs", "1 hour", "1-2 steps", "", 5, None],
)
def test_what_is_no_duration_is_named(text):
    with pytest.raises(ValueError, match="eval_every=.*10 epochs"):
        parse_duration(text, "eval_every")


def test_intervals_that_are_no_whole_number_of_steps_do_not_drift():
    every = Fraction(60_000, 128)
    due = [step for step in range(1, 4689) if is_due(step, every)]
    assert due == [-(-k * 60_000 // 128) for k in range(1, 11)]


def test_never_and_not_before_the_first_step():
    assert not any(is_due(step, Fraction(0)) for step in range(10))
    assert not is_due(0, Fraction(5))
