"""`conv_transpose`: the exact adjoint of `conv`."""

from jax import Array, lax
from jax.typing import DTypeLike

from jdeconv.ops import boundary, lowering
from jdeconv.ops.conv import check_arrays, check_groups, merge_batch
from jdeconv.ops.geometry import IntOrInts, Padding, conv_transpose_axes


def conv_transpose(
    y: Array,
    kernel: Array,
    *,
    strides: IntOrInts = 1,
    padding: Padding = "SAME",
    kernel_dilation: IntOrInts = 1,
    feature_group_count: int = 1,
    output_size: IntOrInts | None = None,
    output_padding: IntOrInts | None = None,
    algorithm: str = "auto",
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """The linear transpose of `conv(., kernel, ...)` with the same arguments.

    For every legal case sum(conv(x) * y) == sum(x * conv_transpose(y)). One kernel, one
    geometry, two directions: the kernel is shared, neither flipped nor swapped, and
    `padding` is the forward conv's. It is no inverse: `jdeconv.restore` solves that
    problem. No conjugate is taken: for a complex kernel the Hermitian adjoint of `conv`
    is `conv_transpose(y, conj(kernel))`. The transpose of a "CAUSAL" conv is
    anti-causal: x[i] depends on y[j] with j >= i only.

    Args:
      y: `[*batch, *spatial, out]`, floating or complex, any number of batch axes.
      kernel: `[*window, in / groups, out]`, the kernel of the forward conv.
      strides, padding, kernel_dilation, feature_group_count: those of the forward conv.
      output_size: the spatial size wanted, an int or one per axis; with stride s there
        are s legal ones (`ops.conv_transpose_output_sizes`). Default: the smallest for
        int, pair and VALID padding (PyTorch's), size * stride otherwise (Keras').
      output_padding: PyTorch's way to say it, 0 <= output_padding < s above the
        smallest; with int, pair or VALID padding only. PyTorch also takes values in
        [s, dilation): they have no forward conv and are refused.
      algorithm: how to compute it; all agree to rounding. "auto" chooses by platform
        and shape, for the value and both gradients; the others are taken for all of
        them: "lhs_dilation" is the reference (lax's dilated input), "phases" the
        polyphase form, "matmul" one matrix product and overlap-add, "shifts", "sums"
        and "spread" the forms for depthwise kernels, "planes" that for volumes,
        "winograd" the form with fewer products for short windows, "taps" the one for
        the kernel gradient of few channels, "lanes" and "merged" those for narrow
        groups.
      precision, preferred_element_type: as in `conv`.

    Returns:
      `[*batch, *output spatial, in]`.

    Raises:
      ValueError: ranks, channels, groups, geometry or output sizes that do not fit, or
        an unknown algorithm.
      TypeError: integer or unequal dtypes.

    References:
      Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016,
      chapter 4.

    >>> import jax.numpy as jnp
    >>> conv_transpose(jnp.ones((1, 7, 7, 8)), jnp.ones((3, 3, 1, 8)), strides=2).shape
    (1, 14, 14, 1)
    """
    num_axes = check_arrays("y", y, kernel)
    check_groups(feature_group_count, kernel)
    if y.shape[-1] != kernel.shape[-1]:
        raise ValueError(
            f"y has {y.shape[-1]} channels (shape {y.shape}), but the forward conv "
            f"with kernel {kernel.shape} returns {kernel.shape[-1]}"
        )
    axes = conv_transpose_axes(
        y.shape[-1 - num_axes : -1],
        kernel.shape[:num_axes],
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
        output_size=output_size,
        output_padding=output_padding,
    )
    y, batch = merge_batch(y, num_axes)
    x = lowering.conv_transpose(
        y,
        kernel,
        tuple(a.without_fill() for a in axes),
        feature_group_count,
        algorithm=algorithm,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    if axes[0].fill is not None:
        margins = [(0, 0), *((a.low, a.high) for a in axes), (0, 0)]
        x = boundary.pad_transpose(x, margins, axes[0].fill)
    return x.reshape(batch + x.shape[1:])
