"""The VAE-GAN: a variational autoencoder whose decoder is a GAN's generator."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.models.dcgan import DCGAN
from jdeconv.models.encoder import Encoder
from jdeconv.models.vae import reparameterize


class VAEGAN(DCGAN):
    """An encoder beside a DCGAN's generator and discriminator.

    The generator decodes what the encoder makes of an image, and the discriminator's
    last hidden layer says how like the image the result is.

    Args:
      image_shape: (H, W, C) of the images, any size from 7 x 7.
      num_classes: of a labelled data set; ignored.
      latent: size of z.
      encoder_features: channels of the encoder's strided convolutions.
      width, discriminator_width, kernel_size, upsample, norm: see `DCGAN`.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown option.

    References:
      Larsen, Sonderby, Larochelle and Winther, "Autoencoding beyond pixels using a
      learned similarity metric", 2016.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        latent: int = 64,
        encoder_features: Sequence[int] = (32, 64, 128),
        width: int = 64,
        discriminator_width: int | None = None,
        kernel_size: int = 4,
        upsample: str = "conv_transpose",
        norm: str = "batch",
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        super().__init__(
            image_shape,
            latent=latent,
            width=width,
            discriminator_width=discriminator_width,
            kernel_size=kernel_size,
            upsample=upsample,
            norm=norm,
            dtype=dtype,
            rngs=rngs,
        )
        self.encoder = Encoder(
            image_shape,
            features=encoder_features,
            kernel_size=5,
            downsample="stride",
            latent=2 * latent,
            batch_norm=True,
            dtype=dtype,
            rngs=rngs,
        )
        self.image_size = tuple(image_shape[:2])

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Images `[B, H, W, C]` to mean and log-variance, both `[B, latent]`.

        Raises:
          ValueError: another image size than image_shape's.
        """
        if x.shape[1:3] != self.image_size:
            raise ValueError(
                f"x has size {x.shape[1:3]}: a VAE-GAN takes the size it was made for, "
                f"{self.image_size}"
            )
        mean, log_var = jnp.split(self.encoder(x), 2, -1)
        return mean, log_var

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:  # type: ignore[override]
        """The images' reconstructions, `[B, H, W, C]` in -1 .. 1.

        Args:
          x: images `[B, H, W, C]` in -1 .. 1.
          key: `[B]` keys: z is drawn from q(z|x); None: z is its mean.
        """
        mean, log_var = self.encode(x)
        if key is None:
            return self.generator(mean)
        return self.generator(reparameterize(mean, log_var, key))
