"""Pure functions on arrays: convolution, its adjoint, pooling and resampling.

Channels last: images `[*batch, *spatial, channels]`, kernels `[*window, in / groups,
out]` of the forward conv. Nothing here knows of Flax.
"""

from jdeconv.ops.adjoint import adjoint_error, operator_norm
from jdeconv.ops.boundary import pad, pad_transpose
from jdeconv.ops.conv import conv
from jdeconv.ops.conv_transpose import conv_transpose
from jdeconv.ops.geometry import conv_output_size, conv_transpose_output_sizes
from jdeconv.ops.pooling import (
    adaptive_avg_pool,
    avg_pool,
    max_pool,
    max_pool_with_switches,
    max_unpool,
)
from jdeconv.ops.resample import blur_pool, depth_to_space, resize, space_to_depth

__all__ = [
    "adaptive_avg_pool",
    "adjoint_error",
    "avg_pool",
    "blur_pool",
    "conv",
    "conv_output_size",
    "conv_transpose",
    "conv_transpose_output_sizes",
    "depth_to_space",
    "max_pool",
    "max_pool_with_switches",
    "max_unpool",
    "operator_norm",
    "pad",
    "pad_transpose",
    "resize",
    "space_to_depth",
]
