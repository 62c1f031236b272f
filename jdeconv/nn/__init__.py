"""Flax modules: they hold parameters and call `jdeconv.ops`.

The NNX layers are here; `nn.linen` has the same layers for Flax Linen.
"""

from jdeconv.nn import initializers, linen
from jdeconv.nn.dropout import Dropout
from jdeconv.nn.layers import Conv, ConvTranspose
from jdeconv.nn.parameters import get_params, set_params
from jdeconv.nn.pooling import MaxPool, MaxUnpool
from jdeconv.nn.prelu import PReLU
from jdeconv.nn.tied import TiedConvTranspose
from jdeconv.nn.upsample import ResizeConv, SubPixelConv

__all__ = [
    "Conv",
    "ConvTranspose",
    "Dropout",
    "MaxPool",
    "MaxUnpool",
    "PReLU",
    "ResizeConv",
    "SubPixelConv",
    "TiedConvTranspose",
    "get_params",
    "initializers",
    "linen",
    "set_params",
]
