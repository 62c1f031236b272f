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

    `shares` are given, one per iteration, or else told from the last two steps.
    """

    before: Array  # x of the iteration before
    done: Array
    step: Array | None  # from the predicted point to x
    step_before: Array | None
    shares: Array | None

    def share(self, spatial: tuple[int, ...]) -> Array:
        """Of the last change, `[*batch, 1, ...]`."""
        if self.shares is not None:
            return self.shares[jnp.minimum(self.done, len(self.shares) - 1)]
        if self.step is None or self.step_before is None:
            raise TypeError("a path has shares or steps")
        both = jnp.sum(self.step * self.step_before, spatial, keepdims=True)
        last = jnp.sum(self.step_before**2, spatial, keepdims=True)
        share = jnp.where(last > 0, both / jnp.where(last > 0, last, 1), 0)
        return jnp.clip(share, 0, 1)

    def follow(self, x: Array, start: Array, new: Array) -> "Path":
        """With the iteration from x by way of start to the new estimate."""
        path = self._replace(before=x, done=self.done + 1)
        if self.shares is None:
            path = path._replace(step=new - start, step_before=self.step)
        return path
