"""ESPCN: super-resolution on the small grid, enlarged by rearranging channels."""

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.nn import Conv, SubPixelConv


class ESPCN(nnx.Module):
    """Image `[B, H, W, C]` to `[B, scale H, scale W, C]`: 5-64, 3-32 and 3-C scale^2.

    The hidden layers end in tanh, as in the paper; the sub-pixel convolution starts
    from ICNR, so that no checkerboard is there at first.

    Args:
      image_shape: (H, W, C); any other size is taken too.
      num_classes: ignored.
      scale: how much larger the result is.
      features: of the two hidden layers.
      padding: of all layers, as in `ops.conv`, one that keeps the size. "EDGE" repeats
        the outermost pixels, and leaves less to learn about borders than zeros do.
      dtype: type to compute in.
      rngs: NNX random streams.

    References:
      Shi et al., "Real-time single image and video super-resolution using an efficient
      sub-pixel convolutional neural network", 2016, equations 1 to 4.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        scale: int = 3,
        features: tuple[int, int] = (64, 32),
        padding: str = "SAME",
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        channels = image_shape[-1]
        first, second = features
        self.first = Conv(
            channels, first, (5, 5), padding=padding, dtype=dtype, rngs=rngs
        )
        self.second = Conv(
            first, second, (3, 3), padding=padding, dtype=dtype, rngs=rngs
        )
        self.enlarge = SubPixelConv(
            second,
            channels,
            (3, 3),
            (scale, scale),
            padding=padding,
            dtype=dtype,
            rngs=rngs,
        )
        self.scale = scale
        self.output = "image"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[B, H, W, C]` to `[B, scale H, scale W, C]`."""
        del key  # nothing is random here
        x = jax.nn.tanh(self.first(x))
        return self.enlarge(jax.nn.tanh(self.second(x)))
