"""The deconvolutional network proper: dense, reshape, transposed convolutions."""

import math
from collections.abc import Sequence

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn
from jdeconv.models.encoder import Sizes, batch_norms, stage_sizes

UPSAMPLE = ("conv_transpose", "resize", "subpixel")


def upsampling_layer(
    upsample: str,
    in_features: int,
    out_features: int,
    kernel_size: int,
    *,
    dtype: DTypeLike | None,
    rngs: nnx.Rngs,
    **options,
) -> nnx.Module:
    """A layer that doubles the grid; all are called `layer(x, output_size=)`.

    Args:
      upsample: "conv_transpose", "resize" or "subpixel".
      in_features, out_features, kernel_size, dtype, rngs: of the layer.
      **options: arguments that all three layers have, such as use_bias.

    Raises:
      ValueError: an unknown upsample.
    """
    layers = {
        "conv_transpose": nn.ConvTranspose,
        "resize": nn.ResizeConv,
        "subpixel": nn.SubPixelConv,
    }
    if upsample not in layers:
        raise ValueError(f"upsample={upsample!r}: must be one of {', '.join(UPSAMPLE)}")
    window = (kernel_size, kernel_size)
    return layers[upsample](
        in_features, out_features, window, 2, dtype=dtype, rngs=rngs, **options
    )


class Decoder(nnx.Module):
    """Latent vector (or small grid) to image: the mirror of `Encoder`.

    dense -> reshape -> one doubling layer with ReLU per entry of features -> conv. The
    sizes on the way are those of the encoder, so every image size is met exactly.

    Args:
      image_shape: (H, W, C) to make.
      features: channels after each doubling layer.
      kernel_size: window of all layers.
      upsample_kernel_size: window of the doubling layers; None: kernel_size.
      latent: size of the vector received; None receives a grid.
      grid_features: channels of the small grid; default features[0].
      upsample: "conv_transpose", "resize" or "subpixel".
      batch_norm: between each doubling layer, which then has no bias, and its ReLU.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown upsample.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        features: Sequence[int] = (32, 32),
        kernel_size: int = 3,
        upsample_kernel_size: int | None = None,
        latent: int | None = None,
        grid_features: int | None = None,
        upsample: str = "conv_transpose",
        batch_norm: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        height, width, channels = image_shape
        grid_features = grid_features or features[0]
        self.sizes = stage_sizes((height, width), len(features))
        self.grid = (*self.sizes[-1], grid_features)
        self.dense = nnx.data(None)
        if latent is not None:
            self.dense = nnx.Linear(
                latent, math.prod(self.grid), dtype=dtype, rngs=rngs
            )
        widths = (grid_features, *features)
        self.layers = nnx.List(
            upsampling_layer(
                upsample,
                before,
                after,
                upsample_kernel_size or kernel_size,
                use_bias=not batch_norm,
                dtype=dtype,
                rngs=rngs,
            )
            for before, after in zip(widths, features)
        )
        self.norms = batch_norms(features if batch_norm else (), dtype, rngs)
        self.conv = nn.Conv(
            features[-1],
            channels,
            (kernel_size, kernel_size),
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(self, z: Array, sizes: Sizes | None = None) -> Array:
        """Latent `[batch, latent]` or grid to image `[batch, H, W, C]`.

        Args:
          z: latent vectors, or grids when the decoder has no dense layer.
          sizes: spatial sizes from the image down to the grid (`encoder.stage_sizes`);
            default those of image_shape.
        """
        if self.dense is not None:
            z = jax.nn.relu(self.dense(z)).reshape(-1, *self.grid)
        sizes = sizes or self.sizes
        for i, (layer, size) in enumerate(zip(self.layers, reversed(sizes[:-1]))):
            z = layer(z, output_size=size)
            z = jax.nn.relu(self.norms[i](z) if self.norms else z)
        return self.conv(z)


class TiedDecoder(nnx.Module):
    """The adjoint of an encoder, layer by layer, by the encoder's own kernels.

    Each layer is the transpose of the encoder's, in reverse order, with a bias of its
    own; the parameters are used directly, as in a tied autoencoder.

    Args:
      encoder: an `Encoder` with downsample="stride".

    Raises:
      ValueError: an encoder that downsamples by pooling.
    """

    def __init__(self, encoder, *, grid: tuple[int, int, int]):
        if encoder.downsample != "stride":
            raise ValueError(
                f"tied=True needs downsample='stride', not {encoder.downsample!r}: "
                "the layer to transpose must itself change the size"
            )
        self.dense = encoder.dense
        self.layers = nnx.List(
            nn.TiedConvTranspose(conv) for conv in reversed(encoder.convs)
        )
        self.grid = grid

    def __call__(self, z: Array, sizes: Sizes) -> Array:
        """As `Decoder`; sizes are needed."""
        if self.dense is not None:
            z = jax.nn.relu(z @ self.dense.kernel[...].T.astype(z.dtype))
            z = z.reshape(-1, *self.grid)
        *hidden, last = self.layers
        *rest, size = reversed(sizes[:-1])
        for layer, n in zip(hidden, rest):
            z = jax.nn.relu(layer(z, output_size=n))
        return last(z, output_size=size)
