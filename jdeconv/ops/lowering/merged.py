"""Merged: narrow groups taken together as wider ones, with zeros written between.

Of four groups of two channels, two at a time, a tap's matrix, in to out:

    g0 .  .  .              g0 .
    .  g1 .  .       ->     .  g1
    .  .  g2 .                    g2 .
    .  .  .  g3                   .  g3      as two groups of four channels

Libraries compute groups one by one, and products over few channels are far from a
machine's rate; at stride 1 `winograd` asks for more of them. The merged problem is
solved as any other; the gradient to the kernel is cut out of the wide one. Nothing but
zeros is added, so results differ by rounding alone (unless an image has infinities,
which reach the groups beside them as NaN).
"""

import jax.numpy as jnp
from jax import Array

from jdeconv.ops.lowering.problem import Problem

# Channels of a group that is wide enough: of strided layers, and of others.
_WIDE, _WIDE_UNSTRIDED = 32, 64


def count(p: Problem) -> int:
    """How many groups are taken together: the fewest that are wide, a divisor."""
    wide = _WIDE if any(a.stride > 1 for a in p.axes) else _WIDE_UNSTRIDED
    least = -(-wide // min(p.group_in, p.group_out))
    return next((n for n in range(least, p.groups) if p.groups % n == 0), p.groups)


def wider(p: Problem) -> Problem:
    """The problem with the merged groups."""
    n = count(p)
    return p._replace(
        groups=p.groups // n, group_in=p.group_in * n, group_out=p.group_out * n
    )


def kernel_of(p: Problem, kernel: Array) -> Array:
    """[*window, in / g, out] with zeros between: [*window, n * in / g, out]."""
    n = count(p)
    *window, inputs, outputs = kernel.shape
    kernel = kernel.reshape(*window, 1, inputs, p.groups // n, n, p.group_out)
    own = jnp.eye(n, dtype=bool)[:, None, None, :, None]
    zero = jnp.zeros((), kernel.dtype)
    return jnp.where(own, kernel, zero).reshape(*window, n * inputs, outputs)
