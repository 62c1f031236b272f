"""The U-Net: an encoder, a transposed-convolution decoder, and the skips between."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops
from jdeconv.models.blocks import ConvBlock, needs_classes


class UNet(nnx.Module):
    """Image of any size to logits of a class for each of its pixels, or to an image.

    Figure 1 of the paper, with two changes: SAME padding, so that nothing is cropped,
    and batch norm after each convolution. Pooling rounds odd sizes up, and the
    transposed convolution on the way back names the size it wants: of the two sizes
    that pool to the same grid, the one of the skip.

    Args:
      image_shape: (H, W, C); only C matters.
      num_classes: K, the classes of a pixel; ignored with `residual`.
      features: channels of the first stage; each further stage has twice as many.
      stages: how often the size is halved.
      residual: it gives an image like its input, to which what it gives is added.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: num_classes is missing where it counts, features or stages < 1.

    References:
      Ronneberger, Fischer and Brox, "U-Net: Convolutional networks for biomedical image
      segmentation", 2015.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        features: int = 16,
        stages: int = 4,
        residual: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        outputs = image_shape[-1]
        if not residual:
            outputs = needs_classes("UNet", num_classes)
        if features < 1 or stages < 1:
            raise ValueError(f"features={features}, stages={stages}: both must be >= 1")
        widths = [features * 2**stage for stage in range(stages + 1)]
        inputs = [image_shape[-1], *widths[:-1]]
        kinds: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        self.down = nnx.List([ConvBlock(i, o, **kinds) for i, o in zip(inputs, widths)])
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.up = nnx.List(
            [nn.ConvTranspose(i, o, (2, 2), strides=2, **kinds) for i, o in pairs]
        )
        self.merge = nnx.List([ConvBlock(2 * o, o, **kinds) for _, o in pairs])
        # Zero: the residual network starts as the identity.
        init: dict[str, Any] = {}
        if residual:
            init["kernel_init"] = jax.nn.initializers.zeros
        self.head = nn.Conv(features, outputs, (1, 1), **init, **kinds)
        self.residual = residual
        self.output = "image" if residual else "labels"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to logits `[batch, H, W, num_classes]`, or to an image."""
        del key  # nothing is random here
        image = x
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = ops.max_pool(skips[-1], (2, 2), padding="SAME")
        x = self.down[-1](x)
        for up, block, skip in zip(self.up, self.merge, reversed(skips)):
            x = up(x, output_size=skip.shape[1:3])
            x = block(jnp.concatenate([skip, x], axis=-1))
        y = self.head(x)
        return image + y if self.residual else y
