"""Independent definitions to measure against: loops and dense matrices in numpy."""

import itertools

import numpy as np

NUMPY_PAD = {"CIRCULAR": "wrap", "REFLECT": "reflect", "EDGE": "edge"}

EPS = np.finfo(np.float32).eps


def relative(a, b):
    """The largest gap, over the largest entry of b."""
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def margins(padding, axis, n, k, s):
    """(low, high) as DESIGN.md's table says."""
    if padding == "SAME":
        total = max((-(-n // s) - 1) * s + k - n, 0)
        return total // 2, total - total // 2
    if padding == "VALID":
        return 0, 0
    if padding == "CAUSAL":
        return k - 1, 0
    if isinstance(padding, str) and padding in NUMPY_PAD:
        return (k - 1) // 2, k // 2
    if isinstance(padding, int):
        return padding, padding
    entry = padding[axis]
    return (entry, entry) if isinstance(entry, int) else tuple(entry)


def conv(x, kernel, *, strides, padding, kernel_dilation, feature_group_count):
    """One image [*spatial, in] by explicit loops."""
    num_axes = kernel.ndim - 2
    window = kernel.shape[:num_axes]
    spans = [(w - 1) * d + 1 for w, d in zip(window, kernel_dilation)]
    pads = [
        margins(padding, i, x.shape[i], spans[i], strides[i]) for i in range(num_axes)
    ]
    mode = (
        NUMPY_PAD.get(padding, "constant") if isinstance(padding, str) else "constant"
    )
    x = np.pad(x, [*pads, (0, 0)], mode=mode)
    out = [(x.shape[i] - spans[i]) // strides[i] + 1 for i in range(num_axes)]
    groups = feature_group_count
    per_in, per_out = kernel.shape[-2], kernel.shape[-1] // groups
    y = np.zeros((*out, kernel.shape[-1]), np.result_type(x, kernel))
    for j in itertools.product(*map(range, out)):
        for t in itertools.product(*map(range, window)):
            at = tuple(
                a * s + b * d for a, s, b, d in zip(j, strides, t, kernel_dilation)
            )
            for g in range(groups):
                y[j][g * per_out : (g + 1) * per_out] += (
                    x[at][g * per_in : (g + 1) * per_in]
                    @ kernel[t][:, g * per_out : (g + 1) * per_out]
                )
    return y


def matrix(function, shape):
    """Dense matrix of a linear function of one image of that shape."""
    columns = []
    for i in range(int(np.prod(shape))):
        unit = np.zeros(int(np.prod(shape)))
        unit[i] = 1
        columns.append(function(unit.reshape(shape)).ravel())
    return np.stack(columns, axis=1)
