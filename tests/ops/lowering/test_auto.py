"""`auto`: three lowerings under one function, and the programs they make."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jdeconv.ops import conv, conv_transpose
from jdeconv.ops.geometry import conv_axes, conv_transpose_axes
from jdeconv.ops.lowering import (
    choose,
    conv_by,
    conv_transpose_by,
)
from jdeconv.ops.lowering.choose import STOCK
from jdeconv.ops.lowering.problem import Problem, problem
from tests.ops.lowering.problems import (
    asked,
)
from tests.ops.oracles import EPS, relative

# Layers for which the CPU takes different lowerings: y's shape, kernel's, options.
CASES = {
    "disjoint windows": ((4, 6, 5, 8), (2, 2, 4, 8), {"strides": 2}),
    "window > stride": ((4, 5, 6, 8), (3, 3, 16, 8), {"strides": 2}),
    "stride > window": ((2, 4, 4, 3), (2, 2, 3, 3), {"strides": 3}),
    "dilated": ((2, 5, 4, 6), (3, 2, 4, 6), {"strides": 2, "kernel_dilation": 2}),
    "1-D": ((3, 40, 6), (9, 4, 6), {"strides": 4}),
    "3-D": ((1, 4, 3, 4, 4), (3, 3, 3, 2, 4), {"strides": 2}),
    "3-D stride 1": ((1, 4, 3, 4, 4), (3, 3, 3, 2, 4), {}),
    "depthwise": ((2, 5, 6, 8), (4, 4, 1, 8), {"strides": 2, "groups": 8}),
    "depthwise stride 1": ((2, 5, 6, 8), (3, 3, 1, 8), {"groups": 8}),
    "depth multiplier": ((2, 5, 6, 8), (3, 3, 1, 8), {"strides": 2, "groups": 4}),
    "grouped": ((2, 5, 6, 16), (3, 3, 6, 16), {"strides": 2, "groups": 2}),
    "grouped stride 1": ((2, 5, 6, 16), (3, 3, 6, 16), {"groups": 2}),
    "many groups": ((2, 5, 6, 64), (3, 3, 4, 64), {"strides": 2, "groups": 16}),
    "short windows": ((2, 7, 6, 64), (3, 3, 64, 64), {}),
    "circular": ((2, 5, 6, 8), (3, 4, 4, 8), {"strides": 2, "padding": "CIRCULAR"}),
}
# The others are left to the long tests: the rule that puts three lowerings under one
# function is the same, and each lowering has all of these transforms in the tests of
# `conv_transpose`.
QUICK = ("disjoint windows", "3-D")
ALL_CASES = [
    case if case in QUICK else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES
]


def arrays(case, rng):
    y_shape, kernel_shape, options = CASES[case]
    options = dict(options)
    options["feature_group_count"] = options.pop("groups", 1)
    y, y_dot = (jnp.asarray(rng.normal(size=y_shape), jnp.float32) for _ in range(2))
    scale = (
        np.prod(kernel_shape[:-2]) * kernel_shape[-1]
    )  # keeps energies' angles small
    kernel, kernel_dot = (
        jnp.asarray(rng.normal(size=kernel_shape) / np.sqrt(scale), jnp.float32)
        for _ in range(2)
    )
    return y, kernel, y_dot, kernel_dot, options


def transforms(f, a, k, a_dot, k_dot):
    """Every transform of a bilinear function that has its own rule."""

    def energy(a, k):
        return jnp.sum(jnp.sin(f(a, k)))

    many, kernels = jnp.stack([a, a_dot]), jnp.stack([k, k_dot])
    return {
        "value": f(a, k),
        "gradients": jax.grad(energy, (0, 1))(a, k),
        "gradient of the image": jax.grad(energy)(a, k),
        "gradient of the kernel": jax.grad(energy, 1)(a, k),
        "jvp": jax.jvp(f, (a, k), (a_dot, k_dot)),
        "second": jax.jvp(jax.grad(energy, (0, 1)), (a, k), (a_dot, k_dot)),
        "reverse over reverse": jax.grad(
            lambda a: jnp.sum(jax.grad(energy, 1)(a, k) ** 2)
        )(a),
        "vmap images": jax.vmap(f, (0, None))(many, k),
        "vmap kernels": jax.vmap(f, (None, 0))(a, kernels),
        "vmap both": jax.vmap(jax.grad(energy, (0, 1)))(many, kernels),
        "transpose": jax.linear_transpose(lambda a: f(a, k), a)(f(a, k)),
        "transpose in the kernel": jax.linear_transpose(lambda k: f(a, k), k)(f(a, k)),
    }


@pytest.mark.parametrize("case", ALL_CASES)
def test_transposed_conv_and_all_its_derivatives(case, rng):
    y, kernel, y_dot, kernel_dot, options = arrays(case, rng)

    def by(algorithm):
        def f(y, k):
            return conv_transpose(y, k, algorithm=algorithm, **options)

        return jax.jit(lambda *a: transforms(f, *a))(y, kernel, y_dot, kernel_dot)

    ours, reference = by("auto"), by("lhs_dilation")
    for name, value in reference.items():
        for a, b in zip(jax.tree.leaves(ours[name]), jax.tree.leaves(value)):
            assert relative(a, b) < 64 * EPS, name


@pytest.mark.parametrize("case", ALL_CASES)
def test_conv_and_all_its_derivatives(case, rng):
    y, kernel, y_dot, _, options = arrays(case, rng)
    x, x_dot = (conv_transpose(a, kernel, **options) for a in (y, y_dot))

    def ours(x, k):
        return conv(x, k, **options)

    def reference(x, k):
        (value,) = jax.linear_transpose(
            lambda y: conv_transpose(y, k, algorithm="lhs_dilation", **options), y
        )(x)
        return value

    run = lambda f: jax.jit(lambda *a: transforms(f, *a))(  # noqa: E731
        x / 8, kernel, x_dot / 8, kernel[::-1]
    )
    found, expected = run(ours), run(reference)
    for name, value in expected.items():
        for a, b in zip(jax.tree.leaves(found[name]), jax.tree.leaves(value)):
            assert relative(a, b) < 128 * EPS, name


@pytest.mark.slow
def test_windows_beyond_the_cache_are_made_in_parts(rng):
    y = jnp.asarray(rng.normal(size=(6, 40, 40, 16)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(5, 5, 16, 16)), jnp.float32)
    axes = conv_transpose_axes((40, 40), (5, 5), strides=2)
    assert problem(y, kernel, axes, 1).chunks == 6  # 15 MB, 4 MB at a time

    def by(algorithm):
        def f(y, k):
            return conv_transpose(y, k, strides=2, algorithm=algorithm)

        x, pull_back = jax.vjp(f, y, kernel)
        return x, *pull_back(jnp.cos(x))

    for a, b in zip(by("matmul"), by("lhs_dilation")):
        assert relative(a, b) < 64 * EPS


def random_layer(rng):
    """Axes, groups and arrays of a layer of one to three axes; the first is long."""
    num_axes = int(rng.integers(1, 4))
    sizes = (int(rng.integers(20, 40)), *map(int, rng.integers(9, 12, num_axes - 1)))
    window, dilation = rng.integers(1, 5, num_axes), rng.integers(1, 3, num_axes)
    strides = rng.integers(1, 4, num_axes) if rng.random() < 0.5 else 1
    axes = conv_axes(
        sizes,
        tuple(map(int, window)),
        strides=1 if isinstance(strides, int) else tuple(map(int, strides)),
        padding=[tuple(map(int, pair)) for pair in rng.integers(0, 5, (num_axes, 2))],
        kernel_dilation=tuple(map(int, dilation)),
    )
    groups, batch = int(rng.integers(1, 3)), int(rng.integers(1, 3))
    group_in, out = int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    shapes = [
        (batch, *(a.output_size for a in axes), out),
        (batch, *sizes, group_in * groups),
        (*map(int, window), group_in, out),
    ]
    arrays = [jnp.asarray(rng.standard_normal(s), jnp.float32) for s in shapes]
    return axes, groups, arrays


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_images_beyond_the_cache_are_cut_into_slabs(seed, monkeypatch):
    monkeypatch.setattr(sys.modules[Problem.__module__], "_CHUNK_BYTES", 300)
    rng, cut = np.random.default_rng(seed), 0
    for _ in range(4):
        axes, groups, (y, x, kernel) = random_layer(rng)
        asked = problem(y, kernel, axes, groups)
        cut += (asked.mirrored if asked.from_y else asked).slabs > 1

        @jax.jit
        def results(y, x, kernel, axes=axes, groups=groups):
            found = {}
            for name in ("lhs_dilation", "matmul", "planes", "taps"):
                down, up = (
                    by(name, axes, groups) for by in (conv_by, conv_transpose_by)
                )
                value, pull_back = jax.vjp(up, y, kernel)
                image, pull_up = jax.vjp(down, x, kernel)
                found[name] = value, *pull_back(x), image, *pull_up(y)
            return found

        found = results(y, x, kernel)
        for name in ("matmul", "planes"):
            for a, b in zip(found[name], found["lhs_dilation"], strict=True):
                assert relative(a, b) < 1e-5, (name, axes)
    assert cut > 0


def test_platforms_that_nobody_has_measured_compute_the_stock_form():
    forms = choose.forms(asked())
    assert set(forms) == {"default", "cpu", "cuda"}
    assert forms["default"] == STOCK not in (forms["cpu"], forms["cuda"])
    assert choose.forms(asked(stride=1, channels=6, features=6))["cpu"] == STOCK


def compiled_text(function, *args):
    text = jax.jit(function).lower(*args).compile().as_text()
    kept = [line.split("metadata=")[0].strip(" ,") for line in text.splitlines()]
    return [line for line in kept if line.startswith(("%", "ROOT", "ENTRY"))]


def test_where_auto_takes_the_reference_the_program_is_the_same(rng):
    y = jnp.asarray(rng.normal(size=(2, 8, 8, 6)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, 6, 6)), jnp.float32)

    def stock(y, k):
        k = jnp.swapaxes(jnp.flip(k, (0, 1)), 2, 3)
        return lax.conv_general_dilated(
            y, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def gradients(f):
        return jax.grad(lambda y, k: jnp.sum(f(y, k) ** 2), (0, 1))

    ours = compiled_text(gradients(conv_transpose), y, kernel)
    reference = compiled_text(
        gradients(lambda y, k: conv_transpose(y, k, algorithm="lhs_dilation")),
        y,
        kernel,
    )
    assert ours == reference
    count = [
        sum("convolution(" in line for line in lines)
        for lines in (ours, compiled_text(gradients(stock), y, kernel))
    ]
    assert count[0] == count[1] == 3


def test_nothing_of_the_choice_is_left_in_the_program(rng):
    y = jnp.ones((2, 8, 8, 4))
    kernel = jnp.ones((3, 3, 4, 4))
    f = jax.jit(jax.grad(lambda k: jnp.sum(conv_transpose(y, k, strides=2) ** 2)))
    text = f.lower(kernel).compile().as_text()
    assert "conditional" not in text and "platform_index" not in text


def test_platforms_that_agree_are_not_told_apart(monkeypatch):
    """Nor compiled apart; within a call such a choice has cost 12 times the time."""
    forms = choose.Forms("lhs_dilation", "phases", "lhs_dilation")
    monkeypatch.setattr(choose, "on_cpu", lambda p: forms)
    monkeypatch.setattr(choose, "on_gpu", lambda p: forms)
    y, kernel = jnp.ones((1, 5, 5, 2)), jnp.ones((3, 3, 1, 2))

    def gradient(argument):
        return jax.grad(lambda *a: jnp.sum(conv_transpose(*a, strides=2)), argument)

    choices = [
        str(jax.make_jaxpr(f)(y, kernel)).count("platform_index[")
        for f in (functools.partial(conv_transpose, strides=2), gradient(1))
    ]
    assert choices == [0, 0]
    assert "platform_index[" in str(jax.make_jaxpr(gradient(0))(y, kernel))


def test_a_layer_is_one_program_by_itself_and_no_call_within_another(caplog):
    y, kernel = jnp.ones((1, 5, 6, 2)), jnp.ones((3, 3, 1, 2))
    layer = functools.partial(conv_transpose, strides=2)
    (equation,) = jax.make_jaxpr(layer)(y, kernel).eqns
    assert "custom_jvp" in equation.primitive.name
    with jax.log_compiles():
        layer(y, kernel)
    starts = [r for r in caplog.messages if r.startswith("Compiling")]
    assert len(starts) == 1


@pytest.mark.parametrize("window, strides", [(4, 2), (3, 1)])
def test_accuracy_against_float64(window, strides, rng):
    y = rng.normal(size=(8, 12, 12, 64))
    kernel = rng.normal(size=(window, window, 32, 64))

    def by(algorithm, dtype):
        def f(y, k):
            return conv_transpose(y, k, strides=strides, algorithm=algorithm)

        @jax.jit
        def results(y, k):
            x, pull_back = jax.vjp(f, y, k)
            wave = jnp.cos(jnp.arange(x.size)).reshape(x.shape).astype(dtype)
            return x, *pull_back(wave)

        found = results(jnp.asarray(y, dtype), jnp.asarray(kernel, dtype))
        return [np.asarray(a, np.float64) for a in found]

    with jax.enable_x64(True):
        exact = by("lhs_dilation", "float64")
    for dtype in ("float32", "bfloat16"):
        stock, ours = by("lhs_dilation", dtype), by("auto", dtype)
        for e, s, o in zip(exact, stock, ours):
            assert np.linalg.norm(o - e) <= 2 * np.linalg.norm(s - e), dtype


def test_stride_16_window_32_compiles_in_two_seconds():
    y = jax.ShapeDtypeStruct((1, 8, 8, 4), jnp.float32)
    kernel = jax.ShapeDtypeStruct((32, 32, 3, 4), jnp.float32)

    def gradients(y, k):
        f = lambda y, k: jnp.sum(conv_transpose(y, k, strides=16) ** 2)  # noqa: E731
        return jax.grad(f, (0, 1))(y, k)

    import time

    lowered = jax.jit(gradients).lower(y, kernel)
    start = time.perf_counter()
    lowered.compile()
    assert time.perf_counter() - start < 2


# --- jdeconv tune -----------------------------------------------------------------
