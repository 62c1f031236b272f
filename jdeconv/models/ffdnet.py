"""FFDNet: a fast denoiser that is told how strong the noise is."""

import itertools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import ArrayLike, DTypeLike

from jdeconv.nn import Conv
from jdeconv.ops import depth_to_space, space_to_depth
from jdeconv.restore import noise


class FFDNet(nnx.Module):
    """Denoises on a grid of half the resolution, with a map of the noise level.

    The image's 2 x 2 pixels become channels, the standard deviation of the noise is
    appended as one more, and `depth` 3 x 3 convolutions with ReLU lead to the 2 x 2
    pixels of the result. The defaults are the grey network of the paper, 15 layers of
    64 features; the colour network has depth 12 and 96 features. Two things differ:
    there is no batch normalisation, which the paper merges into the convolutions in
    the end, and with `residual` the layers give what is to be subtracted, so that a
    short training goes a longer way.

    Args:
      image_shape: (H, W, C); any other size is taken too, odd ones are extended.
      num_classes: ignored.
      depth: number of convolutions, at least 2.
      features: of the layers between.
      residual: whether the layers predict the noise rather than the image.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: depth below 2.

    References:
      Zhang, Zuo and Zhang, "FFDNet: toward a fast and flexible solution for CNN-based
      image denoising", 2018.
    """

    condition = "noise_std"

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        depth: int = 15,
        features: int = 64,
        residual: bool = True,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        if depth < 2:
            raise ValueError(f"depth={depth}: must be >= 2")
        channels = image_shape[-1]
        he = jax.nn.initializers.he_normal()
        widths = [4 * channels + 1, *[features] * (depth - 1)]
        self.convs = nnx.List(
            Conv(a, b, (3, 3), kernel_init=he, dtype=dtype, rngs=rngs)
            for a, b in itertools.pairwise(widths)
        )
        # Zero: the residual network starts as the identity.
        last_init = jax.nn.initializers.zeros if residual else he
        self.last = Conv(
            features,
            4 * channels,
            (3, 3),
            kernel_init=last_init,
            dtype=dtype,
            rngs=rngs,
        )
        self.residual = residual
        self.output = "image"

    def __call__(
        self,
        x: Array,
        *,
        noise_std: ArrayLike | None = None,
        key: Array | None = None,
    ) -> Array:
        """The denoised images.

        Args:
          x: `[B, H, W, C]`.
          noise_std: standard deviation of the noise in x's units, a number, one per
            image `[B]`, or a map `[B, H, W]`; None: estimated from each image
            (`restore.noise.estimate_std`, the mean over the channels).
          key: ignored; nothing is random here.

        Returns:
          Like x.
        """
        del key
        batch, height, width, _ = x.shape
        if noise_std is None:
            found = noise.estimate_std(jnp.moveaxis(x, -1, 1).astype(jnp.float32))
            noise_std = jnp.mean(found, axis=-1)
        std = jnp.asarray(noise_std, x.dtype)
        std = jnp.broadcast_to(
            std.reshape(std.shape + (1,) * (3 - std.ndim)) if std.ndim else std,
            (batch, height, width),
        )
        odd = ((0, 0), (0, height % 2), (0, width % 2))
        even = jnp.pad(x, (*odd, (0, 0)), "edge")
        level = jnp.pad(std, odd, "edge")[:, ::2, ::2, None]
        y = jnp.concatenate([space_to_depth(even, 2), level], axis=-1)
        for conv in self.convs:
            y = jax.nn.relu(conv(y))
        y = depth_to_space(self.last(y), 2)[:, :height, :width]
        return x - y if self.residual else y
