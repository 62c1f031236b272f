"""Pure functions on arrays: convolution, its adjoint, pooling and resampling."""

from jdeconv.ops.boundary import pad, pad_transpose
from jdeconv.ops.conv import conv
from jdeconv.ops.conv_transpose import conv_transpose
from jdeconv.ops.geometry import conv_output_size, conv_transpose_output_sizes

__all__ = [
    "conv",
    "conv_output_size",
    "conv_transpose",
    "conv_transpose_output_sizes",
    "pad",
    "pad_transpose",
]
