"""Ways to compute a transposed convolution, one file each, and the choice among them.

All take the same canonical problem, with zero margins only:

    lower(y, kernel, axes, groups, **numerics) -> x
    y `[batch, *o, out]`, kernel `[*window, in / groups, out]`, x `[batch, *n, in]`

where `axes` holds one `geometry.Axis` per spatial axis (o = axis.output_size and
n = axis.input_size) and numerics are `precision` and `preferred_element_type`.
"""

from jax import Array, lax

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering import choose, lhs_dilation, phases

_LOWERINGS = {"lhs_dilation": lhs_dilation.lower, "phases": phases.lower}
ALGORITHMS = ("auto", *_LOWERINGS)


def conv_transpose(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    algorithm: str,
    precision,
    preferred_element_type,
) -> Array:
    """Computes the transposed conv by the named algorithm, or by the best one.

    Raises:
      ValueError: unknown algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"algorithm={algorithm!r}: must be one of {', '.join(ALGORITHMS)}"
        )

    def by(name):
        def lower(y, kernel):
            return _LOWERINGS[name](
                y,
                kernel,
                axes,
                groups,
                precision=precision,
                preferred_element_type=preferred_element_type,
            )

        return lower

    if algorithm != "auto":
        return by(algorithm)(y, kernel)
    default, per_platform = choose.algorithms(axes)
    if all(name == default for name in per_platform.values()):
        return by(default)(y, kernel)
    # Resolved when the program is lowered for a platform, so that one exported or
    # ahead-of-time program is right on each of them.
    branches = {platform: by(name) for platform, name in per_platform.items()}
    return lax.platform_dependent(y, kernel, default=by(default), **branches)
