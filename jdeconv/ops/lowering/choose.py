"""Which lowering `algorithm="auto"` takes, per platform and shape."""

from jdeconv.ops.geometry import Axis


def algorithms(axes: tuple[Axis, ...]) -> tuple[str, dict[str, str]]:
    """The default algorithm, and the platforms that want another one.

    The CPU's library handles a dilated input by a slow path, above all in the reverse
    pass, while polyphase has stride-1 convolutions in every direction. GPUs and TPUs
    have the dilated input as a primitive. A dilated kernel shares its zeros with the
    phases badly, so the reference stays.
    """
    strided = any(a.stride > 1 for a in axes)
    dilated = any(a.dilation > 1 for a in axes)
    if strided and not dilated:
        return "lhs_dilation", {"cpu": "phases"}
    return "lhs_dilation", {}
