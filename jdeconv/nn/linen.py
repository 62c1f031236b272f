"""The layers as Flax Linen modules: features first, in_features from the input.

They call the same ops with the same defaults and name their parameters "kernel" and
"bias", with the shapes of the NNX layers.
"""

import math

import flax.linen as linen
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from jdeconv import ops
from jdeconv.nn import initializers
from jdeconv.nn.initializers import Initializer
from jdeconv.nn.layers import cast, check_features, window_of
from jdeconv.nn.upsample import crop, target_size
from jdeconv.ops.geometry import IntOrInts, Padding, per_axis


def _bias(module: linen.Module, features: int) -> Array | None:
    if not module.use_bias:
        return None
    return module.param("bias", module.bias_init, (features,), module.param_dtype)


class Conv(linen.Module):
    """Convolution layer, `jdeconv.nn.Conv` for Linen; same arguments.

    >>> layer = Conv(8, (3, 3), strides=2)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((1, 28, 28, 1)))[0].shape
    (1, 14, 14, 8)
    """

    features: int
    kernel_size: IntOrInts
    strides: IntOrInts = 1
    padding: Padding = "SAME"
    kernel_dilation: IntOrInts = 1
    feature_group_count: int = 1
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: lax.PrecisionLike = None
    kernel_init: Initializer = initializers.conv_variance_scaling()
    bias_init: Initializer = jax.nn.initializers.zeros

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """`[*batch, *spatial, in]` to `[*batch, *spatial, features]`."""
        groups = self.feature_group_count
        check_features(
            "linen.Conv", groups, features=self.features, in_features=x.shape[-1]
        )
        shape = (*window_of(self.kernel_size), x.shape[-1] // groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        x, kernel, bias = cast(self.dtype, x, kernel, _bias(self, self.features))
        y = ops.conv(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=groups,
            precision=self.precision,
        )
        return y if bias is None else y + bias


class ConvTranspose(linen.Module):
    """Transposed convolution layer, `jdeconv.nn.ConvTranspose` for Linen.

    >>> layer = ConvTranspose(1, (3, 3), strides=2)
    >>> layer.init_with_output(jax.random.key(0), jnp.ones((1, 14, 14, 8)))[0].shape
    (1, 28, 28, 1)
    """

    features: int
    kernel_size: IntOrInts
    strides: IntOrInts = 1
    padding: Padding = "SAME"
    kernel_dilation: IntOrInts = 1
    feature_group_count: int = 1
    use_bias: bool = True
    algorithm: str = "auto"
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: lax.PrecisionLike = None
    kernel_init: Initializer | None = None
    bias_init: Initializer = jax.nn.initializers.zeros

    @linen.compact
    def __call__(self, y: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, in]` to `[*batch, *spatial, features]`."""
        groups = self.feature_group_count
        check_features(
            "linen.ConvTranspose",
            groups,
            features=self.features,
            in_features=y.shape[-1],
        )
        kernel_init = self.kernel_init or initializers.conv_transpose_variance_scaling(
            strides=self.strides,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=groups,
        )
        shape = (*window_of(self.kernel_size), self.features // groups, y.shape[-1])
        kernel = self.param("kernel", kernel_init, shape, self.param_dtype)
        y, kernel, bias = cast(self.dtype, y, kernel, _bias(self, self.features))
        x = ops.conv_transpose(
            y,
            kernel,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=groups,
            output_size=output_size,
            algorithm=self.algorithm,
            precision=self.precision,
        )
        return x if bias is None else x + bias


class TiedConvTranspose(linen.Module):
    """The adjoint of a given `Conv` by its very kernel: pass the conv when calling.

    The conv has to be bound and to have its parameters, which is so in a parent's
    `setup` or `compact` method after the conv was called.
    """

    use_bias: bool = True
    algorithm: str = "auto"
    param_dtype: DTypeLike = jnp.float32
    bias_init: Initializer = jax.nn.initializers.zeros

    @linen.compact
    def __call__(
        self, y: Array, conv: Conv, output_size: IntOrInts | None = None
    ) -> Array:
        """`[*batch, *spatial, conv.features]` to `[*batch, *spatial, conv's in]`."""
        kernel: Array | None = conv.get_variable("params", "kernel")
        if kernel is None:
            raise ValueError(
                "conv has no kernel yet: call it before the layer tied to it"
            )
        features = kernel.shape[-2] * conv.feature_group_count
        y, kernel, bias = cast(conv.dtype, y, kernel, _bias(self, features))
        x = ops.conv_transpose(
            y,
            kernel,
            strides=conv.strides,
            padding=conv.padding,
            kernel_dilation=conv.kernel_dilation,
            feature_group_count=conv.feature_group_count,
            output_size=output_size,
            algorithm=self.algorithm,
            precision=conv.precision,
        )
        return x if bias is None else x + bias


class SubPixelConv(linen.Module):
    """Sub-pixel convolution, `jdeconv.nn.SubPixelConv` for Linen."""

    features: int
    kernel_size: IntOrInts
    upscale: IntOrInts = 2
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    kernel_init: Initializer | None = None

    @linen.compact
    def __call__(self, x: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, in]` to `[*batch, *(spatial * upscale), features]`."""
        axes = len(window_of(self.kernel_size))
        upscale = per_axis(self.upscale, axes, "upscale", 1)
        target = target_size(x, upscale, output_size)
        x = Conv(
            self.features * math.prod(upscale),
            self.kernel_size,
            padding=self.padding,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=self.kernel_init or initializers.icnr(upscale),
            name="conv",
        )(x)
        return crop(ops.depth_to_space(x, upscale), target)


class ResizeConv(linen.Module):
    """Interpolation, then a conv, `jdeconv.nn.ResizeConv` for Linen."""

    features: int
    kernel_size: IntOrInts
    upscale: IntOrInts = 2
    method: str = "nearest"
    padding: Padding = "SAME"
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @linen.compact
    def __call__(self, x: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, in]` to `[*batch, *(spatial * upscale), features]`."""
        axes = len(window_of(self.kernel_size))
        upscale = per_axis(self.upscale, axes, "upscale", 1)
        x = ops.resize(x, target_size(x, upscale, output_size), method=self.method)
        return Conv(
            self.features,
            self.kernel_size,
            padding=self.padding,
            use_bias=self.use_bias,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )(x)
