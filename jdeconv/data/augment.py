"""Random changes of training images that keep their label, on the device.

What happens to an image depends on its own key alone, so not on how the batch is spread
over devices; and an image and its mask with one key are changed alike.
"""

import functools

import jax
import jax.numpy as jnp
from jax import Array

MODES = ("none", "shift", "flip", "shift_flip", "dihedral")

# Numbers folded into an example's key; 0 and 1 are those of its shift and its flip.
_SYMMETRY, _CROP = 2, 3


def augment(key: Array, x: Array, mode: str, *, reach: int = 2) -> Array:
    """Each image shifted by up to `reach` pixels, mirrored, turned, or some of these.

    Args:
      key: `[B]` typed keys, one per example.
      x: `[B, H, W, C]`.
      mode: "none"; "shift", by a whole number of pixels per axis, zeros shifted in;
        "flip", left to right with probability 1/2; "shift_flip"; or "dihedral", one of
        the eight ways a square falls on itself: rotations by right angles and mirror
        images.
      reach: largest shift per axis, pixels.

    Returns:
      Like x.

    Raises:
      ValueError: an unknown mode, or "dihedral" of images that are not square.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> augment(keys, jnp.ones((2, 8, 8, 1)), "shift_flip").shape
    (2, 8, 8, 1)
    """
    return _moved(key, x, mode, reach, 0)


def augment_pair(
    key: Array,
    x: Array,
    mask: Array,
    mode: str,
    *,
    ignore: int,
    crop: tuple[int, int] | None = None,
    reach: int = 2,
) -> tuple[Array, Array]:
    """`augment` of images and their masks alike, after cutting a window of them.

    Args:
      key: `[B]` typed keys.
      x: `[B, H, W, C]`.
      mask: `[B, H, W]`, the class of each pixel.
      mode, reach: as in `augment`.
      ignore: what is shifted into a mask where zeros are shifted into the image.
      crop: (height, width) of a window of each image, at a random place; None: all.

    Returns:
      Images `[B, *crop, C]` and masks `[B, *crop]`.

    Raises:
      ValueError: as `augment`, or a window larger than the images.
    """
    if crop is not None:
        x, mask = _windows(key, x, mask, crop)
    moved = _moved(key, mask[..., None], mode, reach, ignore)
    return _moved(key, x, mode, reach, 0), moved[..., 0]


def _moved(key: Array, x: Array, mode: str, reach: int, fill: int) -> Array:
    if mode not in MODES:
        raise ValueError(f"augment={mode!r}: must be one of {', '.join(MODES)}")
    shift, flip = (jax.vmap(jax.random.split)(key)[:, i] for i in range(2))
    if mode in ("shift", "shift_flip"):
        margin = ((0, 0), (reach, reach), (reach, reach), (0, 0))
        padded = jnp.pad(x, margin, constant_values=fill)

        def shifted(key, image):
            row, column = jax.random.randint(key, (2,), 0, 2 * reach + 1)
            return jax.lax.dynamic_slice(image, (row, column, 0), x.shape[1:])

        x = jax.vmap(shifted)(shift, padded)
    if mode in ("flip", "shift_flip"):
        x = _where(jax.vmap(jax.random.bernoulli)(flip), x[:, :, ::-1], x)
    if mode == "dihedral":
        if x.shape[1] != x.shape[2]:
            raise ValueError(
                f"augment='dihedral' of images {x.shape[1]} x {x.shape[2]}: must be "
                "square, or cut to a square"
            )
        keys = jax.vmap(jax.random.fold_in, (0, None))(key, _SYMMETRY)
        draw = functools.partial(jax.random.bernoulli, shape=(3,))
        turned, down, across = jax.vmap(draw)(keys).T
        x = _where(turned, jnp.swapaxes(x, 1, 2), x)
        x = _where(down, x[:, ::-1], x)
        x = _where(across, x[:, :, ::-1], x)
    return x


def _where(chosen: Array, x: Array, y: Array) -> Array:
    return jnp.where(chosen[:, None, None, None], x, y)


def _windows(
    key: Array, x: Array, mask: Array, size: tuple[int, int]
) -> tuple[Array, Array]:
    room = (x.shape[1] - size[0], x.shape[2] - size[1])
    if min(room) < 0:
        raise ValueError(
            f"crop={size}: must be at most the images' size, {x.shape[1:3]}"
        )

    def window(key, image, mask):
        key = jax.random.fold_in(key, _CROP)
        row, column = jax.random.randint(
            key, (2,), 0, jnp.asarray([room[0] + 1, room[1] + 1])
        )
        image = jax.lax.dynamic_slice(image, (row, column, 0), (*size, image.shape[-1]))
        return image, jax.lax.dynamic_slice(mask, (row, column), size)

    return jax.vmap(window)(key, x, mask)
