"""A small convolutional classifier."""

from collections.abc import Sequence

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops


class CNN(nnx.Module):
    """Blocks of convolutions, batch norm, ReLU and 2x2 max pooling; then one dense.

    Args:
      image_shape: (H, W, C). The grid that the dense layer sees is averaged to `pool`
        cells per axis, so the network takes any size of at least 2 ** len(blocks).
      num_classes: the outputs.
      blocks: per block the channels of its convolutions, pooling after each block.
      kernel_size: window of the convolutions.
      pool: cells of the final grid per axis.
      dropout: rate before the dense layer.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: num_classes is missing.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        blocks: Sequence[Sequence[int]] = ((32,), (64,)),
        kernel_size: int = 3,
        pool: int = 7,
        dropout: float = 0.25,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        if not num_classes:
            raise ValueError("a CNN needs num_classes, and the data set has no labels")
        channels = image_shape[-1]
        layers = []
        for block in blocks:
            for features in block:
                # The batch norm has the bias.
                conv = nn.Conv(
                    channels,
                    features,
                    (kernel_size, kernel_size),
                    use_bias=False,
                    dtype=dtype,
                    rngs=rngs,
                )
                norm = nnx.BatchNorm(features, momentum=0.9, dtype=dtype, rngs=rngs)
                layers.append(nnx.List([conv, norm]))
                channels = features
        self.layers = nnx.List(layers)
        self.block_sizes = tuple(len(block) for block in blocks)
        self.dropout = nn.Dropout(dropout)
        self.dense = nnx.Linear(
            channels * pool * pool, num_classes, dtype=dtype, rngs=rngs
        )
        self.pool = pool
        self.output = "logits"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to `[batch, num_classes]`; `[batch]` keys in training."""
        layers = iter(self.layers)
        for size in self.block_sizes:
            for _ in range(size):
                conv, norm = next(layers)
                x = jax.nn.relu(norm(conv(x)))
            x = ops.max_pool(x, (2, 2))
        x = ops.adaptive_avg_pool(x, (self.pool, self.pool))
        return self.dense(self.dropout(x.reshape(x.shape[0], -1), key=key))
