"""`conv_transpose`: the exact adjoint, in every mode and by every lowering."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import conv, conv_transpose, conv_transpose_output_sizes
from jdeconv.ops.lowering import ALGORITHMS
from tests.ops import oracles
from tests.ops.oracles import EPS, relative
from tests.parameters import fast_if

MODES = ("SAME", "CIRCULAR", "VALID", "REFLECT", "EDGE", "CAUSAL", 1)
ASYMMETRIC = ((0, 2), (1, 0))


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def geometries(padding, rng, count):
    """Random legal (x shape, kernel shape, options)."""
    found = []
    while len(found) < count:
        sizes = tuple(int(n) for n in rng.integers(3, 11, size=2))
        window = tuple(int(n) for n in rng.integers(1, 6, size=2))
        groups = int(rng.choice([1, 1, 2, 4]))
        options = {
            "strides": tuple(int(n) for n in rng.integers(1, 5, size=2)),
            "padding": padding,
            "kernel_dilation": tuple(int(n) for n in rng.choice([1, 1, 2], size=2)),
            "feature_group_count": groups,
        }
        x = jax.ShapeDtypeStruct((2, *sizes, 4), jnp.float32)
        kernel = jax.ShapeDtypeStruct((*window, 4 // groups, 8), jnp.float32)
        try:
            y = jax.eval_shape(lambda x, k, o=options: conv(x, k, **o), x, kernel)
        except ValueError:
            continue
        found.append((x.shape, kernel.shape, y.shape, options))
    return found


@pytest.mark.parametrize(
    "padding, count",
    [
        *(("SAME", 2), ("CIRCULAR", 1), (ASYMMETRIC, 2)),
        *(slow(mode, 8) for mode in (*MODES, ASYMMETRIC)),
    ],
    ids=str,
)
def test_every_lowering_is_the_linear_transpose(padding, count, rng):
    cases = geometries(padding, rng, count)
    arrays = [
        tuple(jnp.asarray(rng.normal(size=s), jnp.float32) for s in case[:3])
        for case in cases
    ]

    @jax.jit
    def run(arrays):
        results = []
        for (x, kernel, y), (*_, options) in zip(arrays, cases):
            forward = lambda x, k=kernel, o=options: conv(x, k, **o)  # noqa: E731
            (reference,) = jax.linear_transpose(forward, x)(y)
            ours = [
                conv_transpose(
                    y, kernel, output_size=x.shape[1:3], algorithm=name, **options
                )
                for name in ALGORITHMS
            ]
            products = jnp.sum(forward(x) * y), jnp.sum(x * ours[0])
            results.append((reference, ours, products))
        return results

    for (reference, ours, products), case in zip(run(arrays), cases):
        for name, x in zip(ALGORITHMS, ours):
            assert relative(x, reference) < 32 * EPS, (name, case)
        scale = float(jnp.linalg.norm(arrays[0][2])) * 100
        assert abs(float(products[0] - products[1])) < 64 * EPS * scale


@pytest.mark.parametrize("padding", [*MODES[:2], *map(slow, MODES[2:])], ids=str)
def test_equals_the_transposed_dense_matrix(padding, rng):
    window, stride = 4, 2  # even window: a mirrored adjoint would show
    kernel = rng.normal(size=(window, 2, 3)).astype(np.float32)
    options = {
        "strides": (stride,),
        "padding": padding,
        "kernel_dilation": (1,),
        "feature_group_count": 1,
    }
    sizes = conv_transpose_output_sizes(4, window, strides=stride, padding=padding)
    assert sizes
    for n in sizes:
        dense = oracles.matrix(lambda x: oracles.conv(x, kernel, **options), (n, 2))
        y = rng.normal(size=(4, 3)).astype(np.float32)
        x = conv_transpose(
            jnp.asarray(y), jnp.asarray(kernel), output_size=n, **options
        )
        np.testing.assert_allclose(x.ravel(), dense.T @ y.ravel(), rtol=1e-5, atol=1e-5)


def all_transforms(algorithm):
    """Values, derivatives and batches of one layer, by one algorithm, in a program."""
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.normal(size=(3, 4, 2, 6)), jnp.float32)
    y = jnp.asarray(rng.normal(size=(2, 4, 3, 6)), jnp.float32)
    ty, tk = y[::-1] + 1, kernel[::-1] - 1
    ys, ks = jnp.stack([y, ty]), jnp.stack([kernel, tk])

    def f(y, k):
        return conv_transpose(
            y, k, strides=(2, 3), feature_group_count=2, algorithm=algorithm
        )

    def energy(y, k):
        return jnp.sum(jnp.sin(f(y, k)))

    @jax.jit
    def run():
        return {
            "value": f(y, kernel),
            "gradients": jax.grad(energy, (0, 1))(y, kernel),
            "jvp": jax.jvp(f, (y, kernel), (ty, tk)),
            "second": jax.jvp(jax.grad(energy, (0, 1)), (y, kernel), (ty, tk)),
            "vmap images": jax.vmap(f, (0, None))(ys, kernel),
            "vmap kernels": jax.vmap(f, (None, 0))(y, ks),
            "vmap both": jax.vmap(jax.grad(energy, (0, 1)))(ys, ks),
            "transpose": jax.linear_transpose(lambda y: f(y, kernel), y)(f(y, kernel)),
        }

    return run()


@pytest.fixture(scope="module")
def reference():
    return all_transforms("lhs_dilation")


@pytest.mark.parametrize(
    "algorithm", fast_if(ALGORITHMS[1:], ("phases", "matmul", "planes"))
)
def test_transforms_agree_with_the_reference(algorithm, reference):
    ours = all_transforms(algorithm)
    for name, value in reference.items():
        for a, b in zip(jax.tree.leaves(ours[name]), jax.tree.leaves(value)):
            assert relative(a, b) < 64 * EPS, name


def test_transpose_of_the_transpose_is_conv(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 3, 2, 4)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(1, 7, 8, 2)), jnp.float32)
    y = conv(x, kernel, strides=2)
    (again,) = jax.linear_transpose(
        lambda y: conv_transpose(y, kernel, strides=2, output_size=(7, 8)), y
    )(x)
    assert relative(again, y) < 16 * EPS


@pytest.mark.parametrize(
    "dtype",
    [slow("float16"), "bfloat16", "float64", slow("complex64")],
)
def test_dtypes(dtype, rng):
    with jax.enable_x64(dtype == "float64"):
        kernel = rng.normal(size=(3, 3, 2, 4))
        y = rng.normal(size=(1, 4, 4, 4))
        if dtype == "complex64":
            kernel = kernel + 1j * rng.normal(size=kernel.shape)
        y, kernel = jnp.asarray(y, dtype), jnp.asarray(kernel, dtype)
        wide = dtype if dtype in ("complex64", "float64") else "float32"
        eps = {"float64": 1e-15, "complex64": EPS}.get(dtype) or float(
            jnp.finfo(dtype).eps
        )

        def by(name, **options):
            return conv_transpose(y, kernel, strides=2, algorithm=name, **options)

        reference = conv_transpose(
            y.astype(wide), kernel.astype(wide), strides=2, algorithm="lhs_dilation"
        )
        results = jax.jit(lambda: {name: by(name) for name in ALGORITHMS})()
        for name, x in results.items():
            assert x.dtype == jnp.dtype(dtype)
            bound = 32 * eps if wide == dtype else 4 * eps
            assert relative(x.astype(wide), reference) < bound, name
            wider = jax.eval_shape(lambda n=name: by(n, preferred_element_type=wide))
            assert wider.dtype == jnp.dtype(wide)


# --- Traps of the field -----------------------------------------------------------


def test_trap_integer_padding_of_lax_is_not_the_adjoint(rng):
    """lax.conv_transpose pads the dilated input: the same number, another operator."""
    kernel = jnp.asarray(rng.normal(size=(5, 5, 2, 4)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(1, 9, 9, 2)), jnp.float32)
    y = conv(x, kernel, strides=2, padding=1)
    ours = conv_transpose(y, kernel, strides=2, padding=1)
    theirs = jax.lax.conv_transpose(
        y, kernel, (2, 2), [(1, 1), (1, 1)], transpose_kernel=True
    )
    assert ours.shape == x.shape
    np.testing.assert_allclose(jnp.sum(x * ours), jnp.sum(y * y), rtol=1e-4)
    assert theirs.shape != x.shape


def test_trap_several_input_sizes_go_to_one_output(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 3, 1, 2)), jnp.float32)
    for n in (7, 8):
        x = jnp.asarray(rng.normal(size=(1, n, n, 1)), jnp.float32)
        y = conv(x, kernel, strides=2)
        assert y.shape == (1, 4, 4, 2)
        back = conv_transpose(y, kernel, strides=2, output_size=n)
        np.testing.assert_allclose(jnp.sum(x * back), jnp.sum(y * y), rtol=1e-4)
    assert conv_transpose(y, kernel, strides=2).shape == (1, 8, 8, 1)


@pytest.mark.parametrize("window", [2, 4])
def test_trap_circular_with_an_even_window_commutes_with_shifts(window, rng):
    kernel = jnp.asarray(rng.normal(size=(window, 1, 1)), jnp.float32)
    y = jnp.asarray(rng.normal(size=(1, 8, 1)), jnp.float32)
    for op in (conv, conv_transpose):
        f = lambda y, op=op: op(y, kernel, padding="CIRCULAR")  # noqa: E731
        np.testing.assert_allclose(
            f(jnp.roll(y, 3, 1)), jnp.roll(f(y), 3, 1), rtol=1e-5, atol=1e-6
        )


def test_trap_even_window_is_not_mirrored():
    """An impulse comes back as the kernel itself, at its place, not reversed."""
    kernel = jnp.arange(1.0, 5.0).reshape(4, 1, 1)
    y = jnp.zeros((1, 5, 1)).at[0, 2, 0].set(1)
    x = conv_transpose(y, kernel, padding=((1, 2),), output_size=5)
    np.testing.assert_array_equal(x[0, :, 0], [0, 1, 2, 3, 4])


def test_trap_reflect_wider_than_the_image():
    with pytest.raises(ValueError, match=r"'REFLECT'.*Legal sizes: none"):
        conv_transpose(jnp.ones((1, 1, 1)), jnp.ones((7, 1, 1)), padding="REFLECT")
    with pytest.raises(ValueError, match="at least 4"):
        conv(jnp.ones((1, 3, 1)), jnp.ones((7, 1, 1)), padding="REFLECT")


def test_trap_complex_kernels_are_not_conjugated(rng):
    draw = lambda *s: jnp.asarray(  # noqa: E731
        rng.normal(size=s) + 1j * rng.normal(size=s), jnp.complex64
    )
    kernel, x, y = draw(3, 3, 2, 4), draw(1, 6, 6, 2), draw(1, 3, 3, 4)
    forward = conv(x, kernel, strides=2)
    plain = jnp.sum(x * conv_transpose(y, kernel, strides=2))
    assert abs(complex(jnp.sum(forward * y) - plain)) < 1e-3
    hermitian = conv_transpose(y, jnp.conj(kernel), strides=2)
    assert abs(complex(jnp.vdot(forward, y) - jnp.vdot(x, hermitian))) < 1e-3


def test_trap_causal_transpose_is_anti_causal(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 1, 1)), jnp.float32)
    jacobian = jax.jacobian(lambda y: conv_transpose(y, kernel, padding="CAUSAL"))(
        jnp.zeros((6, 1))
    )[:, 0, :, 0]
    assert float(jnp.abs(jnp.tril(jacobian, -1)).max()) == 0
    assert float(jnp.abs(jnp.diag(jacobian)).min()) > 0


def test_strict_dtype_promotion_and_weak_types(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 1, 1)), jnp.float32)
    with jax.numpy_dtype_promotion("strict"):
        for padding in ("SAME", "CIRCULAR", "REFLECT", "EDGE"):
            for name in ALGORITHMS:
                jax.eval_shape(
                    lambda y, p=padding, a=name: conv_transpose(
                        y, kernel, strides=2, padding=p, algorithm=a
                    ),
                    jnp.ones((1, 4, 1)),
                )


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("algorithm", fast_if(ALGORITHMS, ("auto",)))
def test_empty_batch(algorithm, groups):
    """It has gradients: none to no image, and zeros to the kernel."""
    y = jnp.ones((0, 4, 4, 2 * groups))
    kernel = jnp.ones((3, 3, 1, 2 * groups))
    for strides in (1, 2):
        layer = functools.partial(
            conv_transpose,
            strides=strides,
            feature_group_count=groups,
            algorithm=algorithm,
        )
        x, gradients = jax.vjp(layer, y, kernel)
        assert x.shape == (0, 4 * strides, 4 * strides, groups)
        y_bar, kernel_bar = gradients(x)
        assert y_bar.shape == y.shape
        np.testing.assert_array_equal(kernel_bar, jnp.zeros_like(kernel))


@pytest.mark.parametrize(
    ("y", "kernel", "options", "message"),
    [
        ((4, 4, 3), (3, 3, 1, 2), {}, "3 channels.*returns 2"),
        ((4, 2), (3, 3, 1, 2), {}, "2 spatial axes"),
        ((4, 4, 2), (3, 3, 1, 2), {"algorithm": "fft"}, "algorithm='fft'.*phases"),
        (
            (4, 4, 2),
            (3, 3, 1, 2),
            {"strides": 2, "output_size": 9},
            "Legal sizes: 7, 8",
        ),
        ((4, 4, 2), (3, 3, 1, 2), {"feature_group_count": 3}, "feature_group_count=3"),
        ((4, 0, 2), (3, 3, 1, 2), {}, "empty input"),
    ],
)
def test_bad_input_is_named(y, kernel, options, message):
    with pytest.raises(ValueError, match=message):
        conv_transpose(jnp.ones(y), jnp.ones(kernel), **options)
