"""Swapped: a convolution over the kernel, with y as its kernel. For its transpose.

x = T(y, kernel) is bilinear, so the kernel may be taken for the image: its taps are the
pixels, its inputs the batch and its outputs the channels, and what slides over them is
y turned round, its entries `stride` apart.

    kernel       t0 t1 t2                x[i] = sum over j of y[j] t[i + lo - s j]
    slides      c  0  b  0  a

As a way to x that is a detour: the window is as large as an image. But its transpose
in the kernel is the correlation of x and y with y dilated, which is how the gradient of
a *forward* convolution's kernel is written, and GPU libraries have a routine for that.
From the reference comes a correlation with zeros put between y's entries, for which
they have none.
"""

from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.groups import in_front, with_channels


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
    num_axes = len(axes)
    batch = y.shape[0]
    pixels = tuple(range(1, num_axes + 1))
    if groups > 1:
        # Images of a group are channels: [batch, *o, g, out/g] -> [g batch, *o, out/g].
        y = in_front(y, groups)
        y = y.reshape(groups * batch, *y.shape[2:])
    x = lax.conv_general_dilated(
        kernel,
        lax.rev(y, pixels),
        window_strides=(1,) * num_axes,
        # In padded coordinates the pixel 0 of the kernel is at (o - 1) s - lo.
        padding=[
            (
                (a.output_size - 1) * a.stride - a.low,
                a.input_size + a.low - a.span,
            )
            for a in axes
        ],
        lhs_dilation=[a.dilation for a in axes],
        rhs_dilation=[a.stride for a in axes],
        dimension_numbers=lax.ConvDimensionNumbers(
            lhs_spec=(num_axes, num_axes + 1, *range(num_axes)),
            rhs_spec=(0, num_axes + 1, *pixels),
            out_spec=(num_axes + 1, 0, *pixels),
        ),
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    if groups > 1:
        # [g batch, *n, in/g] -> [batch, *n, in]
        x = with_channels(x.reshape(groups, batch, *x.shape[1:]))
    return x
