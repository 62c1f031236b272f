"""Margins against numpy.pad, their transposes against dense matrices."""

import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import pad, pad_transpose
from tests.ops.oracles import matrix

NUMPY = {"zero": "constant", "circular": "wrap", "reflect": "reflect", "edge": "edge"}


@pytest.mark.parametrize("mode", NUMPY)
@pytest.mark.parametrize("margin", [(0, 0), (1, 2), (3, 0), (3, 3)])
def test_pad_and_its_transpose(mode, margin, rng):
    margins = [(0, 1), margin]
    x = rng.normal(size=(2, 4)).astype(np.float32)
    if mode == "reflect":
        margins[0] = (0, 1)
    expected = np.pad(x, margins, mode=NUMPY[mode])
    np.testing.assert_array_equal(pad(jnp.asarray(x), margins, mode), expected)
    dense = matrix(lambda x: np.pad(x, margins, mode=NUMPY[mode]), x.shape)
    y = rng.normal(size=expected.shape).astype(np.float32)
    np.testing.assert_allclose(
        pad_transpose(jnp.asarray(y), margins, mode).ravel(),
        dense.T @ y.ravel(),
        rtol=1e-5,
        atol=1e-6,
    )


def test_circular_margins_may_wrap_more_than_once():
    x = jnp.arange(2.0)
    np.testing.assert_array_equal(
        pad(x, [(3, 4)], "circular"), np.pad(x, [(3, 4)], mode="wrap")
    )
    assert float(pad_transpose(jnp.ones(9), [(3, 4)], "circular").sum()) == 9


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="mode='mirror'"):
        pad(jnp.ones(3), [(1, 1)], "mirror")
    with pytest.raises(ValueError, match="below its axis"):
        pad(jnp.ones(3), [(3, 0)], "reflect")
    with pytest.raises(ValueError, match="margins="):
        pad(jnp.ones(3), [(-1, 0)])
