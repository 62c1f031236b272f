"""DnCNN: a deep residual denoiser that predicts the noise."""

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.nn import Conv


class DnCNN(nnx.Module):
    """x - R(x), R of `depth` 3 x 3 convolutions, ReLU and batch normalisation.

    The defaults are DnCNN-S for one level of noise, 17 layers of 64 features; the blind
    and the colour network of the paper have depth 20.

    Args:
      image_shape: (H, W, C); any other size is taken too.
      num_classes: ignored.
      depth: number of convolutions, at least 2.
      features: of the layers between.
      norm: batch normalisation after all convolutions but the first and the last.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: depth below 2.

    References:
      Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image
      denoising", 2017.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        depth: int = 17,
        features: int = 64,
        norm: bool = True,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        if depth < 2:
            raise ValueError(f"depth={depth}: must be >= 2")
        channels = image_shape[-1]
        he = jax.nn.initializers.he_normal()
        convs, norms = [], []
        for i in range(depth - 1):
            normed = norm and i > 0
            convs.append(
                Conv(
                    features if i else channels,
                    features,
                    (3, 3),
                    use_bias=not normed,  # the normalisation would take it out again
                    kernel_init=he,
                    dtype=dtype,
                    rngs=rngs,
                )
            )
            if normed:
                norms.append(
                    nnx.BatchNorm(features, momentum=0.9, dtype=dtype, rngs=rngs)
                )
        self.convs, self.norms = nnx.List(convs), nnx.List(norms)
        # Zero: the network starts as the identity.
        self.last = Conv(
            features,
            channels,
            (3, 3),
            kernel_init=jax.nn.initializers.zeros,
            dtype=dtype,
            rngs=rngs,
        )
        self.output = "image"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[B, H, W, C]` to the same shape."""
        del key  # nothing is random here
        y = jax.nn.relu(self.convs[0](x))
        for i, conv in enumerate(self.convs[1:]):
            y = conv(y)
            y = jax.nn.relu(self.norms[i](y) if len(self.norms) else y)
        return x - self.last(y)
