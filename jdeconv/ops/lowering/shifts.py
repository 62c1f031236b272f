"""Shifts: products of whole images with single taps, for narrow groups (depthwise).

As `phases`, but the stride-1 convolution is written out as a sum over taps of shifted
images times the tap's value, which a compiler fuses into one pass. A convolution
library cuts the channels into groups and pays for each of them; where a group is one
channel wide there is nothing to multiply as matrices.
"""

import functools
import itertools

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.weave import weave


def lower(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument.

    The work is written out per tap and output channel of a group. `precision` has no
    bearing: there is no matrix product.
    """
    del precision
    dtype = preferred_element_type or y.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    y, kernel = y.astype(wide), kernel.astype(wide)
    num_axes = len(axes)
    strides = [a.stride for a in axes]
    taps = [-(-a.span // a.stride) for a in axes]
    kernel = lax.pad(
        kernel,
        jnp.zeros((), kernel.dtype),
        [(0, m * a.stride - a.span, a.dilation - 1) for m, a in zip(taps, axes)]
        + [(0, 0, 0)] * 2,
    )
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // groups
    first = [a.low // a.stride for a in axes]
    last = [(a.low + a.input_size - 1) // a.stride for a in axes]
    y = y.reshape(*y.shape[:-1], groups, outputs)
    terms = []
    for index in itertools.product(*map(range, taps)):
        margins = [
            (m - f, e - (a.output_size - 1) - m, 0)
            for m, f, e, a in zip(index, first, last, axes)
        ]
        shifted = lax.pad(
            y,
            jnp.zeros((), y.dtype),
            [(0, 0, 0), *margins, (0, 0, 0), (0, 0, 0)],
        )
        starts = [m * s for m, s in zip(index, strides)]
        tap = lax.slice(
            kernel,
            (*starts, 0, 0),
            (*(f + s for f, s in zip(starts, strides)), *kernel.shape[-2:]),
        ).reshape(-1, inputs, groups, outputs)
        tap = tap.swapaxes(1, 2).reshape(*strides, groups, inputs, outputs)
        for v in range(outputs):
            image = shifted[..., v].reshape(
                *shifted.shape[:-2], *(1,) * num_axes, groups, 1
            )
            terms.append(image * tap[..., v])
    total = functools.reduce(lax.add, terms)
    # [batch, *q, *s, g, in/g] -> [batch, *(q s), in]
    batch, counts = total.shape[0], total.shape[1 : 1 + num_axes]
    x = weave(total.reshape(batch, *counts, 1, *strides, groups * inputs), num_axes)
    starts = [a.low - f * a.stride for f, a in zip(first, axes)]
    x = lax.slice(
        x,
        (0, *starts, 0),
        (batch, *(f + a.input_size for f, a in zip(starts, axes)), x.shape[-1]),
    )
    return x.astype(dtype)
