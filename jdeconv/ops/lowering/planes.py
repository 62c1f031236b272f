"""Planes: one axis by overlap-add, the others by a conv over images of one less.

Window 3 on the first axis: each plane y[j] is spread over three planes of x by a
transposed conv of the remaining axes, all three at once, as channels side by side:

    y[j]  ->  z[j] = (t0, t1, t2)        x[i] = z[i].t0 + z[i-1].t1 + z[i-2].t2

Convolution libraries are at their best with two spatial axes; whole planes are
contiguous, so to add them costs little.
"""

import functools

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering import lhs_dilation, matmul


def lower(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument."""
    dtype = preferred_element_type or y.dtype
    wide = jnp.promote_types(dtype, jnp.float32)  # the planes are added up
    y, kernel = y.astype(wide), kernel.astype(wide)
    axis, rest = axes[0], axes[1:]
    batch, inputs = y.shape[0], kernel.shape[-2]
    # [w0, *window, in, out] -> [*window, w0 * in, out]
    kernel = jnp.moveaxis(kernel, 0, -3)
    kernel = kernel.reshape(*kernel.shape[:-3], -1, kernel.shape[-1])
    images = y.reshape(batch * axis.output_size, *y.shape[2:])
    strided = any(a.stride > 1 for a in rest)
    of_planes = matmul.lower if strided else lhs_dilation.lower
    z = of_planes(images, kernel, rest, groups, precision=precision)
    z = z.reshape(batch, axis.output_size, *z.shape[1:-1], groups, axis.window, inputs)
    zero = jnp.zeros((), z.dtype)
    x = []
    for tap in range(axis.window):
        # Plane j of this tap belongs to x[j s + t d - lo].
        start = tap * axis.dilation - axis.low
        end = start + (axis.output_size - 1) * axis.stride + 1
        margins = [(0, 0, 0)] * (z.ndim - 1)
        margins[1] = (start, axis.input_size - end, axis.stride - 1)
        x.append(lax.pad(z[..., tap, :], zero, margins))
    total = functools.reduce(lax.add, x)
    return total.reshape(*total.shape[:-2], groups * inputs).astype(dtype)
