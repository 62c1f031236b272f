"""The network of the tutorial: convolution, transposed convolution, dense."""

import jax
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv import nn, ops


class ConvDeconvNet(nnx.Module):
    """conv 3x3 -> transposed conv 3x3, stride 2 -> dense, to classify or to regress.

    The convolution is VALID, as the tutorial prints it. The tutorial puts the dense
    layer on a 4-D array, which does not run; here the features are first averaged over
    a grid. For "classify" the grid has `pool` x `pool` cells and the dense layer sees
    them all. For "regress" the dense layer is applied to every pixel and the result is
    averaged to the size of the input image.

    Args:
      image_shape: (H, W, C); the network itself takes any size of at least 3.
      num_classes: outputs of the "classify" head.
      head: "classify" or "regress".
      features: channels of both hidden layers, 32 in the tutorial.
      kernel_size: window of both, 3 in the tutorial.
      deconv_kernel_size: another window for the transposed convolution.
      strides: of the transposed convolution, 2 in the tutorial.
      pool: cells of the grid per axis; 1 is a global average.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown head, or "classify" without num_classes.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        head: str = "classify",
        features: int = 32,
        kernel_size: int = 3,
        deconv_kernel_size: int | None = None,
        strides: int = 2,
        pool: int = 7,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        if head not in ("classify", "regress"):
            raise ValueError(f"head={head!r}: must be 'classify' or 'regress'")
        if head == "classify" and not num_classes:
            raise ValueError(
                "head='classify' needs num_classes, and the data set has no labels"
            )
        window = (kernel_size, kernel_size)
        channels = image_shape[-1]
        self.conv = nn.Conv(
            channels, features, window, padding="VALID", dtype=dtype, rngs=rngs
        )
        deconv_size = deconv_kernel_size or kernel_size
        self.deconv = nn.ConvTranspose(
            features,
            features,
            (deconv_size, deconv_size),
            strides,
            dtype=dtype,
            rngs=rngs,
        )
        inputs, outputs = features, channels
        if num_classes and head == "classify":
            inputs, outputs = features * pool * pool, num_classes
        self.dense = nnx.Linear(inputs, outputs, dtype=dtype, rngs=rngs)
        self.head = head
        self.pool = pool
        self.output = "logits" if head == "classify" else "image"

    def features(self, x: Array) -> Array:
        """`[batch, H, W, C]` to what the transposed convolution returns."""
        return jax.nn.relu(self.deconv(jax.nn.relu(self.conv(x))))

    def __call__(self, x: Array, *, key: Array | None = None) -> Array:
        """`[batch, H, W, C]` to `[batch, num_classes]` or `[batch, H, W, C]`."""
        del key  # nothing is random here
        y = self.features(x)
        if self.head == "classify":
            grid = ops.adaptive_avg_pool(y, (self.pool, self.pool))
            return self.dense(grid.reshape(grid.shape[0], -1))
        return ops.adaptive_avg_pool(self.dense(y), x.shape[1:3])
