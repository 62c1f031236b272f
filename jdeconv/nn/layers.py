"""Convolution and transposed convolution as Flax NNX modules."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array, lax
from jax.typing import DTypeLike

from jdeconv import ops
from jdeconv.nn import initializers
from jdeconv.nn.initializers import Initializer
from jdeconv.ops.geometry import IntOrInts, Padding, per_axis

# Arguments of flax.nnx that are not ours, and what to use.
_ELSEWHERE = {
    "input_dilation": "use nn.ConvTranspose with strides= for a dilated input",
    "mask": "multiply the kernel in your own module and call jdeconv.ops",
    "conv_general_dilated": "call jdeconv.ops in your own module",
    "promote_dtype": "give dtype=, the type to compute in",
    "preferred_element_type": "16-bit types accumulate in float32 already; "
    "call jdeconv.ops for another result type",
    "transpose_kernel": "the kernel is always that of the transposed conv, as with "
    "transpose_kernel=True in flax",
    "kernel_metadata": "set metadata on layer.kernel after construction",
    "bias_metadata": "set metadata on layer.bias after construction",
    "output_padding": "give output_size= when calling the layer",
}


def refuse(layer: str, arguments: dict) -> None:
    """Raises TypeError for an argument that the layer does not have."""
    for name in arguments:
        hint = _ELSEWHERE.get(name, "see the signature of the layer")
        raise TypeError(f"nn.{layer} has no argument {name!r}: {hint}")


def window_of(kernel_size: IntOrInts) -> tuple[int, ...]:
    """One entry per spatial axis; an int is one axis, as in flax."""
    axes = len(kernel_size) if isinstance(kernel_size, Sequence) else 1
    return per_axis(kernel_size, axes, "kernel_size", 1)


def check_features(layer: str, groups: int, **features: int) -> None:
    """Raises ValueError unless all features are positive multiples of the groups."""
    for name, value in features.items():
        if not isinstance(value, int) or value < 1 or value % groups:
            raise ValueError(
                f"nn.{layer}: {name}={value!r} must be a positive multiple of "
                f"feature_group_count={groups}"
            )


def cast(dtype: DTypeLike | None, *arrays: Array | None) -> tuple:
    """Arrays in the type to compute in: dtype, or the one they promote to."""
    if dtype is None:
        dtype = jnp.result_type(*(a for a in arrays if a is not None))
    return tuple(None if a is None else a.astype(dtype) for a in arrays)


class Conv(nnx.Module):
    """Convolution layer: `ops.conv(x, kernel) + bias`.

    Args:
      in_features, out_features: channels received and returned.
      kernel_size: the window, one int per spatial axis; an int is a 1-D layer.
      strides, padding, kernel_dilation, feature_group_count: as in `ops.conv`.
      use_bias: whether to add a bias per output channel.
      dtype: type to compute in; None: what x and the parameters promote to.
      param_dtype: type of the parameters.
      precision: as in `jax.lax.conv_general_dilated`.
      kernel_init, bias_init: initialisers init(key, shape, dtype).
      rngs: NNX random streams; "params" is used.

    Attributes:
      kernel: `[*window, in_features / groups, out_features]`.
      bias: `[out_features]` or None.

    Raises:
      ValueError, TypeError: features that do not fit the groups, an unknown argument.

    >>> layer = Conv(1, 8, (3, 3), strides=2, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((1, 28, 28, 1))).shape
    (1, 14, 14, 8)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: IntOrInts,
        strides: IntOrInts = 1,
        *,
        padding: Padding = "SAME",
        kernel_dilation: IntOrInts = 1,
        feature_group_count: int = 1,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        precision: lax.PrecisionLike = None,
        kernel_init: Initializer | None = None,
        bias_init: Initializer = jax.nn.initializers.zeros,
        rngs: nnx.Rngs,
        **unknown,
    ):
        refuse("Conv", unknown)
        window = window_of(kernel_size)
        check_features(
            "Conv",
            feature_group_count,
            in_features=in_features,
            out_features=out_features,
        )
        kernel_init = kernel_init or initializers.conv_variance_scaling()
        shape = (*window, in_features // feature_group_count, out_features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, param_dtype))
        self.bias = nnx.data(None)
        if use_bias:
            bias = bias_init(rngs.params(), (out_features,), param_dtype)
            self.bias = nnx.Param(bias)
        self.in_features = in_features
        self.out_features = out_features
        self.kernel_size = window
        self.strides = strides
        self.padding = padding
        self.kernel_dilation = kernel_dilation
        self.feature_group_count = feature_group_count
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision

    @property
    def geometry(self) -> dict:
        """The arguments of `ops.conv`, shared by the layer tied to this one."""
        return {
            "strides": self.strides,
            "padding": self.padding,
            "kernel_dilation": self.kernel_dilation,
            "feature_group_count": self.feature_group_count,
            "precision": self.precision,
        }

    def __call__(self, x: Array) -> Array:
        """`[*batch, *spatial, in_features]` to `[*batch, *spatial, out_features]`."""
        bias = None if self.bias is None else self.bias[...]
        x, kernel, bias = cast(self.dtype, x, self.kernel[...], bias)
        y = ops.conv(x, kernel, **self.geometry)
        return y if bias is None else y + bias


class ConvTranspose(nnx.Module):
    """Transposed convolution layer: `ops.conv_transpose(y, kernel) + bias`.

    It is the adjoint of a conv that takes out_features to in_features, and its kernel
    is the kernel of that conv (flax.nnx.ConvTranspose with transpose_kernel=True holds
    the same array).

    Args:
      in_features, out_features: channels received and returned.
      kernel_size, use_bias, dtype, param_dtype, rngs: as in `Conv`.
      strides, padding, kernel_dilation, feature_group_count, algorithm, precision: as
        in `ops.conv_transpose`; padding is that of the forward conv.
      kernel_init: default `initializers.conv_transpose_variance_scaling` for these
        strides, dilation and groups: output of variance 1, no checkerboard.
      bias_init: initialiser of the bias.

    Attributes:
      kernel: `[*window, out_features / groups, in_features]`.
      bias: `[out_features]` or None.

    Raises:
      ValueError, TypeError: features that do not fit the groups, an unknown argument.

    >>> layer = ConvTranspose(8, 1, (3, 3), strides=2, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((1, 14, 14, 8))).shape
    (1, 28, 28, 1)
    >>> layer(jnp.ones((1, 14, 14, 8)), output_size=27).shape
    (1, 27, 27, 1)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: IntOrInts,
        strides: IntOrInts = 1,
        *,
        padding: Padding = "SAME",
        kernel_dilation: IntOrInts = 1,
        feature_group_count: int = 1,
        use_bias: bool = True,
        algorithm: str = "auto",
        dtype: DTypeLike | None = None,
        param_dtype: DTypeLike = jnp.float32,
        precision: lax.PrecisionLike = None,
        kernel_init: Initializer | None = None,
        bias_init: Initializer = jax.nn.initializers.zeros,
        rngs: nnx.Rngs,
        **unknown,
    ):
        refuse("ConvTranspose", unknown)
        window = window_of(kernel_size)
        check_features(
            "ConvTranspose",
            feature_group_count,
            in_features=in_features,
            out_features=out_features,
        )
        kernel_init = kernel_init or initializers.conv_transpose_variance_scaling(
            strides=strides,
            kernel_dilation=kernel_dilation,
            feature_group_count=feature_group_count,
        )
        shape = (*window, out_features // feature_group_count, in_features)
        self.kernel = nnx.Param(kernel_init(rngs.params(), shape, param_dtype))
        self.bias = nnx.data(None)
        if use_bias:
            bias = bias_init(rngs.params(), (out_features,), param_dtype)
            self.bias = nnx.Param(bias)
        self.in_features = in_features
        self.out_features = out_features
        self.kernel_size = window
        self.strides = strides
        self.padding = padding
        self.kernel_dilation = kernel_dilation
        self.feature_group_count = feature_group_count
        self.algorithm = algorithm
        self.dtype = dtype
        self.param_dtype = param_dtype
        self.precision = precision

    def __call__(self, y: Array, output_size: IntOrInts | None = None) -> Array:
        """`[*batch, *spatial, in_features]` to `[*batch, *spatial, out_features]`.

        Args:
          y: the input.
          output_size: spatial size wanted, as in `ops.conv_transpose`.
        """
        bias = None if self.bias is None else self.bias[...]
        y, kernel, bias = cast(self.dtype, y, self.kernel[...], bias)
        x = ops.conv_transpose(
            y,
            kernel,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            feature_group_count=self.feature_group_count,
            output_size=output_size,
            algorithm=self.algorithm,
            precision=self.precision,
        )
        return x if bias is None else x + bias
