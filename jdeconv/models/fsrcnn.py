"""FSRCNN: super-resolution on the small grid, then one transposed convolution."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.nn import Conv, ConvTranspose, PReLU


class FSRCNN(nnx.Module):
    """FSRCNN(d, s, m): image `[B, H, W, C]` to `[B, scale H, scale W, C]`.

    A 5 x 5 conv to d features, 1 x 1 to s, m of 3 x 3, 1 x 1 back to d, each with a
    PReLU, and a 9 x 9 transposed convolution of stride `scale`. The defaults have the
    12,464 weights of the paper's table for one channel (biases and slopes apart).

    Args:
      image_shape: (H, W, C); any other size is taken too.
      num_classes: ignored.
      scale: how much larger the result is.
      features: d, of the first and the last layer.
      shrunk: s, of those between.
      depth: m, the number of 3 x 3 layers.
      padding: of the convolutions, as in `ops.conv`, one that keeps the size. With
        "EDGE", which repeats the outermost pixels as the authors' program does, the
        last layer sees an image enlarged so, too.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: scale is no int from 1 to 9, the window.

    References:
      Dong, Loy and Tang, "Accelerating the super-resolution convolutional neural
      network", 2016.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        scale: int = 3,
        features: int = 56,
        shrunk: int = 12,
        depth: int = 4,
        padding: str = "SAME",
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        del num_classes
        if not (isinstance(scale, int) and 1 <= scale <= 9):
            raise ValueError(f"scale={scale!r}: must be an int from 1 to 9")
        channels = image_shape[-1]
        windows = [5, 1, *[3] * depth, 1]
        widths = [channels, features, *[shrunk] * (depth + 1), features]
        he = jax.nn.initializers.he_normal()
        layers: list[nnx.Module] = []
        for window, width, after in zip(windows, widths, widths[1:]):
            shape = (window, window)
            conv = Conv(
                width,
                after,
                shape,
                padding=padding,
                kernel_init=he,
                dtype=dtype,
                rngs=rngs,
            )
            layers += [conv, PReLU(after)]
        self.layers = nnx.List(layers)
        self.enlarge = ConvTranspose(
            features,
            channels,
            (9, 9),
            strides=scale,
            # The paper's: the image is dark at first, and no pattern is in it.
            kernel_init=jax.nn.initializers.normal(1e-3),
            dtype=dtype,
            rngs=rngs,
        )
        # Small pixels around the image whose enlargement reaches into it.
        self.margin = -(-4 // scale) if padding == "EDGE" else 0
        self.scale = scale
        self.output = "image"

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[B, H, W, C]` to `[B, scale H, scale W, C]`."""
        del key  # nothing is random here
        for layer in self.layers:
            x = layer(x)
        if not self.margin:
            return self.enlarge(x)
        n = self.margin
        x = jnp.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode="edge")
        cut = n * self.scale
        return self.enlarge(x)[:, cut:-cut, cut:-cut]
