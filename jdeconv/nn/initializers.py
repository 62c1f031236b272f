"""Initial kernels whose outputs start with the right size, and without a pattern.

A transposed convolution with stride s adds up, at each output position, only every
s-th tap of its kernel. Initialisers made for plain convolutions count them all, so the
output starts too small; and where the stride does not divide the window, positions of
different phase add up different numbers of taps, and the output starts with a
checkerboard. These initialisers count the taps that are there.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jdeconv.ops.geometry import IntOrInts, per_axis

Distribution = Literal["truncated_normal", "normal", "uniform"]
Initializer = Callable[[Array, tuple[int, ...], DTypeLike], Array]


def conv_variance_scaling(
    scale: float = 1.0, *, distribution: Distribution = "truncated_normal"
) -> Initializer:
    """Kernel of a `conv`: variance scale / fan_in, fan_in = in / groups * window.

    Args:
      scale: 1 keeps the variance of unit-normal input (LeCun), 2 is He's for ReLU.
      distribution: "truncated_normal", "normal" or "uniform".

    Returns:
      init(key, shape, dtype) for kernels `[*window, in / groups, out]`.
    """
    return jax.nn.initializers.variance_scaling(scale, "fan_in", distribution)


def conv_transpose_variance_scaling(
    scale: float = 1.0,
    *,
    strides: IntOrInts = 1,
    kernel_dilation: IntOrInts = 1,
    feature_group_count: int = 1,
    distribution: Distribution = "truncated_normal",
) -> Initializer:
    """Kernel of a `conv_transpose`: every output phase gets variance `scale`.

    The fan-in of an output position is in_features / groups times the taps of its
    phase. Where the strides divide the window this is
    in_features * window / strides / groups for all; where they do not, taps of a
    sparser phase start larger, so that no checkerboard is there at the start. Phases
    that no tap reaches (window < stride) stay zero and the others make up for them.

    Args:
      scale: variance of the output for unit-normal input; 2 before a ReLU.
      strides, kernel_dilation, feature_group_count: those of the layer.
      distribution: "truncated_normal", "normal" or "uniform".

    Returns:
      init(key, shape, dtype) for kernels `[*window, out / groups, in]` of a layer that
      takes `in` to `out` channels.

    References:
      Glorot and Bengio 2010 for the principle; Aitken et al. 2017 for the checkerboard.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32):
        window = shape[:-2]
        channels = shape[-1] / feature_group_count
        strides_ = per_axis(strides, len(window), "strides", 1)
        dilation = per_axis(kernel_dilation, len(window), "kernel_dilation", 1)
        variance = np.float64(scale / channels)
        for w, s, d in zip(window, strides_, dilation):
            phase = np.arange(w) * d % s
            taps = np.bincount(phase, minlength=s)
            # The share of a tap's phase, times what empty phases leave to the others.
            per_tap = s / np.count_nonzero(taps) / taps[phase]
            variance = np.multiply.outer(variance, per_tap)
        unit = jax.nn.initializers.variance_scaling(1.0, "fan_in", distribution)
        # variance_scaling divides by the fan-in of the shape it is given.
        fan_in = math.prod(shape[:-1])
        deviation = np.sqrt(variance * fan_in)[..., None, None]
        return unit(key, shape, dtype) * jnp.asarray(deviation, dtype)

    return init


def icnr(block: IntOrInts, initializer: Initializer | None = None) -> Initializer:
    """Kernel of a sub-pixel `conv` whose output starts free of checkerboards.

    All channels that `depth_to_space` lays side by side start equal, so the layer
    starts as a convolution followed by nearest-neighbour upsampling.

    Args:
      block: the block of `depth_to_space`, an int or one per spatial axis.
      initializer: draws one kernel per block; default `conv_variance_scaling()`.

    Returns:
      init(key, shape, dtype) for kernels `[*window, in, prod(block) * features]`.

    Raises:
      ValueError: when the output channels are no multiple of prod(block).

    References:
      Aitken et al., "Checkerboard artifact free sub-pixel convolution", 2017.
    """
    initializer = initializer or conv_variance_scaling()

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32):
        copies = math.prod(per_axis(block, len(shape) - 2, "block", 1))
        if shape[-1] % copies:
            raise ValueError(
                f"kernel shape {shape}: the output channels must be a multiple of "
                f"{copies}, the size of a block {block!r}"
            )
        kernel = initializer(key, (*shape[:-1], shape[-1] // copies), dtype)
        # depth_to_space reads channels as (block position, feature).
        return jnp.tile(kernel, (1,) * (len(shape) - 1) + (copies,))

    return init


def bilinear(*, feature_group_count: int = 1) -> Initializer:
    """Kernel of a `conv_transpose` that interpolates (multi-)linearly at the start.

    Window 2 s (or 2 s - 1) for stride s, the form of FCN. Channel i goes to channel i.

    Args:
      feature_group_count: that of the layer; depthwise layers have one per channel.

    Returns:
      init(key, shape, dtype) for kernels `[*window, out / groups, in]`; the key is not
      used.

    Raises:
      ValueError: when the layer has different numbers of channels in and out.

    References:
      Long, Shelhamer and Darrell, "Fully convolutional networks", 2015, section 3.3.
    """

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32):
        del key
        *window, out_per_group, channels = shape
        if out_per_group * feature_group_count != channels:
            raise ValueError(
                f"kernel shape {shape} with feature_group_count="
                f"{feature_group_count}: bilinear needs as many channels out as in"
            )
        hat = np.ones(())
        for w in window:
            reach = (w + 1) // 2
            distance = np.abs(np.arange(w) - (w - 1) / 2)
            hat = np.multiply.outer(hat, 1 - distance / reach)
        identity = np.eye(out_per_group)
        identity = np.tile(identity, (1, feature_group_count))
        return jnp.asarray(hat[..., None, None] * identity, dtype)

    return init
