"""Lanes: for narrow groups, a group's output channels side by side in a register.

    y[:, g] = sum over taps t and inputs c of x[t :: stride, g, c] kernel[t, c, g, :]

One number of x times a row of the kernel: the channels of a group lie next to each
other, about as many as a vector register has lanes, and a compiler fuses the sum over
all taps and inputs into one pass. The transposed conv takes the phases of x (see
`phases`) for outputs, each written where it belongs.

Beyond a number of terms a compiler stops fusing and the sums go through memory: a loop
over the first axes of the window takes some at a time.
"""

import functools
import itertools
import math
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering import phases

TERMS = 72  # of a sum


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

    A dilated kernel is used with its zeros written out. `precision` has no bearing:
    there is no matrix product.
    """
    del precision
    dtype = preferred_element_type or y.dtype
    x = _conv_transpose(_wide(y, dtype), _wide(kernel, dtype), axes, groups)
    return x.astype(dtype)


def conv(
    x: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """The forward conv, for every legal argument."""
    del precision
    dtype = preferred_element_type or x.dtype
    return _conv(_wide(x, dtype), _wide(kernel, dtype), axes, groups).astype(dtype)


def _wide(array: Array, dtype) -> Array:
    return array.astype(jnp.promote_types(dtype, jnp.float32))


def _conv(x: Array, kernel: Array, axes: tuple[Axis, ...], groups: int) -> Array:
    """Each tap sees every stride-th entry of x."""
    zero = jnp.zeros((), x.dtype)
    x = lax.pad(x, zero, [(0, 0, 0), *((a.low, a.high, 0) for a in axes), (0, 0, 0)])
    *window, inputs, outputs = kernel.shape
    rows = kernel.reshape(*window, inputs, *(1,) * len(axes), groups, -1)
    y = _sum_of_taps(x, rows, axes)
    return y.reshape(*y.shape[:-2], outputs)


def _conv_transpose(
    y: Array, kernel: Array, axes: tuple[Axis, ...], groups: int
) -> Array:
    """Each tap of a phase sees y moved by some entries."""
    strides = [a.stride for a in axes]
    inputs, outputs = kernel.shape[-2], kernel.shape[-1] // groups
    kernel, taps = phases.phase_kernel(kernel, axes, groups)
    rows = kernel.reshape(-1, outputs, groups, math.prod(strides), inputs)
    rows = rows.swapaxes(2, 3).reshape(*taps, outputs, *strides, groups, inputs)
    y = phases.padded(y, axes, taps)
    moves = tuple(
        a._replace(stride=1, dilation=1, output_size=n - m + 1)
        for a, n, m in zip(axes, y.shape[1:], taps)
    )
    # Cut before groups and channels become one: a cut afterwards is fused with the sum,
    # which then is one over single numbers.
    x = phases.cut(_sum_of_taps(y, rows, moves), axes)
    return x.reshape(*x.shape[:-2], groups * inputs)


def _sum_of_taps(image: Array, rows: Array, axes: tuple[Axis, ...]) -> Array:
    """Sum over taps and channels of images times rows, woven.

    Args:
      image: `[batch, *n, g * channels]`.
      rows: `[*window, channels, *s, g, lanes]`.
      axes: their strides, dilations and output sizes, o.

    Returns:
      `[batch, *(o s), g, lanes]`.
    """
    num_axes = len(axes)
    window, channels = rows.shape[:num_axes], rows.shape[num_axes]
    *strides, groups, lanes = rows.shape[num_axes + 1 :]
    looped = 0
    while looped < num_axes and math.prod(window[looped:]) * channels > TERMS:
        looped += 1
    rest = window[looped:]
    # A row is one entry on the axes of the image, and the image on those of strides.
    pairs = [n for s in strides for n in (1, s)]
    rows = rows.reshape(-1, *rest, channels, *pairs, groups, lanes)

    def terms(start: Iterable, of_taps: Array) -> list[Array]:
        found = []
        for tap in np.ndindex(*rest):
            within = [t * a.dilation for t, a in zip(tap, axes[looped:])]
            seen = _seen(image, [*start, *within], axes)
            pairs = [n for o in seen.shape[1:-1] for n in (o, 1)]
            seen = seen.reshape(image.shape[0], *pairs, groups, channels)
            found += [seen[..., c, None] * of_taps[*tap, c] for c in range(channels)]
        return found

    def add(total: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
        return functools.reduce(lax.add, terms(step[0], step[1]), total), None

    sizes = [a.output_size for a in axes]
    if looped:
        pairs = [n for pair in zip(sizes, strides) for n in pair]
        total = jnp.zeros((image.shape[0], *pairs, groups, lanes), image.dtype)
        starts = [
            range(0, a.dilation * n, a.dilation) for n, a in zip(window, axes[:looped])
        ]
        positions = jnp.asarray(list(itertools.product(*starts)), jnp.int32)
        total, _ = lax.scan(add, total, (positions, rows))
    else:
        total = functools.reduce(lax.add, terms((), rows[0]))
    sizes = [o * s for o, s in zip(sizes, strides)]
    return total.reshape(image.shape[0], *sizes, groups, lanes)


def _seen(image: Array, starts: Sequence, axes: tuple[Axis, ...]) -> Array:
    """What one tap sees of an image, its margins included: `[batch, *o, ...]`."""
    sizes = [(a.output_size - 1) * a.stride + 1 for a in axes]
    sizes = [image.shape[0], *sizes, image.shape[-1]]
    image = lax.dynamic_slice(
        image,
        [jnp.int32(s) for s in (0, *starts, 0)],
        sizes,
        allow_negative_indices=False,
    )
    steps = [1, *(a.stride for a in axes), 1]
    return lax.slice(image, [0] * image.ndim, image.shape, steps)
