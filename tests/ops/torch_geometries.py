"""Random geometries of PyTorch's ConvTranspose, and the golden values made with it.

`python -m tests.ops.torch_geometries` writes golden/conv_transpose.npz: 40 geometries
with inputs and PyTorch's outputs, for machines without PyTorch.
"""

import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).parent / "golden" / "conv_transpose.npz"


def draw(rng: np.random.Generator, num_axes: int) -> dict:
    """One geometry, in PyTorch's terms, that jdeconv has too."""
    top = {1: 6, 2: 5, 3: 3}[num_axes]
    axes = range(num_axes)
    groups = int(rng.choice([1, 1, 2, 4]))
    window = [int(rng.integers(1, top + 1)) for _ in axes]
    stride = [int(rng.integers(1, 5)) for _ in axes]
    dilation = [int(rng.choice([1, 1, 2, 3])) for _ in axes]
    padding = [int(rng.integers(0, (w - 1) * d + 1)) for w, d in zip(window, dilation)]
    extra = [int(rng.integers(0, s)) for s in stride]
    size = [int(rng.integers(3, 3 + top)) for _ in axes]
    out = [
        (n - 1) * s + (w - 1) * d + 1 - 2 * p + e
        for n, s, w, d, p, e in zip(size, stride, window, dilation, padding, extra)
    ]
    if min(out) < 1:
        return draw(rng, num_axes)
    return {
        "size": size,
        "window": window,
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
        "dilation": dilation,
        "groups": groups,
        "in": groups * int(rng.integers(1, 4)),
        "out": groups * int(rng.integers(1, 4)),
    }


def arrays(case: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Input [2, in, *size] and weight [in, out / groups, *window], PyTorch's layout."""
    y = rng.normal(size=(2, case["in"], *case["size"])).astype(np.float32)
    weight = rng.normal(
        size=(case["in"], case["out"] // case["groups"], *case["window"])
    ).astype(np.float32)
    return y, weight


def torch_conv_transpose(case: dict, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """PyTorch's value, [2, out, *n]."""
    import torch

    function = getattr(torch.nn.functional, f"conv_transpose{len(case['size'])}d")
    return function(
        torch.from_numpy(y),
        torch.from_numpy(weight),
        stride=case["stride"],
        padding=case["padding"],
        output_padding=case["output_padding"],
        groups=case["groups"],
        dilation=case["dilation"],
    ).numpy()


def to_ours(case: dict, y: np.ndarray, weight: np.ndarray):
    """The same in jdeconv's layout: y, kernel, options of `conv_transpose`."""
    y = np.moveaxis(y, 1, -1)
    kernel = np.moveaxis(weight, (0, 1), (-1, -2))
    options = {
        "strides": case["stride"],
        "padding": case["padding"],
        "output_padding": case["output_padding"],
        "kernel_dilation": case["dilation"],
        "feature_group_count": case["groups"],
    }
    return y, kernel, options


def main():
    rng = np.random.default_rng(2016)
    content = {}
    for i in range(40):
        case = draw(rng, num_axes=1 + i % 3)
        y, weight = arrays(case, rng)
        x = torch_conv_transpose(case, y, weight)
        content |= {f"{i}/y": y, f"{i}/weight": weight, f"{i}/x": x}
        content |= {f"{i}/case/{k}": np.asarray(v) for k, v in case.items()}
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **content)


if __name__ == "__main__":
    main()
