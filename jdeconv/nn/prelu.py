"""The parametric rectifier."""

import jax.numpy as jnp
from flax import nnx
from jax import Array


class PReLU(nnx.Module):
    """y = max(x, 0) + a min(x, 0), a learned number per channel.

    Args:
      features: number of channels, the last axis.
      init: a at the start.

    Attributes:
      slope: a, `[features]`.

    References:
      He et al., "Delving deep into rectifiers", 2015, equation 1.

    >>> PReLU(2, init=0.5)(jnp.array([[-2.0, 3.0]])).tolist()
    [[-1.0, 3.0]]
    """

    def __init__(self, features: int, *, init: float = 0.25):
        self.slope = nnx.Param(jnp.full((features,), init, jnp.float32))

    def __call__(self, x: Array) -> Array:
        """`[..., features]` to the same."""
        slope = self.slope[...].astype(x.dtype)
        return jnp.maximum(x, 0) + slope * jnp.minimum(x, 0)
