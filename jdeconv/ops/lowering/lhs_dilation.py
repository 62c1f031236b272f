"""The reference: one convolution over the input with s - 1 zeros between its entries.

On one axis, window 3 and stride 2:

    y            a     b     c
    dilated      a  0  b  0  c        correlated with the flipped kernel  t2 t1 t0

Every x[i] is a full window over the dilated y, so a share 1 - 1/s of the products (per
axis) has a zero in it. The lowering says so to XLA (`lhs_dilation`), which skips them
on some platforms in some cases.
"""

from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering.direct import channels_last
from jdeconv.ops.lowering.groups import transposed_kernel


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
    window = tuple(range(num_axes))
    if groups > 1:
        kernel = transposed_kernel(kernel, groups)
        numbers = channels_last(num_axes)
    else:
        numbers = channels_last(num_axes)._replace(
            rhs_spec=(num_axes, num_axes + 1, *window)
        )
    return lax.conv_general_dilated(
        y,
        lax.rev(kernel, window),
        window_strides=(1,) * num_axes,
        # In dilated coordinates y ends at (o - 1) s, and x[i] needs what lies in
        # i + lo - (k - 1) .. i + lo for i in 0 .. n - 1.
        padding=[
            (
                a.span - 1 - a.low,
                a.input_size - 1 + a.low - (a.output_size - 1) * a.stride,
            )
            for a in axes
        ],
        lhs_dilation=[a.stride for a in axes],
        rhs_dilation=[a.dilation for a in axes],
        dimension_numbers=numbers,
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
