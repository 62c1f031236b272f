"""Random changes of training images that keep their label, on the device."""

import jax
import jax.numpy as jnp
from jax import Array

MODES = ("none", "shift", "shift_flip")


def augment(key: Array, x: Array, mode: str, *, reach: int = 2) -> Array:
    """Each image shifted by up to `reach` pixels, and maybe mirrored left to right.

    Args:
      key: `[B]` keys, one per example.
      x: `[B, H, W, C]`, floating; what is shifted in is zero.
      mode: "none", "shift", or "shift_flip" (mirrored with probability 1/2 too).
      reach: largest shift per axis, pixels.

    Raises:
      ValueError: an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"augment={mode!r}: must be one of {', '.join(MODES)}")
    if mode == "none":
        return x
    padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))

    def one(key, image):
        where, mirror = jax.random.split(key)
        row, column = jax.random.randint(where, (2,), 0, 2 * reach + 1)
        image = jax.lax.dynamic_slice(image, (row, column, 0), x.shape[1:])
        if mode == "shift_flip":
            flip = jax.random.bernoulli(mirror)
            image = jnp.where(flip, image[:, ::-1], image)
        return image

    return jax.vmap(one)(key, padded)
