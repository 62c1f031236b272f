"""Is this operator the transpose of that one, and how large is it."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

Arrays = Any  # an array, or any pytree of arrays
Operator = Callable[[Arrays], Arrays]


def adjoint_error(
    forward: Operator,
    transpose: Operator,
    x: Arrays,
    y: Arrays,
    *,
    hermitian: bool = False,
) -> Array:
    """Relative gap of the two inner products, |<A x, y> - <x, A' y>| / (|A x| |y|).

    Zero up to rounding for a transpose, for every x and y; draw them at random. The
    products are summed in float32 at least. Where one side is real and the other
    complex (a Fourier transform of real images), real parts are compared.

    Args:
      forward: A, linear.
      transpose: A', the operator to test.
      x: anything that forward takes: an array or a pytree of arrays.
      y: anything of the shape that forward returns.
      hermitian: for complex arrays, whether <a, b> conjugates a: False for
        `conv_transpose`, which takes no conjugate, True for `restore`'s adjoints.

    Returns:
      Scalar, real.

    Raises:
      ValueError: shapes or structures that do not fit each other.

    >>> a = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> x, y = jnp.array([1.0, -1.0]), jnp.array([2.0, 0.5])
    >>> float(adjoint_error(lambda x: a @ x, lambda y: a.T @ y, x, y))
    0.0
    """
    ax, aty = forward(x), transpose(y)
    if _shapes(ax) != _shapes(y) or _shapes(aty) != _shapes(x):
        raise ValueError(
            f"forward takes {_named(x)} to {_named(ax)} and transpose takes "
            f"{_named(y)} to {_named(aty)}: not each other's shapes"
        )
    there = _inner(ax, y, hermitian=hermitian)
    back = _inner(x, aty, hermitian=hermitian)
    if jnp.iscomplexobj(there) != jnp.iscomplexobj(back):
        there, back = there.real, back.real
    scale = _norm(ax) * _norm(y)
    return jnp.abs(there - back) / jnp.maximum(scale, jnp.finfo(scale.dtype).tiny)


def operator_norm(
    forward: Operator,
    x: Arrays,
    *,
    transpose: Operator | None = None,
    num_iters: int = 50,
    tolerance: float = 1e-4,
    key: Array | None = None,
) -> Array:
    """Largest singular value of a linear operator, by power iteration on A^H A.

    Args:
      forward: A, linear, of an array or a pytree of arrays.
      x: start, something that forward takes, random, so that it meets every
        direction. With a key only its shapes and dtypes count, and
        `jax.ShapeDtypeStruct` will do.
      transpose: the Hermitian adjoint of A; default by `jax.linear_transpose`.
      num_iters: iterations at most.
      tolerance: relative change at which to stop.
      key: draws the start from a normal distribution.

    Returns:
      Scalar, real; from below, so scale by a little more where a bound is needed. A
      start of zeros gives 0.

    Raises:
      ValueError: num_iters below 1.

    >>> a = jnp.diag(jnp.array([1.0, 3.0]))
    >>> round(float(operator_norm(lambda x: a @ x, jnp.array([1.0, 1.0]))), 3)
    3.0
    >>> shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    >>> round(float(operator_norm(lambda x: a @ x, shape, key=jax.random.key(0))), 3)
    3.0
    """
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters!r}: must be at least 1")
    if key is not None:
        x = _draw(key, x)
    x = jax.tree.map(jnp.asarray, x)
    adjoint = _hermitian_adjoint(forward, x) if transpose is None else transpose

    def proceed(carry):
        _, now, before, i = carry
        return (i < num_iters) & (jnp.abs(now - before) > tolerance * now)

    def step(carry):
        v, now, _, i = carry
        w = adjoint(forward(v))
        size = _norm(w)
        # An adjoint may return a wider type than x has.
        v = jax.tree.map(lambda a, like: a.astype(like.dtype), _over(w, size), v)
        return v, jnp.sqrt(size).astype(now.dtype), now, i + 1

    size = _norm(x)
    zero = jnp.zeros_like(size)
    start = _over(x, size), zero + 1, zero, 0
    return lax.while_loop(proceed, step, start)[1]


def _hermitian_adjoint(forward: Operator, x: Arrays) -> Operator:
    plain = jax.linear_transpose(forward, x)

    def adjoint(y):
        (aty,) = plain(jax.tree.map(jnp.conj, y))
        return jax.tree.map(jnp.conj, aty)

    return adjoint


def _draw(key: Array, like: Arrays) -> Arrays:
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    draws = [jax.random.normal(k, a.shape, a.dtype) for k, a in zip(keys, leaves)]
    return jax.tree.unflatten(structure, draws)


def _over(x: Arrays, size: Array) -> Arrays:
    """x / size, of x's types; divided before it is narrowed."""
    size = jnp.maximum(size, jnp.finfo(size.dtype).tiny)
    with jax.numpy_dtype_promotion("standard"):
        return jax.tree.map(lambda a: (_wide(a) / size).astype(a.dtype), x)


def _inner(a: Arrays, b: Arrays, *, hermitian: bool) -> Array:
    """Sum over all entries of a, or its conjugate, times b."""

    def product(a, b):
        a, b = _wide(a), _wide(b)
        return jnp.sum((jnp.conj(a) if hermitian else a) * b)

    # Operands differ in type where an operator changes it, which is no mistake here.
    with jax.numpy_dtype_promotion("standard"):
        products = jax.tree.leaves(jax.tree.map(product, a, b))
        return functools.reduce(operator.add, products)


def _norm(x: Arrays) -> Array:
    """Euclidean norm of all entries."""
    norms = [jnp.linalg.norm(_wide(a).ravel()) for a in jax.tree.leaves(x)]
    with jax.numpy_dtype_promotion("standard"):
        return functools.reduce(jnp.hypot, norms)


def _wide(a: Array) -> Array:
    """Of at least float32's range."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.asarray(a).astype(jnp.promote_types(jnp.result_type(a), "float32"))


def _shapes(x: Arrays) -> tuple:
    leaves, structure = jax.tree.flatten(x)
    return structure, [jnp.shape(a) for a in leaves]


def _named(x: Arrays) -> str:
    return str(jax.tree.map(lambda a: "x".join(map(str, jnp.shape(a))) or "scalar", x))
