"""What the networks for segmentation have in common: convolution, norm and ReLU."""

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn
from jdeconv.models.encoder import batch_norms


class ConvBlock(nnx.Module):
    """Convolutions of 3x3, each followed by batch norm and ReLU; the size stays.

    Args:
      inputs: channels it receives.
      features: channels of every convolution.
      depth: number of convolutions.
      transposed: transposed convolutions in their place, as a deconvolution network
        has them.
      dtype: type to compute in.
      rngs: NNX random streams.
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        *,
        depth: int = 2,
        transposed: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        layer = nn.ConvTranspose if transposed else nn.Conv
        channels = [inputs] + [features] * (depth - 1)
        # The batch norms have the bias.
        self.convs = nnx.List(
            layer(c, features, (3, 3), use_bias=False, dtype=dtype, rngs=rngs)
            for c in channels
        )
        self.norms = batch_norms([features] * depth, dtype, rngs)

    def __call__(self, x: Array) -> Array:
        """`[batch, H, W, inputs]` to `[batch, H, W, features]`."""
        for conv, norm in zip(self.convs, self.norms):
            x = jax.nn.relu(norm(conv(x)))
        return x


def needs_classes(name: str, num_classes: int | None) -> int:
    """The number of classes, or a ValueError that says where it comes from."""
    if not num_classes:
        raise ValueError(
            f"a {name} needs num_classes, and the data set has no classes: "
            "data.mask names the masks"
        )
    return num_classes
