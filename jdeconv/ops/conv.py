"""`conv`: the definition that everything else is measured against."""

import math

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from jdeconv.ops import boundary, lowering
from jdeconv.ops.geometry import Axis, IntOrInts, Padding, conv_axes


def conv(
    x: Array,
    kernel: Array,
    *,
    strides: IntOrInts = 1,
    padding: Padding = "SAME",
    kernel_dilation: IntOrInts = 1,
    feature_group_count: int = 1,
    precision: lax.PrecisionLike = None,
    preferred_element_type: DTypeLike | None = None,
) -> Array:
    """Cross-correlation, y[j, v] = sum over t, u of x[j s + t d - lo, u] k[t, u, v].

    Args:
      x: images `[*batch, *spatial, in]`, floating or complex, any number of batch axes.
      kernel: `[*window, in / groups, out]`, of x's dtype; `kernel.ndim - 2` is the
        number of spatial axes.
      strides: s, an int or one per spatial axis.
      padding: "SAME", "VALID", "CIRCULAR", "REFLECT", "EDGE", "CAUSAL" (zeros before
        the image only, along every spatial axis), an int, or for each axis an int or a
        (low, high) pair. `ops.geometry` has the formulas.
      kernel_dilation: d, an int or one per spatial axis.
      feature_group_count: groups; `in` and `out` are cut into that many equal parts
        and part i of `out` sees part i of `in` only. Depthwise is groups == in.
      precision: as in `jax.lax.conv_general_dilated`.
      preferred_element_type: type of the accumulator and of the result. None: the type
        of x; 16-bit inputs accumulate in float32 all the same.

    Returns:
      `[*batch, *output spatial, out]`, spatial sizes by `ops.conv_output_size`.

    Raises:
      ValueError: ranks, channels, groups or geometry that do not fit.
      TypeError: integer or unequal dtypes.

    >>> conv(jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 2)), padding="VALID").shape
    (1, 3, 3, 2)
    """
    num_axes = check_arrays("x", x, kernel)
    check_groups(feature_group_count, kernel)
    channels = kernel.shape[-2] * feature_group_count
    if x.shape[-1] != channels:
        raise ValueError(
            f"x has {x.shape[-1]} channels (shape {x.shape}), but the kernel "
            f"{kernel.shape} with feature_group_count={feature_group_count} takes "
            f"{channels}"
        )
    axes = conv_axes(
        x.shape[-1 - num_axes : -1],
        kernel.shape[:num_axes],
        strides=strides,
        padding=padding,
        kernel_dilation=kernel_dilation,
    )
    x, batch = merge_batch(x, num_axes)
    x, axes = fill_margins(x, axes)
    y = lowering.conv(
        x,
        kernel,
        axes,
        feature_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return y.reshape(batch + y.shape[1:])


def fill_margins(x: Array, axes: tuple[Axis, ...]) -> tuple[Array, tuple[Axis, ...]]:
    """Fills the margins that come from the image; zero margins stay with the conv."""
    if axes[0].fill is None:
        return x, axes
    margins = [(0, 0), *((a.low, a.high) for a in axes), (0, 0)]
    filled = boundary.pad(x, margins, axes[0].fill)
    return filled, tuple(a.without_fill() for a in axes)


def merge_batch(x: Array, num_axes: int) -> tuple[Array, tuple[int, ...]]:
    """`[*batch, *spatial, c]` as `[prod(batch), *spatial, c]`, and batch."""
    batch = x.shape[: x.ndim - num_axes - 1]
    return x.reshape(math.prod(batch), *x.shape[len(batch) :]), batch


def check_arrays(name: str, x: Array, kernel: Array) -> int:
    """Checks ranks and dtypes of image and kernel; returns the number of spatial axes.

    Raises:
      ValueError, TypeError: as `conv` says.
    """
    num_axes = kernel.ndim - 2
    if num_axes < 1:
        raise ValueError(
            f"kernel has shape {kernel.shape}: must be [*window, in / groups, out] "
            "with at least one spatial axis"
        )
    if x.ndim < num_axes + 1:
        raise ValueError(
            f"{name} has shape {x.shape}: a kernel of shape {kernel.shape} takes "
            f"[*batch, *spatial, channels] with {num_axes} spatial axes, so at least "
            f"{num_axes + 1} axes"
        )
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(
            f"{name} has dtype {x.dtype}: must be floating or complex "
            f"(convert images first, e.g. {name}.astype('float32') / 255)"
        )
    if x.dtype != kernel.dtype:
        raise TypeError(
            f"{name} has dtype {x.dtype} and kernel {kernel.dtype}: they must be the "
            "same, cast one of them"
        )
    if 0 in kernel.shape:
        raise ValueError(f"kernel has shape {kernel.shape}: no axis may be empty")
    return num_axes


def check_groups(feature_group_count: int, kernel: Array) -> None:
    """Raises ValueError unless the kernel's `out` can be cut into equal groups."""
    if (
        not isinstance(feature_group_count, int)
        or feature_group_count < 1
        or kernel.shape[-1] % feature_group_count
    ):
        raise ValueError(
            f"feature_group_count={feature_group_count!r}: must be an int >= 1 that "
            f"divides the kernel's output channels, {kernel.shape[-1]} (kernel shape "
            f"{kernel.shape})"
        )
