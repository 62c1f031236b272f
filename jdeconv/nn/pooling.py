"""Max pooling that remembers where, and the unpooling that puts back."""

from flax import nnx
from jax import Array

from jdeconv import ops
from jdeconv.ops.geometry import IntOrInts, Padding


class MaxPool(nnx.Module):
    """Max pooling, `ops.max_pool`, or with switches `ops.max_pool_with_switches`.

    Args:
      window, strides, padding: as in `ops.max_pool`.
      return_switches: whether calls return (y, switches) for `MaxUnpool`.
    """

    def __init__(
        self,
        window: IntOrInts,
        strides: IntOrInts | None = None,
        *,
        padding: Padding = "VALID",
        return_switches: bool = False,
    ):
        self.window = window
        self.strides = strides
        self.padding = padding
        self.return_switches = return_switches

    def __call__(self, x: Array) -> Array | tuple[Array, Array]:
        """`[*batch, *spatial, channels]` to the pooled image, or (image, switches)."""
        pool = ops.max_pool_with_switches if self.return_switches else ops.max_pool
        return pool(x, self.window, strides=self.strides, padding=self.padding)


class MaxUnpool(nnx.Module):
    """Puts values back where their maxima were: `ops.max_unpool`.

    Args:
      combine: "add" (the transpose of the pooling's gather) or "replace" (PyTorch's).
    """

    def __init__(self, *, combine: str = "add"):
        self.combine = combine

    def __call__(self, y: Array, switches: Array, output_size: IntOrInts) -> Array:
        """`[*batch, *pooled, channels]` to `[*batch, *output_size, channels]`."""
        return ops.max_unpool(
            y, switches, output_size=output_size, combine=self.combine
        )
