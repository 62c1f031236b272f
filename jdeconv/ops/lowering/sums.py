"""Sums: the forward conv of narrow groups as one sum of strided slices, transposed.

    y = sum over taps t of x[t :: stride] kernel[t]

A compiler fuses the sum into one pass over x, where the transpose of `shifts` weaves
the phases of x apart first. The transposed conv, sums of y spread out, is as fast at
stride 1 only.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis


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

    The work is written out per tap and input channel of a group. `precision` has no
    bearing: there is no matrix product.
    """
    del precision
    dtype = preferred_element_type or y.dtype
    wide = jnp.promote_types(dtype, jnp.float32)
    inputs = kernel.shape[-2]
    kernel = kernel.astype(wide).reshape(*kernel.shape[:-1], groups, -1)

    def conv(x: Array) -> Array:
        x = lax.pad(
            x,
            jnp.zeros((), wide),
            [(0, 0, 0), *((a.low, a.high, 0) for a in axes), (0, 0, 0)],
        )
        x = x.reshape(*x.shape[:-1], groups, inputs)
        terms = []
        for index in itertools.product(*(range(a.window) for a in axes)):
            starts = [t * a.dilation for t, a in zip(index, axes)]
            ends = [
                f + (a.output_size - 1) * a.stride + 1 for f, a in zip(starts, axes)
            ]
            image = lax.slice(
                x,
                (0, *starts, 0, 0),
                (x.shape[0], *ends, groups, inputs),
                (1, *(a.stride for a in axes), 1, 1),
            )
            tap = kernel[index]
            terms += [image[..., c, None] * tap[c] for c in range(inputs)]
        y = functools.reduce(lax.add, terms)
        return y.reshape(*y.shape[:-2], kernel.shape[-2] * kernel.shape[-1])

    sizes = (a.input_size for a in axes)
    x = jax.ShapeDtypeStruct((y.shape[0], *sizes, inputs * groups), wide)
    return jax.linear_transpose(conv, x)(y.astype(wide))[0].astype(dtype)
