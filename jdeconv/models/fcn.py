"""The fully convolutional network: coarse scores, interpolated by deconvolution."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops
from jdeconv.models.blocks import ConvBlock, needs_classes
from jdeconv.nn import initializers


class FCN(nnx.Module):
    """Image of any size to logits of a class for each of its pixels.

    Convolutions and pooling lead to a coarse grid, and a 1x1 convolution scores it. A
    transposed convolution doubles the scores, those of the next finer stage are added,
    and so on `skips` times; a last transposed convolution goes to the image's size at
    once. All of them start as bilinear interpolation and are learned.

    With five stages, skips=2 is the paper's FCN-8s, 1 its FCN-16s and 0 its FCN-32s;
    in place of VGG-16 it has a narrow encoder with batch norm, trained from scratch.
    The scores of the finer stages start at zero, as there.

    Args:
      image_shape: (H, W, C); only C matters.
      num_classes: K, the classes of a pixel.
      features: channels of the stages, each of which halves the size.
      skips: number of finer stages whose scores are added.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: num_classes is missing, or skips is not in 0 .. number of stages - 1.

    References:
      Long, Shelhamer and Darrell, "Fully convolutional networks for semantic
      segmentation", 2015, section 3.3 and figure 3.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        features: Sequence[int] = (16, 32, 64, 128, 128),
        skips: int = 2,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        num_classes = needs_classes("FCN", num_classes)
        if not 0 <= skips < len(features):
            raise ValueError(
                f"skips={skips}: must be in 0 .. {len(features) - 1}, one less than "
                f"the stages (features={tuple(features)})"
            )
        kinds: dict[str, Any] = {"dtype": dtype, "rngs": rngs}
        inputs = (image_shape[-1], *features[:-1])
        self.stages = nnx.List(
            ConvBlock(i, o, **kinds) for i, o in zip(inputs, features)
        )
        # From the coarsest grid to the finest one that is scored.
        scored = list(reversed(features))[: skips + 1]
        self.scores = nnx.List(
            nn.Conv(
                channels,
                num_classes,
                (1, 1),
                kernel_init=jax.nn.initializers.zeros if i else None,
                **kinds,
            )
            for i, channels in enumerate(scored)
        )
        factors = [2] * skips + [2 ** (len(features) - skips)]
        self.up = nnx.List(
            nn.ConvTranspose(
                num_classes,
                num_classes,
                (2 * factor, 2 * factor),
                strides=factor,
                use_bias=False,
                kernel_init=initializers.bilinear(),
                **kinds,
            )
            for factor in factors
        )
        self.output = "labels"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to logits `[batch, H, W, num_classes]`."""
        del key  # nothing is random here
        size = x.shape[1:3]
        grids = []
        for stage in self.stages:
            x = ops.max_pool(stage(x), (2, 2), padding="SAME")
            grids.append(x)
        wanted = [score(grid) for score, grid in zip(self.scores, reversed(grids))]
        y = wanted[0]
        for up, finer in zip(self.up, wanted[1:]):
            y = _cut(up(y), finer.shape[1:3]) + finer
        return _cut(self.up[-1](y), size)


def _cut(y: Array, size: tuple[int, ...]) -> Array:
    # Pooling rounds odd sizes up by a margin at the lower right; it goes off again.
    return y[:, : size[0], : size[1]]
