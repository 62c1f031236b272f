"""Polyphase: one stride-1 convolution on the small grid, its outputs interleaved.

With stride s, x at positions of one remainder (phase) r = (i + lo) mod s sees only the
taps t = r, r + s, r + 2s, ... of the kernel, and these form an ordinary stride-1
convolution over y. All s phases are computed at once, as s times the channels, and
then woven together. On one axis, window 3 (t0 t1 t2), stride 2:

    phase 0    q -> y[q] t0 + y[q-1] t2        p0 p0 p0
    phase 1    q -> y[q] t1                    p1 p1 p1
    woven      i + lo = q s + r                p0 p1 p0 p1 p0 p1

No product with an inserted zero is left; a window that the stride does not divide is
filled up with zero taps. See Shi et al., "Is the deconvolution layer the same as a
convolutional layer?" (2016), whose sub-pixel convolution is this form.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.direct import channels_last
from jdeconv.ops.weave import unweave, weave


def lower(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
    convolve: Callable[..., Array] | None = None,
) -> Array:
    """Transposed conv as in `lowering`, for every legal argument.

    A dilated kernel is used with its zeros written out. `convolve` computes the
    stride-1 convolution without padding; by default lax does.
    """
    convolve = convolve or _convolve
    strides = tuple(a.stride for a in axes)
    inputs = kernel.shape[-2]
    kernel, taps = phase_kernel(kernel, axes, groups)
    # Padded beforehand: XLA's CPU backend takes a slow path for the kernel's gradient
    # when the output of a convolution is larger than its unpadded input.
    phases = convolve(
        padded(y, axes, taps),
        kernel,
        groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    # [batch, *q, g * prod(s) * in/g] -> [batch, *(q s), g * in/g]
    split = phases.reshape(*phases.shape[:-1], groups, *strides, inputs)
    woven = weave(split, len(axes))
    return cut(woven, axes)


def padded(y: Array, axes: tuple[Axis, ...], taps: tuple[int, ...]) -> Array:
    """y `[batch, *o, ...]` with the zeros that the phases see beyond it."""
    margins = []
    for a, m in zip(axes, taps):
        first, last = a.low // a.stride, (a.low + a.input_size - 1) // a.stride
        margins.append((m - 1 - first, last - (a.output_size - 1), 0))
    rest = [(0, 0, 0)] * (y.ndim - 1 - len(axes))
    return lax.pad(y, jnp.zeros((), y.dtype), [(0, 0, 0), *margins, *rest])


def cut(woven: Array, axes: tuple[Axis, ...]) -> Array:
    """x `[batch, *n, ...]` of the whole blocks of s positions that it lies in."""
    starts = [a.low % a.stride for a in axes]
    ends = [start + a.input_size for start, a in zip(starts, axes)]
    rest = woven.shape[1 + len(axes) :]
    return lax.slice(
        woven, (0, *starts, *(0 for _ in rest)), (woven.shape[0], *ends, *rest)
    )


def _convolve(y: Array, kernel: Array, groups: int, **numerics) -> Array:
    num_axes = y.ndim - 2
    return lax.conv_general_dilated(
        y,
        kernel,
        window_strides=(1,) * num_axes,
        padding="VALID",
        dimension_numbers=channels_last(num_axes),
        feature_group_count=groups,
        **numerics,
    )


def phase_kernel(
    kernel: Array, axes: tuple[Axis, ...], groups: int
) -> tuple[Array, tuple[int, ...]]:
    """[*window, in/g, out] -> [*taps, out/g, g * prod(s) * in/g], and the taps."""
    taps = tuple(-(-a.span // a.stride) for a in axes)
    kernel = lax.pad(
        kernel,
        jnp.zeros((), kernel.dtype),
        [(0, m * a.stride - a.span, a.dilation - 1) for m, a in zip(taps, axes)]
        + [(0, 0, 0)] * 2,
    )
    *window, inputs, outputs = kernel.shape
    kernel = unweave(
        kernel.reshape(1, *window, inputs * outputs), tuple(a.stride for a in axes)
    )
    kernel = kernel.reshape(math.prod(taps), -1, groups, outputs // groups)
    # Tap m of a phase reads y[q - m]: a correlation with the taps in reverse.
    kernel = lax.rev(kernel, (0,)).transpose(0, 3, 2, 1)
    return kernel.reshape(*taps, outputs // groups, -1), taps
