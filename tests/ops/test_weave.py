"""Against one transposition of all axes at once, by numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jdeconv.ops.geometry import conv_transpose_axes
from jdeconv.ops.lowering import choose, conv_by, conv_transpose_by
from jdeconv.ops.weave import unweave, weave


@pytest.mark.parametrize(
    "counts, blocks, middle",
    [
        ((3, 4), (2, 5), 1),
        ((3, 4), (2, 5), 4),
        ((2, 3, 4), (3, 2, 2), 2),
        ((5,), (3,), 2),
        ((0, 4), (2, 2), 1),
        ((1, 4), (1, 1), 3),
    ],
)
@pytest.mark.parametrize("batch", [0, 2])
def test_equals_a_transposition(counts, blocks, middle, batch, rng):
    num_axes = len(counts)
    x = rng.normal(size=(batch, *counts, middle, *blocks, 3)).astype(np.float32)
    pairs = [a for i in range(num_axes) for a in (1 + i, num_axes + 2 + i)]
    expected = x.transpose(0, *pairs, num_axes + 1, 2 * num_axes + 2)
    sizes = [n * b for n, b in zip(counts, blocks)]
    expected = expected.reshape(batch, *sizes, middle * 3)
    woven = weave(jnp.asarray(x), num_axes)
    np.testing.assert_array_equal(woven, expected)
    if middle == 1:
        back = x.reshape(batch, *counts, *blocks, 3)
        np.testing.assert_array_equal(unweave(woven, blocks), back)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("num_axes", [2, 3])
@pytest.mark.parametrize("name", choose.NAMES)
def test_no_lowering_moves_many_axes_at_once(name, num_axes, groups):
    """To compile a transposition of 8 axes takes XLA ten times as long as of 5."""
    axes = conv_transpose_axes((4,) * num_axes, (4,) * num_axes, strides=2, padding=1)
    y = jnp.zeros((2, *(4,) * num_axes, 4 * groups))
    x = jnp.zeros((2, *(8,) * num_axes, 3 * groups))
    kernel = jnp.zeros((*(4,) * num_axes, 3, 4 * groups))

    def all_three(y, x, kernel):
        value = conv_transpose_by(name, axes, groups)(y, kernel)
        by_kernel = jax.linear_transpose(
            lambda k: conv_transpose_by(name, axes, groups)(y, k), kernel
        )
        return value, conv_by(name, axes, groups)(x, kernel), by_kernel(x)

    program = jax.make_jaxpr(all_three)(y, x, kernel)
    assert max(_moved(program.jaxpr)) <= 5


def _moved(jaxpr):
    """How many axes each transposition of a program has, without those of size 1."""
    yield 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "transpose":
            yield sum(n > 1 for n in eqn.invars[0].aval.shape)
        for inner in jaxprs_in_params(eqn.params):
            yield from _moved(inner)
