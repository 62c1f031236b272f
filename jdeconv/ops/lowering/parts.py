"""A part of the batch at a time, so that what is made of it stays in the cache."""

from collections.abc import Callable

import jax
from jax import Array, lax


def by_parts(function: Callable[[Array], Array], count: int, y: Array) -> Array:
    """`function(y)`, which treats the batch's entries alike, in equal parts.

    Args:
      function: of images to as many images.
      count: of the parts; it divides the batch.
      y: `[batch, ...]`.
    """
    if count == 1:
        return function(y)
    stacked = y.reshape(count, -1, *y.shape[1:])
    # What is made on the way is made again where it is needed twice; kept, it would all
    # be in memory at once.
    again = jax.checkpoint(function, prevent_cse=False)
    _, x = lax.scan(lambda _, y: (None, again(y)), None, stacked)
    return x.reshape(-1, *x.shape[2:])
