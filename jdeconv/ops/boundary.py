"""Margins around an image, and their exact transposes.

`pad` adds margins that are zeros, or filled from the image: wrapped around, mirrored
(the edge pixel not repeated) or edge-repeated. On one axis, margins 2 and 2:

    zero       0 0 | a b c d | 0 0
    circular   c d | a b c d | a b
    reflect    c b | a b c d | c b
    edge       a a | a b c d | d d

`pad_transpose` takes an array of the padded size back: what lies in a margin is added
to the pixel it was copied from, so sum(pad(x) * y) == sum(x * pad_transpose(y)).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

Margins = Sequence[tuple[int, int]]

_NUMPY_MODE = {"circular": "wrap", "reflect": "reflect", "edge": "edge"}
MODES = ("zero", *_NUMPY_MODE)


def pad(x: Array, margins: Margins, mode: str = "zero") -> Array:
    """Extends an image by margins: linear in x.

    Args:
      x: any array.
      margins: one (low, high) pair of ints >= 0 per axis of x.
      mode: "zero", "circular", "reflect" or "edge".

    Returns:
      Array with axis i longer by the sum of its margins.

    Raises:
      ValueError: unknown mode, a wrong number of margins, a negative margin, or
        "reflect" with a margin that is not smaller than its axis.

    >>> pad(jnp.array([1., 2., 3.]), [(1, 2)], "circular").tolist()
    [3.0, 1.0, 2.0, 3.0, 1.0, 2.0]
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: must be one of {', '.join(MODES)}")
    if len(margins) != x.ndim or any(min(m) < 0 for m in margins):
        raise ValueError(
            f"margins={margins!r}: must be {x.ndim} (low, high) pairs of ints >= 0"
        )
    if mode == "zero":
        return lax.pad(x, jnp.zeros((), x.dtype), [(lo, hi, 0) for lo, hi in margins])
    if mode == "reflect" and any(max(m) >= n for m, n in zip(margins, x.shape)):
        raise ValueError(
            f"margins={margins!r}: 'reflect' needs every margin below its axis, and "
            f"the shape is {x.shape}"
        )
    return jnp.pad(x, margins, mode=_NUMPY_MODE[mode])


def pad_transpose(y: Array, margins: Margins, mode: str = "zero") -> Array:
    """Folds margins back onto the image: the transpose of `pad`, same arguments.

    Args:
      y: array of the padded shape.
      margins, mode: as given to `pad`.

    Returns:
      Array of the shape that `pad` received.

    >>> pad_transpose(jnp.ones(6), [(1, 2)], "circular").tolist()
    [2.0, 2.0, 2.0]
    """
    shape = tuple(n - lo - hi for n, (lo, hi) in zip(y.shape, margins))
    if mode == "zero":
        starts = tuple(lo for lo, _ in margins)
        return lax.slice(y, starts, tuple(a + n for a, n in zip(starts, shape)))
    image = jax.ShapeDtypeStruct(shape, y.dtype)
    (x,) = jax.linear_transpose(lambda x: pad(x, margins, mode), image)(y)
    return x
