"""Where the groups of channels lie: in front of all axes or with the channels.

Sites are moved as one axis (see `ops.weave`).
"""

import math

from jax import Array


def in_front(x: Array, groups: int) -> Array:
    """`[*sites, g * channels]` to `[g, *sites, channels]`."""
    *sites, channels = x.shape
    channels //= groups
    x = x.reshape(math.prod(sites), groups, channels).swapaxes(0, 1)
    return x.reshape(groups, *sites, channels)


def with_channels(x: Array) -> Array:
    """`[g, *sites, channels]` to `[*sites, g * channels]`: the inverse."""
    groups, *sites, channels = x.shape
    x = x.reshape(groups, math.prod(sites), channels).swapaxes(0, 1)
    return x.reshape(*sites, groups * channels)


def transposed_kernel(kernel: Array, groups: int) -> Array:
    """`[*window, in / g, out]` to `[*window, out / g, in]`, of the way back."""
    *window, inputs, outputs = kernel.shape
    outputs //= groups
    kernel = kernel.reshape(math.prod(window), inputs, groups, outputs).swapaxes(1, 3)
    return kernel.reshape(*window, outputs, groups * inputs)
