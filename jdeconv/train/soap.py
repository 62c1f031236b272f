"""SOAP: Adam in the eigenbasis of the gradients' second moments.

A layer whose inputs are neighbouring pixels sees much the same number many times over,
and the loss is steep along their sum and flat along their differences. Adam scales each
weight by itself and cannot tell the two apart; in the basis in which the gradients are
uncorrelated it can.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax


class SoapState(NamedTuple):
    """step: updates made; leaves: by parameter, in the order of its tree."""

    step: Array
    leaves: tuple[dict[str, Array], ...]


def scale_by_soap(
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    *,
    every: int = 50,
    largest: int = 2048,
) -> optax.GradientTransformation:
    """Updates Q_l N Q_r^T, N Adam's of the gradient in the basis, Q_l^T G Q_r.

    G is the gradient of a kernel as a matrix: windows and the channels before the last
    axis, times the last axis. Q_l and Q_r are eigenvectors of moving averages of G G^T
    and G^T G; the first gradient gives them, and no update. What has one axis, such as
    a bias, is updated as by Adam.

    Args:
      b1: decay of the mean gradient.
      b2: decay of its square in the basis, and of G G^T and G^T G.
      eps: added to the root of the square.
      every: updates between two corrections of the basis, each one step of orthogonal
        iteration.
      largest: a longer side of G gets no basis.

    Raises:
      ValueError: every < 1.

    References:
      Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", 2024,
      algorithm 3.
    """
    if every < 1:
        raise ValueError(f"every={every}: must be >= 1")

    def start(p: Array) -> dict[str, Array]:
        leaf = {"mean": jnp.zeros_like(p), "square": jnp.zeros_like(_matrix(p))}
        for side, n in _sides(p, largest).items():
            leaf[f"{side}_moment"] = jnp.zeros((n, n), p.dtype)
            leaf[f"{side}_basis"] = jnp.eye(n, dtype=p.dtype)
        return leaf

    def init(params):
        leaves = tuple(start(p) for p in jax.tree.leaves(params))
        return SoapState(jnp.zeros((), jnp.int32), leaves)

    def update(grads, state, params=None):
        del params
        count = state.step + 1
        flat, tree = jax.tree.flatten(grads)
        results = [_one(g, leaf, count) for g, leaf in zip(flat, state.leaves)]
        updates = jax.tree.unflatten(tree, [u for u, _ in results])
        return updates, SoapState(count, tuple(leaf for _, leaf in results))

    def _one(g: Array, leaf: dict[str, Array], count: Array):
        matrix = _matrix(g)
        new: dict[str, Any] = {"mean": b1 * leaf["mean"] + (1 - b1) * g}
        basis = {}
        for side in _sides(g, largest):
            rows = matrix if side == "left" else matrix.T
            moment = b2 * leaf[f"{side}_moment"] + (1 - b2) * rows @ rows.T
            basis[side] = _corrected(moment, leaf[f"{side}_basis"], count)
            new |= {f"{side}_moment": moment, f"{side}_basis": basis[side]}
        turned = _turn(matrix, basis)
        new["square"] = b2 * leaf["square"] + (1 - b2) * jnp.square(turned)
        step = count.astype(g.dtype)
        mean = _turn(_matrix(new["mean"]), basis) / (1 - b1**step)
        root = jnp.sqrt(new["square"] / (1 - b2**step))
        update = _turn(mean / (root + eps), basis, back=True)
        if basis:
            # The first gradient alone leaves directions empty but for rounding errors,
            # which would be divided by their own size.
            update = jnp.where(count == 1, 0, update)
        return update.reshape(g.shape), new

    def _corrected(moment: Array, basis: Array, count: Array) -> Array:
        def first(basis):
            del basis
            return jnp.linalg.eigh(moment)[1][:, ::-1]

        def iterate(basis):
            return jnp.linalg.qr(moment @ basis)[0]

        case = jnp.where(count == 1, 1, jnp.where(count % every == 0, 2, 0))
        return lax.switch(case, (lambda basis: basis, first, iterate), basis)

    return optax.GradientTransformation(init, update)


def _matrix(x: Array) -> Array:
    """`[..., n]` to `[m, n]`."""
    return x.reshape(-1, x.shape[-1]) if x.ndim > 1 else x.reshape(1, -1)


def _sides(x: Array, largest: int) -> dict[str, int]:
    """The sides of the matrix that get a basis, and their lengths."""
    if x.ndim < 2:
        return {}
    sides = dict(zip(("left", "right"), _matrix(x).shape))
    return {side: n for side, n in sides.items() if 1 < n <= largest}


def _turn(matrix: Array, basis: dict[str, Array], back: bool = False) -> Array:
    """Q_l^T M Q_r, or Q_l M Q_r^T; a side without basis stays as it is."""
    if "left" in basis:
        left = basis["left"]
        matrix = (left if back else left.T) @ matrix
    if "right" in basis:
        right = basis["right"]
        matrix = matrix @ (right.T if back else right)
    return matrix
