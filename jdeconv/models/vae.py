"""The variational autoencoder: an encoder to a Gaussian, a decoder from its draws."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.models.decoder import Decoder
from jdeconv.models.encoder import Encoder


class VAE(nnx.Module):
    """q(z|x) = N(mean(x), diag exp(log_var(x))) and p(x|z) = Bernoulli(decode(z)).

    Convolutions and a dense layer lead to the two vectors of the Gaussian; a dense
    layer and transposed convolutions lead from a latent vector to the image's logits.

    With features=(32, 64), hidden=16, latent=2 and decoder_hidden=None this is the
    network of Keras' "Variational AutoEncoder", 134,165 parameters on 28x28x1. (Its
    last layer is a transposed convolution of stride 1: a convolution with the kernel
    turned.)

    Args:
      image_shape: (H, W, C).
      num_classes: ignored; labels are not used.
      features: channels of the encoder's stages.
      decoder_features: channels after each of the decoder's doubling layers; default
        those of the encoder in reverse.
      kernel_size: window of all layers.
      hidden: size of the encoder's dense layer.
      latent: size of z.
      decoder_hidden: size of a dense layer between z and the decoder's; None: none.
      downsample: "stride" or "max_pool".
      upsample: "conv_transpose", "resize" or "subpixel".
      batch_norm: after every convolution and doubling layer but the last.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: unknown options, a size below 1, or unequal numbers of stages.

    References:
      Kingma and Welling, "Auto-Encoding Variational Bayes", 2014.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        features: Sequence[int] = (32, 64),
        decoder_features: Sequence[int] | None = None,
        kernel_size: int = 3,
        hidden: int = 256,
        latent: int = 32,
        decoder_hidden: int | None = 256,
        downsample: str = "stride",
        upsample: str = "conv_transpose",
        batch_norm: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        if min(hidden, latent) < 1:
            raise ValueError(f"hidden={hidden}, latent={latent}: must be >= 1")
        widths = tuple(decoder_features or reversed(features))
        if len(widths) != len(features):
            raise ValueError(
                f"decoder_features={widths}: must be as many as features, "
                f"{len(features)}"
            )
        self.encoder = Encoder(
            image_shape,
            features=features,
            kernel_size=kernel_size,
            downsample=downsample,
            latent=hidden,
            batch_norm=batch_norm,
            dtype=dtype,
            rngs=rngs,
        )
        self.moments = nnx.Linear(hidden, 2 * latent, dtype=dtype, rngs=rngs)
        self.dense = nnx.data(None)
        if decoder_hidden is not None:
            self.dense = nnx.Linear(latent, decoder_hidden, dtype=dtype, rngs=rngs)
        self.decoder = Decoder(
            image_shape,
            features=widths,
            kernel_size=kernel_size,
            latent=decoder_hidden or latent,
            grid_features=features[-1],
            upsample=upsample,
            batch_norm=batch_norm,
            dtype=dtype,
            rngs=rngs,
        )
        self.image_size = tuple(image_shape[:2])
        self.latent = latent
        self.output = "image"

    def encode(self, x: Array) -> tuple[Array, Array]:
        """Images `[batch, H, W, C]` to mean and log-variance, both `[batch, latent]`.

        Raises:
          ValueError: another image size than image_shape's.
        """
        size = (x.shape[1], x.shape[2])
        if size != self.image_size:
            raise ValueError(
                f"x has size {size}: a VAE takes the size it was made for, "
                f"{self.image_size}"
            )
        mean, log_var = jnp.split(self.moments(jax.nn.relu(self.encoder(x))), 2, -1)
        return mean, log_var

    def decode(self, z: Array) -> Array:
        """Latent vectors `[batch, latent]` to logits `[batch, H, W, C]`."""
        if self.dense is not None:
            z = jax.nn.relu(self.dense(z))
        return self.decoder(z)

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """The logits of decode(z), `[batch, H, W, C]`.

        Args:
          x: images `[batch, H, W, C]`.
          key: `[batch]` keys: z is drawn from q(z|x); None: z is its mean.
        """
        mean, log_var = self.encode(x)
        if key is None:
            return self.decode(mean)
        return self.decode(reparameterize(mean, log_var, key))


def reparameterize(mean: Array, log_var: Array, key: Array) -> Array:
    """z = mean + exp(log_var / 2) eps, eps ~ N(0, 1): a draw that has a gradient.

    Args:
      mean, log_var: `[B, latent]`.
      key: `[B]` typed keys, one per row.

    References:
      Kingma and Welling, 2014, equation 10.
    """
    eps = jax.vmap(lambda k: jax.random.normal(k, mean.shape[1:], mean.dtype))(key)
    return mean + jnp.exp(0.5 * log_var) * eps
