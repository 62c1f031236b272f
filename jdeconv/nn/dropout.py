"""Dropout whose numbers belong to the examples, not to the batch."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array


class Dropout(nnx.Module):
    """Each entry is zero with probability `rate`, else divided by 1 - rate.

    Flax's own layer draws one mask for the whole batch, so the numbers depend on how
    the batch is spread over devices; here every example brings its key.

    Args:
      rate: in [0, 1).

    Attributes:
      deterministic: whether the layer does nothing; set by `.eval()` and `.train()`.

    Raises:
      ValueError: a rate outside [0, 1).

    References:
      Srivastava et al., "Dropout", 2014.
    """

    def __init__(self, rate: float):
        if not 0 <= rate < 1:
            raise ValueError(f"rate={rate!r}: must be in [0, 1)")
        self.rate = rate
        self.deterministic = False

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[B, ...]` to the same shape.

        Args:
          x: the input.
          key: `[B]` PRNG keys, one per example; needed in training.

        Raises:
          ValueError: no key in training.
        """
        if self.deterministic or self.rate == 0:
            return x
        if key is None:
            raise ValueError(
                "key=None: dropout in training needs one PRNG key per example (or call "
                "model.eval() first)"
            )
        keep = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - self.rate, x.shape[1:]))(
            key
        )
        return jnp.where(keep, x / (1 - self.rate), jnp.zeros((), x.dtype))
