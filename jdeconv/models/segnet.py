"""The network of switches: pooling remembers where its maxima were, unpooling asks."""

from collections.abc import Sequence
from typing import Any

from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops
from jdeconv.models.blocks import ConvBlock, needs_classes


class SegNet(nnx.Module):
    """Image of any size to logits of a class for each of its pixels.

    Each stage of the encoder ends in a max pooling that keeps its switches; each stage
    of the decoder begins with the unpooling that puts the values back to those places,
    and its convolutions fill what lies between. Nothing but the switches goes from the
    encoder to the decoder, so that it takes less memory than a U-Net.

    The decoder's layers are transposed convolutions (Noh et al.); its form, without
    dense layers between the two halves, is that of SegNet (Badrinarayanan et al.).

    Args:
      image_shape: (H, W, C); only C matters.
      num_classes: K, the classes of a pixel.
      features: channels of the stages, each of which halves the size.
      depth: convolutions per stage, of encoder and decoder.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: num_classes is missing, no features, or depth < 1.

    References:
      Noh, Hong and Han, "Learning deconvolution network for semantic segmentation",
      2015, figure 2. Badrinarayanan, Kendall and Cipolla, "SegNet", 2017, figure 2.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        features: Sequence[int] = (16, 32, 64, 128),
        depth: int = 2,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        num_classes = needs_classes("SegNet", num_classes)
        if not features or depth < 1:
            raise ValueError(
                f"features={tuple(features)}, depth={depth}: there must be a stage and "
                "a convolution in it"
            )
        kinds: dict[str, Any] = {"depth": depth, "dtype": dtype, "rngs": rngs}
        inputs = (image_shape[-1], *features[:-1])
        self.down = nnx.List(ConvBlock(i, o, **kinds) for i, o in zip(inputs, features))
        outputs = (features[0], *features[:-1])
        self.up = nnx.List(
            ConvBlock(i, o, transposed=True, **kinds)
            for i, o in reversed(list(zip(features, outputs)))
        )
        self.head = nn.Conv(features[0], num_classes, (1, 1), dtype=dtype, rngs=rngs)
        self.output = "labels"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to logits `[batch, H, W, num_classes]`."""
        del key  # nothing is random here
        pooled = []
        for block in self.down:
            x = block(x)
            size = x.shape[1:3]
            x, switches = ops.max_pool_with_switches(x, (2, 2), padding="SAME")
            pooled.append((switches, size))
        for block, (switches, size) in zip(self.up, reversed(pooled)):
            x = block(ops.max_unpool(x, switches, output_size=size))
        return self.head(x)
