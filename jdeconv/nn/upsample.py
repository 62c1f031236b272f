"""Upsampling layers that stand where a strided transposed convolution could.

Odena, Dumoulin and Olah, "Deconvolution and checkerboard artifacts" (2016) compare
them. All take `layer(x, output_size=None)` as `ConvTranspose` does, and return
`size * upscale` by default.
"""

import math

from flax import nnx
from jax import Array, lax

from jdeconv import ops
from jdeconv.nn import initializers
from jdeconv.nn.initializers import Initializer
from jdeconv.nn.layers import Conv, window_of
from jdeconv.ops.geometry import IntOrInts, per_axis


def target_size(
    x: Array, upscale: tuple[int, ...], output_size: IntOrInts | None
) -> tuple[int, ...]:
    """The size to return: any that a stride-`upscale` SAME conv takes back to x's."""
    sizes = x.shape[-1 - len(upscale) : -1]
    if output_size is None:
        return tuple(n * u for n, u in zip(sizes, upscale))
    wanted = per_axis(output_size, len(upscale), "output_size", 1)
    for i, (w, n, u) in enumerate(zip(wanted, sizes, upscale)):
        if not (n - 1) * u < w <= n * u:
            raise ValueError(
                f"output_size={output_size!r}: spatial axis {i} of size {n} upscaled "
                f"by {u} can return {(n - 1) * u + 1} to {n * u}"
            )
    return wanted


def crop(x: Array, sizes: tuple[int, ...]) -> Array:
    """The first `sizes` entries of the spatial axes of `[*batch, *spatial, c]`."""
    limits = x.shape[: x.ndim - len(sizes) - 1] + sizes + x.shape[-1:]
    return lax.slice(x, (0,) * x.ndim, limits)


class SubPixelConv(nnx.Module):
    """Sub-pixel convolution: a conv to upscale^d times the channels, then rearranged.

    Args:
      in_features, out_features: channels received and returned.
      kernel_size: window of the conv, on the small grid.
      upscale: factor, an int or one per spatial axis.
      padding: as in `ops.conv`, one that keeps the size ("SAME", "REFLECT", ...).
      kernel_init: default ICNR, so that no checkerboard is there at the start.
      rngs: NNX random streams.
      **options: the other arguments of `Conv` (use_bias, dtype, ...).

    References:
      Shi et al., "Real-time single image and video super-resolution using an efficient
      sub-pixel convolutional neural network", 2016.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: IntOrInts,
        upscale: IntOrInts = 2,
        *,
        padding: str = "SAME",
        kernel_init: Initializer | None = None,
        rngs: nnx.Rngs,
        **options,
    ):
        axes = len(window_of(kernel_size))
        self.upscale = per_axis(upscale, axes, "upscale", 1)
        self.conv = Conv(
            in_features,
            out_features * math.prod(self.upscale),
            kernel_size,
            padding=padding,
            kernel_init=kernel_init or initializers.icnr(self.upscale),
            rngs=rngs,
            **options,
        )

    def __call__(self, x: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, in]` to `[*batch, *(spatial * upscale), out]`.

        Args:
          x: the input.
          output_size: a smaller size, cropped at the end, as a strided conv's
            remainder would be; above (size - 1) * upscale.
        """
        target = target_size(x, self.upscale, output_size)
        return crop(ops.depth_to_space(self.conv(x), self.upscale), target)


class ResizeConv(nnx.Module):
    """Interpolation to the large grid, then a conv: free of checkerboards by design.

    Args:
      in_features, out_features: channels received and returned.
      kernel_size: window of the conv, on the large grid.
      upscale: factor, an int or one per spatial axis.
      method: interpolation of `ops.resize`; "nearest" or "linear".
      padding: as in `ops.conv`, one that keeps the size ("SAME", "REFLECT", ...).
      rngs: NNX random streams.
      **options: the other arguments of `Conv` (use_bias, dtype, ...).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: IntOrInts,
        upscale: IntOrInts = 2,
        *,
        method: str = "nearest",
        padding: str = "SAME",
        rngs: nnx.Rngs,
        **options,
    ):
        axes = len(window_of(kernel_size))
        self.upscale = per_axis(upscale, axes, "upscale", 1)
        self.method = method
        self.conv = Conv(
            in_features,
            out_features,
            kernel_size,
            padding=padding,
            rngs=rngs,
            **options,
        )

    def __call__(self, x: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, in]` to `[*batch, *(spatial * upscale), out]`.

        Args:
          x: the input.
          output_size: the size to interpolate to, above (size - 1) * upscale.
        """
        target = target_size(x, self.upscale, output_size)
        return self.conv(ops.resize(x, target, method=self.method))
