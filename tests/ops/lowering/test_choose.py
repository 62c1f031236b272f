"""The cost model: which lowering it takes for which layer."""

import jax
import pytest

from jdeconv.ops.lowering import choose
from tests.ops.lowering.problems import (
    LARGE_THIN_VOLUME,
    LINE,
    LONG,
    THIN_VOLUME,
    VOLUME,
    asked,
)

BEFORE_11 = jax.__version_info__ < (0, 11)


def test_the_choice_is_the_same_on_every_call():
    assert all(choose.forms(asked()) == choose.forms(asked()) for _ in range(3))


@pytest.mark.parametrize(
    "problem, computation, name",
    [
        (asked(), "kernel_gradient", "taps"),
        (asked(window=2), "kernel_gradient", "matmul"),
        (asked(window=3, stride=3), "kernel_gradient", "taps"),
        (asked()._replace(forward=True), "kernel_gradient", "taps"),
        (LINE, "kernel_gradient", "taps"),
        (LONG, "kernel_gradient", "phases"),
        (LONG._replace(forward=True), "kernel_gradient", "taps"),
        (asked(size=32, features=1, window=9, stride=3), "conv", "lhs_dilation"),
        (asked(groups=32), "conv_transpose", "shifts"),
        (asked(groups=32), "conv", "sums"),
        (asked(groups=32), "kernel_gradient", "spread"),
        (asked(groups=32, stride=1), "conv_transpose", "sums"),
        (asked(groups=4), "kernel_gradient", "taps"),
        (asked(groups=16), "kernel_gradient", "merged"),
        (asked(groups=4), "conv_transpose", "lanes"),
        (asked(groups=4), "conv", "lanes"),
        (asked(groups=2), "conv_transpose", "merged"),
        (asked(groups=2), "conv", "merged" if BEFORE_11 else "lhs_dilation"),
        (asked(groups=4, stride=1, window=7), "conv", "lanes"),
        (asked(groups=4, window=7), "conv", "merged"),
        (asked(stride=1, features=1), "kernel_gradient", "taps"),
        (asked(stride=1, features=1), "conv", "lhs_dilation"),
        (asked(stride=1, channels=1), "kernel_gradient", "taps"),
        (asked(features=3), "kernel_gradient", "taps"),
        (asked(1, stride=1, channels=3, size=800), "kernel_gradient", "taps"),
        (asked(stride=1, channels=1)._replace(forward=True), "conv", "matmul"),
        (asked(batch=1, window=16, stride=8, size=32), "conv_transpose", "phases"),
        (asked(batch=32, window=3, size=26), "conv_transpose", "matmul"),
        (asked(batch=32, window=4, size=26), "conv_transpose", "phases"),
        (asked(batch=1, window=5, size=200, features=64), "conv_transpose", "phases"),
        (asked(stride=1, channels=64, features=64), "kernel_gradient", "winograd"),
        (asked(stride=1, window=5, size=32), "conv_transpose", "lhs_dilation"),
        (asked(stride=1, window=7, channels=128, features=128), "conv", "winograd"),
        (asked(stride=1, window=4, channels=128, features=128), "conv", "lhs_dilation"),
        (VOLUME, "conv", "planes"),
        (VOLUME, "conv_transpose", "planes"),
        (VOLUME, "kernel_gradient", "winograd"),
        (THIN_VOLUME, "kernel_gradient", "taps"),
        (LARGE_THIN_VOLUME, "kernel_gradient", "planes"),
    ],
)
def test_what_the_cost_model_takes_on_cpu(problem, computation, name):
    assert getattr(choose.forms(problem)["cpu"], computation) == name
