"""Images cut along their first axis, where what is made of one is too large."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.lowering.problem import Problem


def by_slabs(
    lower: Callable[[Problem, Array], Array], asked: Problem, y: Array
) -> Array:
    """x of `asked`, by a lowering of problems whose batch are the slabs of x.

    Args:
      lower: (problem, its y) to its x.
      asked: where `asked.slabs` is 1, its y is lowered as it is.
      y: `[batch, *o, ...]`.
    """
    if asked.slabs == 1:
        return lower(asked, y)
    cut = asked.of_slabs()
    x = lower(cut, _slabs(asked, cut, y))
    x = x.reshape(y.shape[0], -1, *x.shape[2:])
    return x[:, : asked.axes[0].input_size]


def _slabs(asked: Problem, cut: Problem, y: Array) -> Array:
    """[batch, o, ...] to [batch * slabs, entries, ...], where neighbours overlap."""
    blocks = cut.axes[0].input_size // cut.axes[0].stride
    shared = cut.axes[0].output_size - blocks
    before = (cut.axes[0].low - asked.axes[0].low) // cut.axes[0].stride
    after = (asked.slabs + 1) * blocks - before - y.shape[1]
    margins = [(0, 0, 0), (before, after, 0)] + [(0, 0, 0)] * (y.ndim - 2)
    y = lax.pad(y, jnp.zeros((), y.dtype), margins)
    y = y.reshape(y.shape[0], asked.slabs + 1, blocks, *y.shape[2:])
    y = jnp.concatenate([y[:, :-1], y[:, 1:, :shared]], axis=2)
    return y.reshape(-1, *y.shape[2:])
