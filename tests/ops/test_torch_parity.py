"""`conv` and `conv_transpose` equal PyTorch's, one rule for both weights."""

import jax
import numpy as np
import pytest

from jdeconv.ops import conv, conv_transpose
from jdeconv.ops.lowering import ALGORITHMS
from tests.ops import torch_geometries as geometries


def check(cases, algorithms):
    """Runs all cases, (ours as made by to_ours, PyTorch's x), in one program."""

    @jax.jit
    def run(inputs):
        return [
            [
                conv_transpose(y, kernel, algorithm=name, **options)
                for name in algorithms
            ]
            for (y, kernel), ((_, _, options), _) in zip(inputs, cases)
        ]

    results = run([ours[:2] for ours, _ in cases])
    for result, (ours, expected) in zip(results, cases):
        expected = np.moveaxis(expected, 1, -1)
        for name, x in zip(algorithms, result):
            assert x.shape == expected.shape, ours[2]
            np.testing.assert_allclose(
                x, expected, atol=2e-5, rtol=1e-5, err_msg=f"{name} {ours[2]}"
            )


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))]
)
def test_golden_values_of_40_geometries(first):
    file = np.load(geometries.GOLDEN)
    cases = []
    for i in range(first, 40, 4):
        prefix = f"{i}/case/"
        case = {
            k.removeprefix(prefix): file[k].tolist()
            for k in file.files
            if k.startswith(prefix)
        }
        ours = geometries.to_ours(case, file[f"{i}/y"], file[f"{i}/weight"])
        cases.append((ours, file[f"{i}/x"]))
    check(cases, ALGORITHMS[1:])


@pytest.mark.slow
@pytest.mark.parametrize("num_axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_random_geometries(num_axes, seed):
    pytest.importorskip("torch")
    rng = np.random.default_rng((seed, num_axes))
    cases = []
    for _ in range(20):
        case = geometries.draw(rng, num_axes)
        y, weight = geometries.arrays(case, rng)
        x = geometries.torch_conv_transpose(case, y, weight)
        cases.append((geometries.to_ours(case, y, weight), x))
    check(cases, ALGORITHMS[1:])


def test_conv_weight_follows_the_same_rule(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 4, 9, 8)).astype(np.float32)
    weight = rng.normal(size=(6, 2, 3, 4)).astype(np.float32)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x),
        torch.from_numpy(weight),
        stride=2,
        padding=1,
        dilation=(1, 2),
        groups=2,
    ).numpy()
    y = conv(
        np.moveaxis(x, 1, -1),
        np.moveaxis(weight, (0, 1), (-1, -2)),
        strides=2,
        padding=1,
        kernel_dilation=(1, 2),
        feature_group_count=2,
    )
    np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, rtol=1e-5, atol=2e-5)
