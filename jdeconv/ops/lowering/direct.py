"""The forward conv as lax has it, and the layout that all lowerings share."""

from jax import Array, lax

from jdeconv.ops.geometry import Axis


def channels_last(num_axes: int) -> lax.ConvDimensionNumbers:
    """Images [batch, *spatial, channels], kernels [*window, in, out]."""
    image = (0, num_axes + 1, *range(1, num_axes + 1))
    return lax.ConvDimensionNumbers(
        lhs_spec=image,
        rhs_spec=(num_axes + 1, num_axes, *range(num_axes)),
        out_spec=image,
    )


def conv(
    x: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    precision=None,
    preferred_element_type=None,
) -> Array:
    """y `[batch, *o, out]` from x `[batch, *n, in]`: one strided convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=[a.stride for a in axes],
        padding=[(a.low, a.high) for a in axes],
        rhs_dilation=[a.dilation for a in axes],
        dimension_numbers=channels_last(len(axes)),
        feature_group_count=groups,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
