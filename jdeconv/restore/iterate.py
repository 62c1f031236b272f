"""Running a solver's step: a fixed number of times, or until it changes little."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

State = TypeVar("State")


def iterate(
    advance: Callable[[State], tuple[State, Array]],
    state: State,
    *,
    num_iters: int,
    stop: Array | float | None,
    change: Callable[[State, State], Array] | None = None,
) -> tuple[State, Array, Array]:
    """Applies `advance`, which returns the next state and what the history keeps of it.

    Args:
      advance: one iteration.
      state: pytree to begin with.
      num_iters: iterations, the most if `stop` is given.
      stop: ends when `change` is below; None never does, and then there is a reverse
        mode.
      change: of the state before and after an iteration, a scalar; for `stop`.

    Returns:
      The last state, the iterations done, and the history `[num_iters, ...]`, NaN
      beyond the last one.
    """
    if stop is None or change is None:

        def fixed(state, _):
            return advance(state)

        state, history = lax.scan(fixed, state, length=num_iters)
        return state, jnp.asarray(num_iters), history

    kept = jax.eval_shape(advance, state)[1]
    history = jnp.full((num_iters, *kept.shape), jnp.nan, kept.dtype)

    def goes_on(carry):
        _, _, done, changed = carry
        return (done < num_iters) & (changed > stop)

    def body(carry):
        before, history, done, _ = carry
        state, entry = advance(before)
        return state, history.at[done].set(entry), done + 1, change(before, state)

    first = (state, history, jnp.asarray(0), jnp.asarray(jnp.inf, kept.dtype))
    state, history, done, _ = lax.while_loop(goes_on, body, first)
    return state, done, history


def relative_change(before: Array, after: Array, num_axes: int) -> Array:
    """|after - before| / |after| over the last axes, of the batch the largest."""
    spatial = tuple(range(-num_axes, 0))

    def norm(x):
        return jnp.sqrt(jnp.sum(x**2, spatial))

    tiny = jnp.finfo(after.dtype).tiny
    return jnp.max(norm(after - before) / jnp.maximum(norm(after), tiny))
