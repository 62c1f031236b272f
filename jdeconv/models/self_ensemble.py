"""The mean of a network's results over the symmetries of the square."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array, lax

_FLIPS = ((False, False), (False, True), (True, False), (True, True))


class SelfEnsemble(nnx.Module):
    """A network that sees each image in eight positions, and returns their mean.

    The image is flipped, transposed, or both; what the network returns is brought back.
    It takes eight times the time; docs/networks.md has what denoising and enlarging
    gain. The network should have learned on flipped and turned images (`data.augment`
    "dihedral"), and should look at things that have no side up.

    Args:
      network: returning an image, or logits for each pixel, of any size.

    Raises:
      ValueError: a network that returns logits of whole images.

    References:
      Timofte et al., "Seven ways to improve example-based single image super
      resolution", 2016, "enhanced prediction".
    """

    def __init__(self, network: nnx.Module):
        output = getattr(network, "output", None)
        if output not in ("image", "labels"):
            raise ValueError(
                f"network {type(network).__name__} with output {output!r}: must return "
                "an image, 'image', or logits for each pixel, 'labels'"
            )
        self.network: Any = network
        self.output = output
        self.condition = getattr(network, "condition", None)

    def __call__(self, x: Array, *, key: Array | None = None, **given: Array) -> Array:
        """`[B, H, W, C]` to what the network returns; `given` is handed on to it."""
        turned = _turned(self._over_flips(_turned(x), key, given))
        return (self._over_flips(x, key, given) + turned) / 2

    def _over_flips(self, x: Array, key: Array | None, given: dict) -> Array:
        def one(flip: Array) -> Array:
            return _flipped(self.network(_flipped(x, flip), key=key, **given), flip)

        # One after the other: the memory of one.
        return jnp.mean(lax.map(one, jnp.array(_FLIPS)), 0)


def _turned(x: Array) -> Array:
    return jnp.swapaxes(x, 1, 2)


def _flipped(x: Array, flip: Array) -> Array:
    """Upside down if flip[0], and from left to right if flip[1]."""
    x = jnp.where(flip[0], jnp.flip(x, 1), x)
    return jnp.where(flip[1], jnp.flip(x, 2), x)
