"""Convolutions down to a small grid, and on to a latent vector if one is wanted."""

import math
from collections.abc import Sequence

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops

Sizes = tuple[tuple[int, int], ...]


def stage_sizes(size: tuple[int, int], stages: int) -> Sizes:
    """Spatial sizes before each halving stage and after the last: n -> ceil(n / 2).

    >>> stage_sizes((28, 15), 2)
    ((28, 15), (14, 8), (7, 4))
    """
    height, width = size
    sizes = [(height, width)]
    for _ in range(stages):
        height, width = -(-height // 2), -(-width // 2)
        sizes.append((height, width))
    return tuple(sizes)


def batch_norms(
    features: Sequence[int], dtype: DTypeLike | None, rngs: nnx.Rngs
) -> nnx.List:
    """One BatchNorm per entry of features."""
    return nnx.List(
        nnx.BatchNorm(n, momentum=0.9, dtype=dtype, rngs=rngs) for n in features
    )


class Encoder(nnx.Module):
    """Convolutions with ReLU, each followed by a halving of the grid; then dense.

    Args:
      image_shape: (H, W, C).
      features: channels of the convolutions, one halving stage each.
      kernel_size: window of the convolutions.
      downsample: "max_pool" (2x2 after the convolution) or "stride" (of the convolution
        itself, which a tied decoder needs).
      latent: size of the latent vector; None returns the grid.
      batch_norm: between each convolution, which then has no bias, and its ReLU.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown downsample.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        features: Sequence[int] = (32, 32),
        kernel_size: int = 3,
        downsample: str = "max_pool",
        latent: int | None = None,
        batch_norm: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        if downsample not in ("max_pool", "stride"):
            raise ValueError(
                f"downsample={downsample!r}: must be 'max_pool' or 'stride'"
            )
        strides = 2 if downsample == "stride" else 1
        channels = (image_shape[-1], *features)
        self.convs = nnx.List(
            nn.Conv(
                before,
                after,
                (kernel_size, kernel_size),
                strides,
                use_bias=not batch_norm,
                dtype=dtype,
                rngs=rngs,
            )
            for before, after in zip(channels, features)
        )
        self.norms = batch_norms(features if batch_norm else (), dtype, rngs)
        self.dense = nnx.data(None)
        if latent is not None:
            grid = stage_sizes(image_shape[:2], len(features))[-1]
            self.dense = nnx.Linear(
                math.prod(grid) * channels[-1], latent, dtype=dtype, rngs=rngs
            )
        self.downsample = downsample

    def __call__(self, x: Array) -> Array:
        """`[batch, H, W, C]` to `[batch, latent]` or `[batch, *grid, features[-1]]`."""
        for i, conv in enumerate(self.convs):
            x = conv(x)
            x = jax.nn.relu(self.norms[i](x) if self.norms else x)
            if self.downsample == "max_pool":
                x = ops.max_pool(x, (2, 2), padding="SAME")
        if self.dense is None:
            return x
        return self.dense(x.reshape(x.shape[0], -1))
