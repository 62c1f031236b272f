"""What `auto` takes on a GPU: the choice, the program, and choices tuned on one."""

import re

import jax
import jax.numpy as jnp
import pytest

from jdeconv.ops import conv, conv_transpose
from jdeconv.ops.geometry import conv_transpose_axes
from jdeconv.ops.lowering import choose, tuned
from jdeconv.ops.lowering.choose import STOCK, Forms
from tests.ops.lowering.problems import VOLUME, asked

GPU_VOLUME = VOLUME._replace(
    axes=conv_transpose_axes((8,) * 3, (3,) * 3, strides=2, padding=1)
)


@pytest.mark.parametrize(
    "problem, forms",
    [
        (asked(), Forms("lhs_dilation", "lhs_dilation", "swapped")),
        (asked()._replace(forward=True), STOCK),
        (asked(stride=1), STOCK),
        (asked(features=3), Forms("phases", "matmul_whole", "matmul_whole")),
        # In 16 bits windows would be added in float32, which doubles them.
        (
            asked(features=3)._replace(itemsize=2),
            Forms("lhs_dilation", "lhs_dilation", "swapped"),
        ),
        (asked(window=16, stride=8), Forms("phases", "phases", "phases")),
        (asked(groups=32), Forms("shifts", "sums", "spread")),
        (asked(groups=4), Forms("lhs_dilation", "lhs_dilation", "phases")),
        (VOLUME, Forms("planes", "planes", "planes")),
        (GPU_VOLUME, Forms("phases", "lhs_dilation", "phases")),
    ],
)
def test_what_is_taken_on_a_gpu(problem, forms):
    assert choose.forms(problem)["cuda"] == forms


def test_on_a_gpu_the_kernels_gradient_is_one_its_library_has():
    y, kernel = jnp.ones((2, 8, 8, 16)), jnp.ones((4, 4, 8, 16))
    x = jnp.ones((2, 16, 16, 8))
    options = {"strides": 2, "padding": 1}

    def convolutions(f, *args):
        traced = jax.jit(f).trace(*args)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
        kept = [line.partition(" = ")[2] for line in text.splitlines()]
        lines = [line for line in kept if "stablehlo.convolution" in line]
        # Arguments have other names in another program.
        return [re.sub("%[a-z0-9_#]+", "%", line) for line in lines]

    def of_transposed(kernel):
        return jnp.vdot(conv_transpose(y, kernel, **options), x)

    def of_forward(kernel):
        return jnp.vdot(conv(x, kernel, **options), y)

    assert convolutions(jax.grad(of_transposed), kernel) == convolutions(
        jax.grad(of_forward), kernel
    )


def test_choices_tuned_on_a_gpu_are_found_under_its_names(monkeypatch, tmp_path):
    monkeypatch.setenv(tuned.VARIABLE, str(tmp_path / "lowerings.json"))
    choice = Forms("phases", "sums", "matmul")
    tuned.store("gpu", {asked(): choice})
    forms = choose.forms(asked())
    assert forms["cuda"] == forms["rocm"] == choice
    assert "gpu" not in forms  # jax knows no such platform
    y, kernel = jnp.ones((128, 14, 14, 32)), jnp.ones((3, 3, 32, 32))
    assert conv_transpose(y, kernel, strides=2, padding=0).shape == (128, 29, 29, 32)
