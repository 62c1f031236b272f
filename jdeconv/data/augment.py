"""Random changes of training images that keep their label, on the device."""

import jax
import jax.numpy as jnp
from jax import Array

MODES = ("none", "shift", "flip", "shift_flip")


def augment(key: Array, x: Array, mode: str, *, reach: int = 2) -> Array:
    """Each image shifted by up to `reach` pixels, mirrored left to right, or both.

    Args:
      key: `[B]` typed keys, one per example, so that the numbers do not depend on how
        the batch is spread over devices.
      x: `[B, H, W, C]`, floating.
      mode: "none"; "shift", by a whole number of pixels per axis, zeros shifted in;
        "flip", with probability 1/2; or "shift_flip".
      reach: largest shift per axis, pixels.

    Returns:
      Like x.

    Raises:
      ValueError: an unknown mode.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> augment(keys, jnp.ones((2, 8, 8, 1)), "shift_flip").shape
    (2, 8, 8, 1)
    """
    if mode not in MODES:
        raise ValueError(f"augment={mode!r}: must be one of {', '.join(MODES)}")
    shift, flip = (jax.vmap(jax.random.split)(key)[:, i] for i in range(2))
    if mode in ("shift", "shift_flip"):
        padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))

        def shifted(key, image):
            row, column = jax.random.randint(key, (2,), 0, 2 * reach + 1)
            return jax.lax.dynamic_slice(image, (row, column, 0), x.shape[1:])

        x = jax.vmap(shifted)(shift, padded)
    if mode in ("flip", "shift_flip"):
        mirrored = jax.vmap(jax.random.bernoulli)(flip)
        x = jnp.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
    return x
