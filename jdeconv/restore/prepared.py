"""What Richardson-Lucy's iterations start from, on the frame of the transforms."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore.blur import Blur, Operator

_SEEN = 1e-3  # share of a pixel's light within the frame below which it stays as it was


class Prepared(NamedTuple):
    """What iterations need, of the blur's shapes."""

    blur: Operator
    image: Array  # y, not negative
    counted: Array | None  # m; None where all pixels count
    sees: Array  # whether the image tells anything of a pixel of the scene
    gain: Array  # there 1 / A'(m), elsewhere 0
    background: Array
    least: Array  # of the model
    x: Array  # the first estimate


@functools.partial(jax.jit, static_argnames=("framed", "one_thread"))
def prepare(
    image: Array,
    blur: Operator,
    mask: Array | None,
    background: ArrayLike,
    init: ArrayLike | None,
    *,
    framed: bool,
    one_thread: bool,
) -> Prepared:
    """What iterations need: if framed, on the frame of the blur's transforms.

    There nothing is cut out or filled up from one transform to the next: beyond the
    scene x stays 0, and so does y beyond the image, where `trimmed` cuts them off.

    Args:
      image, blur, mask, background, init: as of `richardson_lucy`, checked.
      framed: where the blur has such a frame.
      one_thread: as of `Blur.framed`.
    """
    spatial = tuple(range(-blur.num_axes, 0))
    batch = image.shape[: image.ndim - blur.num_axes]
    tiny = jnp.finfo(image.dtype).tiny
    image = jnp.maximum(image, 0)
    least = jnp.finfo(image.dtype).eps * jnp.max(image, spatial, keepdims=True) + tiny
    background = jnp.asarray(background, image.dtype)
    counted = None
    if mask is not None:
        counted = jnp.broadcast_to(jnp.asarray(mask, image.dtype), image.shape)
    if counted is None and isinstance(blur, Blur):
        seen = jnp.broadcast_to(blur.seen(), batch + blur.shape)
    else:
        seen = blur.adjoint(jnp.ones_like(image) if counted is None else counted)
    sees = seen > _SEEN * jnp.max(seen, spatial, keepdims=True)
    gain = jnp.where(sees, 1 / jnp.where(sees, seen, 1), 0)
    if init is None:
        init = jnp.mean(image, spatial, keepdims=True)
    x = jnp.maximum(jnp.asarray(init, image.dtype), least)
    x = jnp.broadcast_to(x, batch + blur.shape)
    frame = None
    if framed and isinstance(blur, Blur):
        frame = blur.framed(one_thread=one_thread)
    if frame is None:
        return Prepared(blur, image, counted, sees, gain, background, least, x)
    if background.ndim:
        background = _filled_up(jnp.broadcast_to(background, image.shape), frame.shape)
    return Prepared(
        frame,
        _filled_up(image, frame.shape),
        None if counted is None else _filled_up(counted, frame.shape),
        _filled_up(sees, frame.shape),
        _filled_up(gain, frame.shape),
        background,
        least,
        _filled_up(x, frame.shape),
    )


def _filled_up(a: Array, sizes: tuple[int, ...]) -> Array:
    """With zeros after the last pixels, to these sizes."""
    first = a.ndim - len(sizes)
    after = [(0, m - n) for n, m in zip(a.shape[first:], sizes)]
    return jnp.pad(a, [(0, 0)] * first + after)


def trimmed(a: Array, sizes: tuple[int, ...]) -> Array:
    """The first pixels, of these sizes."""
    return a[(..., *(slice(n) for n in sizes))]
