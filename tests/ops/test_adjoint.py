"""The inner-product test and the operator norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import ops


def test_right_transpose_passes_and_a_wrong_one_does_not(rng):
    kernel = jnp.asarray(rng.normal(size=(4, 1, 1)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(12, 1)), jnp.float32)
    forward = lambda x: ops.conv(x, kernel, padding="CIRCULAR")  # noqa: E731
    y = jnp.asarray(rng.normal(size=forward(x).shape), jnp.float32)
    right = lambda y: ops.conv_transpose(y, kernel, padding="CIRCULAR")  # noqa: E731
    mirrored = lambda y: ops.conv(y, kernel[::-1], padding="CIRCULAR")  # noqa: E731
    assert float(ops.adjoint_error(forward, right, x, y)) < 1e-6
    assert float(ops.adjoint_error(forward, mirrored, x, y)) > 1e-2


def test_complex_operators_plain_and_hermitian(rng):
    a = jnp.asarray(rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4)))
    x = jnp.asarray(rng.normal(size=4) + 1j * rng.normal(size=4), a.dtype)
    y = jnp.asarray(rng.normal(size=3) + 1j * rng.normal(size=3), a.dtype)
    plain, hermitian = lambda y: a.T @ y, lambda y: a.conj().T @ y
    forward = lambda x: a @ x  # noqa: E731
    assert float(ops.adjoint_error(forward, plain, x, y)) < 1e-6
    assert float(ops.adjoint_error(forward, hermitian, x, y, hermitian=True)) < 1e-6
    assert float(ops.adjoint_error(forward, hermitian, x, y)) > 1e-2


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="each other's shapes"):
        ops.adjoint_error(lambda x: x, lambda y: y[:1], jnp.ones(3), jnp.ones(3))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_operator_norm_is_the_largest_singular_value(dtype, rng):
    a = rng.normal(size=(6, 5))
    if dtype == jnp.complex64:
        a = a + 1j * rng.normal(size=a.shape)
    a = jnp.asarray(a, dtype)
    start = jax.random.normal(jax.random.key(0), (5,), dtype)
    norm = jax.jit(
        lambda start: ops.operator_norm(
            lambda x: a @ x, start, num_iters=500, tolerance=1e-7
        )
    )(start)
    np.testing.assert_allclose(norm, np.linalg.norm(a, 2), rtol=1e-3)


def test_operator_norm_of_zero_and_with_a_given_transpose(rng):
    assert float(ops.operator_norm(lambda x: 0 * x, jnp.ones(3))) == 0
    kernel = jnp.asarray(rng.normal(size=(3, 3, 1, 1)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(8, 8, 1)), jnp.float32)
    norm = ops.operator_norm(
        lambda x: ops.conv(x, kernel, padding="CIRCULAR"),
        x,
        transpose=lambda y: ops.conv_transpose(y, kernel, padding="CIRCULAR"),
        num_iters=500,
        tolerance=1e-7,
    )
    spectrum = np.abs(np.fft.fft2(np.pad(kernel[..., 0, 0], ((0, 5), (0, 5)))))
    np.testing.assert_allclose(norm, spectrum.max(), rtol=1e-3)


def test_pytrees(rng):
    """The Jacobian of a function of two arrays, and its transpose by jax.vjp."""
    f = lambda x: {"a": x[0] * x[1], "b": jnp.tanh(x[0]).sum()}  # noqa: E731
    at = (jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.normal(size=4)))
    forward = lambda x: jax.jvp(f, (at,), (x,))[1]  # noqa: E731
    transpose = lambda y: jax.vjp(f, at)[1](y)[0]  # noqa: E731
    x = (jnp.asarray(rng.normal(size=4)), jnp.asarray(rng.normal(size=4)))
    y = {"a": jnp.asarray(rng.normal(size=4)), "b": jnp.asarray(rng.normal())}
    assert float(ops.adjoint_error(forward, transpose, x, y)) < 1e-6
    assert float(ops.adjoint_error(forward, lambda y: at, x, y)) > 1e-2
    basis = (jnp.eye(8)[:, :4], jnp.eye(8)[:, 4:])
    columns = jax.vmap(forward, out_axes=-1)(basis)
    dense = np.concatenate([v.reshape(-1, 8) for v in jax.tree.leaves(columns)])
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), x)
    norm = ops.operator_norm(
        forward, shapes, key=jax.random.key(0), num_iters=500, tolerance=1e-7
    )
    np.testing.assert_allclose(norm, np.linalg.norm(dense, 2), rtol=1e-3)


def test_real_images_with_a_complex_spectrum(rng):
    x = jnp.asarray(rng.normal(size=8), jnp.float32)
    y = jnp.fft.rfft(jnp.asarray(rng.normal(size=8), jnp.float32))
    plain = jax.linear_transpose(jnp.fft.rfft, x)
    adjoint = lambda y: plain(jnp.conj(y))[0]  # noqa: E731
    assert float(ops.adjoint_error(jnp.fft.rfft, adjoint, x, y, hermitian=True)) < 1e-6
    wrong = lambda y: plain(y)[0]  # noqa: E731
    assert float(ops.adjoint_error(jnp.fft.rfft, wrong, x, y, hermitian=True)) > 1e-2


def test_16_bit_operators_under_strict_promotion():
    half = jnp.asarray(0.5, jnp.bfloat16)
    x = jnp.ones(3, jnp.bfloat16)
    with jax.numpy_dtype_promotion("strict"):
        error = ops.adjoint_error(
            lambda x: (half * x).astype(jnp.float32),
            lambda y: half * y.astype(jnp.bfloat16),
            x,
            x.astype(jnp.float32),
        )
        norm = ops.operator_norm(lambda x: half * x, x)
    assert float(error) == 0
    np.testing.assert_allclose(norm, 0.5, rtol=2**-7)


def test_operator_norm_of_a_zero_start_and_no_iterations():
    assert float(ops.operator_norm(lambda x: 2 * x, jnp.zeros(3))) == 0
    with pytest.raises(ValueError, match="num_iters=0"):
        ops.operator_norm(lambda x: x, jnp.ones(3), num_iters=0)
