"""The U-Net: an encoder, a transposed-convolution decoder, and the skips between."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops


class UNet(nnx.Module):
    """Image of any size to logits of a class for each of its pixels.

    Ronneberger, Fischer and Brox 2015, figure 1, with two changes: SAME padding, so
    that nothing is cropped, and batch norm after each convolution. Pooling rounds odd
    sizes up, and the transposed convolution on the way back names the size it wants:
    of the two sizes that pool to the same grid, the one of the skip.

    Args:
      image_shape: (H, W, C); only C matters.
      num_classes: K, the classes of a pixel.
      features: channels of the first stage; each further stage has twice as many.
      stages: how often the size is halved.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: num_classes is missing, features or stages < 1.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        features: int = 16,
        stages: int = 4,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        if not num_classes:
            raise ValueError("a UNet needs num_classes, and the data set has no labels")
        if features < 1 or stages < 1:
            raise ValueError(f"features={features}, stages={stages}: both must be >= 1")
        widths = [features * 2**stage for stage in range(stages + 1)]
        inputs = [image_shape[-1], *widths[:-1]]
        kinds: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.down = nnx.List([_Block(i, o, **kinds) for i, o in zip(inputs, widths)])
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.up = nnx.List(
            [nn.ConvTranspose(i, o, (2, 2), strides=2, **kinds) for i, o in pairs]
        )
        self.merge = nnx.List([_Block(2 * o, o, **kinds) for _, o in pairs])
        self.head = nn.Conv(features, num_classes, (1, 1), **kinds)

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to logits `[batch, H, W, num_classes]`."""
        del key  # nothing is random here
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = ops.max_pool(skips[-1], (2, 2), padding="SAME")
        x = self.down[-1](x)
        for up, block, skip in zip(self.up, self.merge, reversed(skips)):
            x = up(x, output_size=skip.shape[1:3])
            x = block(jnp.concatenate([skip, x], axis=-1))
        return self.head(x)


class _Block(nnx.Module):
    """Twice convolution, batch norm and ReLU; the batch norm has the bias."""

    def __init__(self, inputs: int, features: int, *, dtype, rngs: nnx.Rngs):
        self.convs = nnx.List(
            [
                nn.Conv(i, features, (3, 3), use_bias=False, dtype=dtype, rngs=rngs)
                for i in (inputs, features)
            ]
        )
        self.norms = nnx.List(
            [
                nnx.BatchNorm(features, momentum=0.9, dtype=dtype, rngs=rngs)
                for _ in range(2)
            ]
        )

    def __call__(self, x: Array) -> Array:
        for conv, norm in zip(self.convs, self.norms):
            x = jax.nn.relu(norm(conv(x)))
        return x
