"""Pooling and unpooling against PyTorch and loops."""

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


@pytest.mark.parametrize(("sizes", "window", "strides", "padding"), GEOMETRIES)
def test_max_pool_and_switches_equal_loops(sizes, window, strides, padding, rng):
    x = image(rng, sizes)
    y, switches = ops.max_pool_with_switches(
        jnp.asarray(x), window, strides=strides, padding=padding
    )
    expected, place = loops(x, window, strides, padding)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(switches, place)
    assert switches.dtype == jnp.int32
    plain = ops.max_pool(jnp.asarray(x), window, strides=strides, padding=padding)
    np.testing.assert_array_equal(plain, expected)


@pytest.mark.parametrize(("sizes", "window", "strides", "padding"), GEOMETRIES)
def test_equals_torch_with_gradient_and_unpooling(sizes, window, strides, padding, rng):
    torch = pytest.importorskip("torch")
    if any(2 * p > w for p, w in zip(padding, window)):
        pytest.skip("PyTorch takes margins up to half the window only")
    x = image(rng, sizes)
    d = len(sizes)
    pool = getattr(torch.nn.functional, f"max_pool{d}d")
    tx = torch.from_numpy(np.moveaxis(x, -1, 1).copy()).requires_grad_()
    ty, tplace = pool(tx, window, strides, padding, return_indices=True)
    weights = rng.normal(size=np.moveaxis(ty.detach().numpy(), 1, -1).shape)
    weights = weights.astype(np.float32)
    (ty * torch.from_numpy(np.moveaxis(weights, -1, 1).copy())).sum().backward()

    def loss(x):
        y = ops.max_pool(x, window, strides=strides, padding=padding)
        return jnp.sum(y * weights)

    y, switches = ops.max_pool_with_switches(
        jnp.asarray(x), window, strides=strides, padding=padding
    )
    np.testing.assert_array_equal(np.moveaxis(y, -1, 1), ty.detach())
    np.testing.assert_array_equal(np.moveaxis(switches, -1, 1), tplace)
    np.testing.assert_allclose(
        np.moveaxis(jax.grad(loss)(jnp.asarray(x)), -1, 1), tx.grad, atol=1e-6
    )
    unpool = getattr(torch.nn.functional, f"max_unpool{d}d")
    expected = unpool(ty, tplace, window, strides, padding, output_size=sizes)
    ours = ops.max_unpool(y, switches, output_size=sizes, combine="replace")
    np.testing.assert_array_equal(np.moveaxis(ours, -1, 1), expected.detach())


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
    lowest = jnp.full((4, 4, 1), -jnp.inf)
    _, switches = ops.max_pool_with_switches(lowest, 3, strides=1, padding=1)
    assert int(switches.min()) >= 0 and int(switches[0, 0, 0]) == 0


def test_transforms_and_dtypes(rng):
    x = jnp.asarray(image(rng, (6, 6)))
    pool = lambda x: ops.max_pool(x, 2)  # noqa: E731
    np.testing.assert_array_equal(jax.vmap(pool)(x), jax.jit(pool)(x))
    np.testing.assert_array_equal(pool(x[0]), pool(x)[0])
    _, tangent = jax.jvp(pool, (x,), (jnp.ones_like(x),))
    np.testing.assert_array_equal(tangent, jnp.ones_like(tangent))
    integers = ops.max_pool(jnp.asarray(x, jnp.int32), 2, padding="SAME")
    np.testing.assert_array_equal(integers, pool(jnp.asarray(x, jnp.int32)))
    with jax.numpy_dtype_promotion("strict"):
        ops.max_pool_with_switches(x.astype(jnp.bfloat16), 3, padding=1)


@pytest.mark.parametrize("include", [True, False])
def test_avg_pool_equals_torch(include, rng):
    torch = pytest.importorskip("torch")
    x = image(rng, (9, 8), ties=False)
    expected = torch.nn.functional.avg_pool2d(
        torch.from_numpy(np.moveaxis(x, -1, 1).copy()),
        (3, 2),
        (2, 1),
        1,
        count_include_pad=include,
    )
    y = ops.avg_pool(
        jnp.asarray(x), (3, 2), strides=(2, 1), padding=1, count_include_pad=include
    )
    np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, atol=1e-6)
    assert ops.avg_pool(jnp.ones((4, 4, 1), jnp.bfloat16), 2).dtype == jnp.bfloat16


@pytest.mark.parametrize("size", [(3, 4), (9, 2), (5, 5), (12, 8)])
def test_adaptive_avg_pool_equals_torch(size, rng):
    torch = pytest.importorskip("torch")
    x = image(rng, (9, 8), ties=False)
    expected = torch.nn.functional.adaptive_avg_pool2d(
        torch.from_numpy(np.moveaxis(x, -1, 1).copy()), size
    )
    y = ops.adaptive_avg_pool(jnp.asarray(x), size)
    np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, atol=1e-6)


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
