"""Flax modules: they hold parameters and call `jdeconv.ops`.

The NNX layers are here; `jdeconv.nn.linen` has the same layers for Flax Linen.
"""

from jdeconv.nn import initializers
from jdeconv.nn.layers import Conv, ConvTranspose
from jdeconv.nn.pooling import MaxPool, MaxUnpool
from jdeconv.nn.tied import TiedConvTranspose
from jdeconv.nn.upsample import ResizeConv, SubPixelConv

__all__ = [
    "Conv",
    "ConvTranspose",
    "MaxPool",
    "MaxUnpool",
    "ResizeConv",
    "SubPixelConv",
    "TiedConvTranspose",
    "initializers",
]
