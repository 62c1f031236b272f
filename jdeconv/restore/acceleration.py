"""Where an accelerated iteration starts from: a point further on than the last one.

    start = x + share (x - x of the iteration before)

The share is told from how far the last two steps agree, <g, g'> / <g', g'> cut off to
0 .. 1 (Biggs and Andrews 1997, "Acceleration of iterative image restoration
algorithms"), or given for each iteration.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Path(NamedTuple):
    """How the estimate came about, which says how far the next one is predicted.

    It keeps differences, all new after each iteration: what a loop hands on as it is
    would have to be copied.
    """

    change: Array  # of x by the last iteration
    share: Array  # of it to go on by, `[*batch, 1, ...]`
    step: Array | None  # from the predicted point to x; None where shares are given
    shares: Array | None  # given ones, `[iterations, *batch, 1, ...]`
    done: Array  # iterations

    @classmethod
    def told(cls, x: Array, spatial: tuple[int, ...]) -> "Path":
        """The shares are told from the steps; nothing has been done at x."""
        none = jnp.zeros_like(x)
        share = jnp.sum(none, spatial, keepdims=True)
        return cls(none, share, none, None, jnp.zeros((), int))

    @classmethod
    def given(cls, x: Array, shares: Array) -> "Path":
        """The shares of the iterations from x on; the last one goes on being taken."""
        return cls(jnp.zeros_like(x), shares[0], None, shares, jnp.zeros((), int))

    def start(self, x: Array) -> Array:
        """The point further on than x."""
        return x + self.share * self.change

    def follow(
        self, x: Array, start: Array, new: Array, spatial: tuple[int, ...]
    ) -> "Path":
        """With the iteration from x by way of start to the new estimate."""
        done = self.done + 1
        if self.shares is not None:
            share = self.shares[jnp.minimum(done, len(self.shares) - 1)]
            return self._replace(change=new - x, share=share, done=done)
        if self.step is None:
            raise TypeError("a path has shares or steps")
        step = new - start
        both = jnp.sum(step * self.step, spatial, keepdims=True)
        last = jnp.sum(self.step**2, spatial, keepdims=True)
        share = jnp.where(last > 0, both / jnp.where(last > 0, last, 1), 0)
        return Path(new - x, jnp.clip(share, 0, 1), step, None, done)
