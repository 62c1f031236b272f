"""Pooling and unpooling against PyTorch and loops."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import ops

# sizes, window, strides, padding: overlapping, padded, with remainders, 1-D to 3-D.
GEOMETRIES = [
    ((9, 8), (2, 2), (2, 2), (0, 0)),
    ((9, 8), (3, 2), (2, 1), (1, 1)),
    ((7, 7), (3, 3), (1, 1), (1, 1)),
    ((11,), (4,), (3,), (2,)),
    ((5, 6, 4), (2, 3, 2), (2, 2, 1), (1, 0, 1)),
]

NAMES = ("y", "switches", "gradient", "unpooled", "y of max_pool", "its gradient")


def image(rng, sizes, ties=True):
    x = rng.normal(size=(2, *sizes, 3)).astype(np.float32)
    return x.round(0) if ties else x  # rounded: many equal values


def loops(x, window, strides, padding):
    """Maximum and its first place, by definition."""
    sizes = x.shape[1:-1]
    out = [
        (n + 2 * p - w) // s + 1 for n, w, s, p in zip(sizes, window, strides, padding)
    ]
    y = np.empty((x.shape[0], *out, x.shape[-1]), x.dtype)
    place = np.empty(y.shape, np.int32)
    for at in itertools.product(range(x.shape[0]), *map(range, out), range(3)):
        b, *j, c = at
        best = None
        for t in itertools.product(*map(range, window)):
            i = tuple(a * s + d - p for a, s, d, p in zip(j, strides, t, padding))
            if all(0 <= k < n for k, n in zip(i, sizes)):
                value = x[(b, *i, c)]
                if best is None or value > best[0]:
                    best = value, np.ravel_multi_index(i, sizes)
        y[at], place[at] = best
    return y, place


def pool_all(images, cotangents, geometries):
    """y, switches, gradient and unpooling, and max_pool's y and gradient, at once."""

    @jax.jit
    def run(images, cotangents):
        results = []
        for x, ct, (_, window, *rest) in zip(images, cotangents, geometries):
            options = dict(zip(("strides", "padding"), rest))
            y, vjp, switches = jax.vjp(
                lambda x, w=window, o=options: ops.max_pool_with_switches(x, w, **o),
                x,
                has_aux=True,
            )
            plain, vjp_plain = jax.vjp(
                lambda x, w=window, o=options: ops.max_pool(x, w, **o), x
            )
            back = ops.max_unpool(
                ct, switches, output_size=x.shape[1:-1], combine="replace"
            )
            results.append((y, switches, *vjp(ct), back, plain, *vjp_plain(ct)))
        return results

    return run(images, cotangents)


def test_max_pool_and_switches_equal_loops(rng):
    images = [image(rng, sizes) for sizes, *_ in GEOMETRIES]
    expected = [loops(x, *rest) for x, (_, *rest) in zip(images, GEOMETRIES)]
    results = pool_all(images, [y for y, _ in expected], GEOMETRIES)
    for (y, switches, _, _, plain, _), (best, place) in zip(results, expected):
        np.testing.assert_array_equal(y, best)
        np.testing.assert_array_equal(plain, best)
        np.testing.assert_array_equal(switches, place)
        assert switches.dtype == jnp.int32


def draw(rng):
    """sizes, window, strides, padding that PyTorch has too."""
    num_axes = int(rng.integers(1, 4))
    top = {1: 7, 2: 5, 3: 3}[num_axes]
    window = tuple(int(rng.integers(1, top + 1)) for _ in range(num_axes))
    strides = tuple(int(rng.integers(1, 4)) for _ in range(num_axes))
    padding = tuple(int(rng.integers(0, w // 2 + 1)) for w in window)
    sizes = tuple(
        int(rng.integers(max(w - 2 * p, 1), w + 6)) for w, p in zip(window, padding)
    )
    return sizes, window, strides, padding


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.slow) for s in range(1, 6))]
)
def test_equals_torch_with_gradient_and_unpooling(seed):
    """Ties, NaN and -inf included: value, switches, gradient, unpooling."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    geometries = [draw(rng) for _ in range(18)]
    images, cotangents, expected = [], [], []
    for i, (sizes, *rest) in enumerate(geometries):
        x = image(rng, sizes)
        if i % 3 == 1:
            x[rng.random(x.shape) < 0.15] = np.nan
        if i % 3 == 2:
            x[rng.random(x.shape) < 0.7] = -np.inf
        tx = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).requires_grad_()
        pool = getattr(torch.nn.functional, f"max_pool{len(sizes)}d")
        unpool = getattr(torch.nn.functional, f"max_unpool{len(sizes)}d")
        y, place = pool(tx, *rest, return_indices=True)
        ct = torch.from_numpy(rng.normal(size=y.shape).astype(np.float32))
        (gradient,) = torch.autograd.grad(y, tx, ct)
        back = unpool(ct, place, *rest, output_size=sizes)
        images.append(x)
        cotangents.append(np.moveaxis(ct.numpy(), 1, -1))
        expected.append(
            [
                np.moveaxis(t.detach().numpy(), 1, -1)
                for t in (y, place, gradient, back, y, gradient)
            ]
        )
    results = pool_all(images, cotangents, geometries)
    for geometry, ours, theirs in zip(geometries, results, expected):
        for name, a, b in zip(NAMES, ours, theirs):
            atol = 1e-5 if "gradient" in name else 0
            np.testing.assert_allclose(
                a, b, rtol=0, atol=atol, err_msg=f"{name} of {geometry}"
            )


def test_unpool_add_is_the_transpose_of_the_gather(rng):
    x = jnp.asarray(image(rng, (7, 7)))
    y, switches = ops.max_pool_with_switches(x, 3, strides=1, padding=1)

    def gather(x):
        flat = x.reshape(2, 49, 3)
        taken = jnp.take_along_axis(flat, switches.reshape(2, -1, 3), axis=1)
        return taken.reshape(y.shape)

    np.testing.assert_array_equal(gather(x), y)
    error = ops.adjoint_error(
        gather,
        lambda y: ops.max_unpool(y, switches, output_size=7),
        x,
        jnp.asarray(rng.normal(size=y.shape), jnp.float32),
    )
    assert float(error) < 1e-6


def test_margins_are_not_zero_and_nan_propagates():
    x = jnp.full((3, 3, 1), -5.0)
    assert float(ops.max_pool(x, 3, strides=1, padding=1).max()) == -5
    y = ops.max_pool(x.at[1, 1, 0].set(jnp.nan), 2, strides=1)
    assert bool(jnp.isnan(y).all())


def test_transforms(rng):
    x = jnp.asarray(image(rng, (6, 6)))

    @jax.jit
    def transforms(x):
        pool = lambda x: ops.max_pool(x, 2)  # noqa: E731
        tangent = jax.jvp(pool, (x,), (jnp.ones_like(x),))[1]
        pairs = jax.vmap(lambda x: ops.max_pool_with_switches(x, 3, strides=2))(x)
        again = ops.max_pool_with_switches(x, 3, strides=2)
        back = [jax.vmap(lambda y, s: ops.max_unpool(y, s, output_size=6))(*pairs)]
        back.append(ops.max_unpool(*again, output_size=6))
        return pool(x), pool(x[0]), tangent, pairs, again, back

    y, first, tangent, pairs, again, back = transforms(x)
    np.testing.assert_array_equal(y[0], first)
    np.testing.assert_array_equal(tangent, jnp.ones_like(y))
    for one, other in zip((*pairs, back[0]), (*again, back[1])):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "float16", "bfloat16"])
def test_every_real_type(dtype, rng):
    x = image(rng, (5, 6)) * (-1 if dtype == "int32" else 1)
    x = jnp.asarray(np.abs(x) if dtype == "uint8" else x, dtype)
    with jax.numpy_dtype_promotion("strict"):
        y, switches = ops.max_pool_with_switches(x, 3, strides=1, padding=1)
        ops.max_unpool(y, switches, output_size=(5, 6), combine="replace")
    expected, place = loops(np.asarray(x), (3, 3), (1, 1), (1, 1))
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches, place)


def test_16_bit_values_are_summed_in_32():
    """2049 is no float16: added one by one it would stay at 2048."""
    y = jnp.ones((4096, 1), jnp.float16)
    x = ops.max_unpool(y, jnp.zeros((4096, 1), jnp.int32), output_size=(2,))
    np.testing.assert_array_equal(x[:, 0], [4096, 0])
    np.testing.assert_array_equal(ops.avg_pool(y, (4096,)), [[1]])


def test_avg_pool_equals_torch(rng):
    torch = pytest.importorskip("torch")
    for (sizes, window, strides, padding), include in itertools.product(
        GEOMETRIES[1:], (True, False)
    ):
        if any(2 * p > w for p, w in zip(padding, window)):
            continue  # PyTorch takes margins up to half the window only
        x = image(rng, sizes, ties=False)
        expected = getattr(torch.nn.functional, f"avg_pool{len(sizes)}d")(
            torch.from_numpy(np.moveaxis(x, -1, 1).copy()),
            window,
            strides,
            padding,
            count_include_pad=include,
        )
        pool = functools.partial(
            ops.avg_pool,
            window=window,
            strides=strides,
            padding=padding,
            count_include_pad=include,
        )
        y = jax.jit(pool)(x)
        np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, atol=1e-6)


def test_avg_pool_is_linear_with_an_exact_transpose(rng):
    pool = lambda x: ops.avg_pool(x, 3, strides=2, padding="SAME")  # noqa: E731
    x = jnp.asarray(image(rng, (8, 7), ties=False))
    y = jnp.asarray(rng.normal(size=(2, 4, 4, 3)), jnp.float32)
    transpose = jax.linear_transpose(pool, x)
    assert float(ops.adjoint_error(pool, lambda y: transpose(y)[0], x, y)) < 1e-6


def cell_means(n, p):
    """The matrix of PyTorch's rule, `[p, n]`, float64."""
    matrix = np.zeros((p, n))
    for i in range(p):
        first, last = i * n // p, -(-(i + 1) * n // p)
        matrix[i, first:last] = 1 / (last - first)
    return matrix


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((9, 8), (3, 4)),
        ((9, 8), (9, 2)),
        ((9, 8), (5, 5)),
        ((9, 8), (12, 8)),
        ((52, 3), (7, 7)),
        ((70, 2), (3, 33)),
    ],
)
def test_adaptive_avg_pool_and_its_derivatives(shape, size, rng):
    x, d = (jnp.asarray(image(rng, shape, ties=False)) for _ in range(2))
    g = jnp.asarray(rng.normal(size=(2, *size, 3)), jnp.float32)
    rows, columns = map(cell_means, shape, size)
    expected = lambda x: np.einsum("ih,bhwc,jw->bijc", rows, x, columns)  # noqa: E731
    pool = lambda x: ops.adaptive_avg_pool(x, size)  # noqa: E731

    @jax.jit
    def derivatives(x, d, g):
        y, pull_back = jax.vjp(pool, x)
        push = lambda x: jax.jvp(pool, (x,), (d,))[1]  # noqa: E731
        mapped = jax.vmap(lambda x: jax.vjp(pool, x)[1](g[0])[0])(x)
        curved = jax.grad(lambda x: (pool(x) ** 3).sum() / 3)(x)
        transposed = jax.linear_transpose(pool, x)(g)[0]
        hessian = jax.jvp(jax.grad(lambda x: (pool(x) ** 2).sum() / 2), (x,), (d,))[1]
        return y, push(x), pull_back(g)[0], mapped, curved, transposed, hessian

    back = lambda g: np.einsum("ih,bijc,jw->bhwc", rows, g, columns)  # noqa: E731
    y, pushed, pulled, mapped, curved, transposed, hessian = derivatives(x, d, g)
    for found, wanted in (
        (y, expected(x)),
        (pushed, expected(d)),
        (pulled, back(g)),
        (mapped, np.broadcast_to(back(g)[:1], x.shape)),
        (curved, back(expected(x) ** 2)),
        (transposed, back(g)),
        (hessian, back(expected(d))),
    ):
        np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("size", [(3, 4), (9, 2), (5, 5), (12, 8)])
def test_adaptive_avg_pool_equals_torch(size, rng):
    torch = pytest.importorskip("torch")
    x = image(rng, (9, 8), ties=False)
    expected = torch.nn.functional.adaptive_avg_pool2d(
        torch.from_numpy(np.moveaxis(x, -1, 1).copy()), size
    )
    y = ops.adaptive_avg_pool(jnp.asarray(x), size)
    np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, atol=1e-6)


def test_a_nan_stays_in_its_cells():
    x = jnp.zeros((8, 1)).at[4].set(jnp.nan)
    y = ops.adaptive_avg_pool(x, (3,))  # cells 0..2, 2..5 and 5..7
    assert jnp.isnan(y[:, 0]).tolist() == [False, True, False]
    g = jnp.zeros((3, 1)).at[1].set(jnp.nan)
    _, pull_back = jax.vjp(lambda x: ops.adaptive_avg_pool(x, (3,)), x)
    seen = jnp.isnan(pull_back(g)[0][:, 0]).tolist()
    assert seen == [False, False, True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.max_pool(x, 0), "window=0"),
        (lambda x: ops.max_pool(x, 2, strides=0), "strides=0"),
        (lambda x: ops.max_pool(x, 5), "empty output"),
        (lambda x: ops.max_pool(x, 2, padding=2), "padding=2"),
        (lambda x: ops.max_pool(x, 2, padding="REFLECT"), "REFLECT"),
        (lambda x: ops.max_pool(x, (2, 2, 2, 2)), "4 spatial axes"),
        (lambda x: ops.max_unpool(x, x, output_size=4, combine="mean"), "'mean'"),
        (lambda x: ops.max_unpool(x, x[1:], output_size=4), "switches"),
        (lambda x: ops.adaptive_avg_pool(x, (0, 2)), "output_size"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((4, 4, 1)))
    with pytest.raises(TypeError, match="complex"):
        ops.max_pool(jnp.ones((4, 4, 1), jnp.complex64), 2)
    with pytest.raises(TypeError, match="floating"):
        ops.avg_pool(jnp.ones((4, 4, 1), jnp.int32), 2)
    with pytest.raises(TypeError, match="floating"):
        ops.adaptive_avg_pool(jnp.ones((5, 1), jnp.int32), (3,))
    with pytest.raises(TypeError, match="switches has dtype float32"):
        ops.max_unpool(jnp.ones((2, 2, 1)), jnp.ones((2, 2, 1)), output_size=4)
