"""The autoencoder: an encoder, and the deconvolutional network as its decoder."""

from collections.abc import Sequence

from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.models.decoder import UPSAMPLE, Decoder, TiedDecoder
from jdeconv.models.encoder import Encoder, stage_sizes


class Autoencoder(nnx.Module):
    """Image to image through a small grid or a latent vector.

    The defaults are the network of Keras' "Convolutional autoencoder for image
    denoising": 28,353 parameters on 28x28x1.

    Args:
      image_shape: (H, W, C). Without a latent vector any other size is taken too.
      num_classes: ignored; labels are not used.
      features: channels of the encoder's stages; the decoder has them in reverse.
      kernel_size: window of all layers.
      upsample_kernel_size: window of the layers that upsample; None: kernel_size.
      latent: size of the latent vector; None keeps the grid.
      downsample: "max_pool" or "stride".
      upsample: "conv_transpose", "resize" or "subpixel".
      tied: the decoder is the encoder's adjoint and uses its kernels; needs
        downsample="stride" and upsample="conv_transpose".
      residual: the network's output is added to its input, for restoration.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: unknown or contradicting options.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        features: Sequence[int] = (32, 32),
        kernel_size: int = 3,
        upsample_kernel_size: int | None = None,
        latent: int | None = None,
        downsample: str = "max_pool",
        upsample: str = "conv_transpose",
        tied: bool = False,
        residual: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        if upsample not in UPSAMPLE:
            raise ValueError(
                f"upsample={upsample!r}: must be one of {', '.join(UPSAMPLE)}"
            )
        self.encoder = Encoder(
            image_shape,
            features=features,
            kernel_size=kernel_size,
            downsample=downsample,
            latent=latent,
            dtype=dtype,
            rngs=rngs,
        )
        self.decoder: Decoder | TiedDecoder
        if tied:
            if upsample != "conv_transpose":
                raise ValueError(
                    f"tied=True with upsample={upsample!r}: must be 'conv_transpose'"
                )
            if upsample_kernel_size not in (None, kernel_size):
                raise ValueError(
                    f"tied=True with upsample_kernel_size={upsample_kernel_size}: the "
                    f"decoder has the encoder's kernels, of {kernel_size}"
                )
            sizes = stage_sizes(image_shape[:2], len(features))
            self.decoder = TiedDecoder(self.encoder, grid=(*sizes[-1], features[-1]))
        else:
            self.decoder = Decoder(
                image_shape,
                features=tuple(reversed(features)),
                kernel_size=kernel_size,
                upsample_kernel_size=upsample_kernel_size,
                latent=latent,
                upsample=upsample,
                dtype=dtype,
                rngs=rngs,
            )
        self.image_size = tuple(image_shape[:2])
        self.stages = len(features)
        self.latent = latent
        self.residual = residual
        self.output = "image"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to the same shape.

        Raises:
          ValueError: another image size than image_shape's, with a latent vector.
        """
        del key  # nothing is random here
        size = (x.shape[1], x.shape[2])
        if self.latent is not None and size != self.image_size:
            raise ValueError(
                f"x has size {size}: an autoencoder with a latent vector takes the "
                f"size it was made for, {self.image_size}"
            )
        y = self.decoder(self.encoder(x), stage_sizes(size, self.stages))
        return x + y if self.residual else y
