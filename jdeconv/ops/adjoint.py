"""Is this operator the transpose of that one, and how large is it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

Operator = Callable[[Array], Array]


def adjoint_error(
    forward: Operator, transpose: Operator, x: Array, y: Array, *, hermitian=False
) -> Array:
    """Relative gap of the two inner products, |<A x, y> - <x, A' y>| / (|A x| |y|).

    Zero up to rounding for a transpose, for every x and y; draw them at random. The
    products are summed in the widest floating type at hand.

    Args:
      forward: A, linear.
      transpose: A', the operator to test.
      x: any array that forward takes.
      y: any array of the shape that forward returns.
      hermitian: for complex arrays, whether <a, b> conjugates a: False for
        `conv_transpose`, which takes no conjugate, True for `restore`'s adjoints.

    Returns:
      Scalar, real.

    Raises:
      ValueError: shapes that do not fit each other.

    >>> a = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> x, y = jnp.array([1.0, -1.0]), jnp.array([2.0, 0.5])
    >>> float(adjoint_error(lambda x: a @ x, lambda y: a.T @ y, x, y))
    0.0
    """
    ax, aty = forward(x), transpose(y)
    if ax.shape != y.shape or aty.shape != x.shape:
        raise ValueError(
            f"forward takes {x.shape} to {ax.shape} and transpose takes {y.shape} to "
            f"{aty.shape}: not each other's shapes"
        )
    wide = jnp.promote_types(jnp.result_type(ax, aty), jnp.float32)
    ax, y, x, aty = (a.astype(wide).ravel() for a in (ax, y, x, aty))
    dot = jnp.vdot if hermitian else jnp.dot
    gap = jnp.abs(dot(ax, y) - dot(x, aty))
    scale = jnp.linalg.norm(ax) * jnp.linalg.norm(y)
    return gap / jnp.maximum(scale, jnp.finfo(scale.dtype).tiny)


def operator_norm(
    forward: Operator,
    x: Array,
    *,
    transpose: Operator | None = None,
    num_iters: int = 50,
    tolerance: float = 1e-4,
) -> Array:
    """Largest singular value of a linear operator, by power iteration on A^H A.

    Args:
      forward: A, linear.
      x: start, an array that forward takes; random, so that it meets every direction.
      transpose: the Hermitian adjoint of A; default by `jax.linear_transpose`.
      num_iters: iterations at most.
      tolerance: relative change at which to stop.

    Returns:
      Scalar, real; from below, so scale by a little more where a bound is needed.

    >>> a = jnp.diag(jnp.array([1.0, 3.0]))
    >>> round(float(operator_norm(lambda x: a @ x, jnp.array([1.0, 1.0]))), 3)
    3.0
    """
    if transpose is None:
        plain = jax.linear_transpose(forward, x)

        def transpose(y):
            return jnp.conj(plain(jnp.conj(y))[0])

    def norm(v):
        return jnp.linalg.norm(v.ravel())

    def proceed(carry):
        _, now, before, i = carry
        return (i < num_iters) & (jnp.abs(now - before) > tolerance * now)

    def step(carry):
        v, now, _, i = carry
        w = transpose(forward(v))
        size = norm(w)
        v = w / jnp.maximum(size, jnp.finfo(size.dtype).tiny).astype(w.dtype)
        return v, jnp.sqrt(size), now, i + 1

    start = x / norm(x).astype(x.dtype)
    zero = jnp.zeros_like(norm(x))
    _, value, _, _ = lax.while_loop(proceed, step, (start, zero + 1, zero, 0))
    return value
