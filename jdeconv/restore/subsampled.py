"""Blur, then fewer pixels: how a coarse camera sees a fine scene (super-resolution)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from jdeconv.restore.blur import Operator, check_image

METHODS = ("area", "stride")


@jax.tree_util.register_pytree_node_class
class Subsampled:
    """Linear operator y = D A x: a blur A, and of its image one pixel of each block.

    A pytree around the blur's; called and transposed as `Blur`.

    Attributes:
      blur: A, a `Blur` or `VaryingBlur`.
      factor: per axis, pixels of the scene per pixel of the image.
      method: "area" takes the mean of each block, as a camera's pixel does; "stride"
        the block's first pixel.
    """

    def __init__(
        self, blur: Operator, factor: int | Sequence[int], *, method: str = "area"
    ):
        """Checks the arguments.

        Args:
          blur: of the fine scene.
          factor: >= 1, one int for all axes or one each.
          method: "area" or "stride".

        Raises:
          ValueError: an unknown method, a factor below 1 or not one per axis, a blurred
            image that cannot be divided into such blocks.
        """
        axes = blur.num_axes
        factors = (factor,) * axes if isinstance(factor, int) else tuple(factor)
        if method not in METHODS:
            raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")
        if len(factors) != axes or not all(f >= 1 for f in factors):
            raise ValueError(f"factor={factor!r}: must be {axes} ints >= 1, or one")
        if any(n % f for n, f in zip(blur.output_shape, factors)):
            raise ValueError(
                f"factor={factor!r}: must divide the blurred image's sizes "
                f"{blur.output_shape}"
            )
        self.blur, self.factor, self.method = blur, factors, method

    def tree_flatten(self):
        """The blur, and what must be equal for two programs to be the same."""
        return (self.blur,), (self.factor, self.method)

    @classmethod
    def tree_unflatten(cls, static, leaves):
        """The inverse of `tree_flatten`; leaves may be whatever a transform uses."""
        self = object.__new__(cls)
        (self.blur,) = leaves
        self.factor, self.method = static
        return self

    @property
    def num_axes(self) -> int:
        """How many of an image's axes are spatial, the last ones."""
        return self.blur.num_axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial sizes of the scene."""
        return self.blur.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Spatial sizes of the coarse image."""
        return tuple(n // f for n, f in zip(self.blur.output_shape, self.factor))

    def __call__(self, x: Array) -> Array:
        """The coarse image `[*batch, *output_shape]` of a scene `[*batch, *shape]`.

        Raises:
          ValueError: other spatial sizes, or integers.
        """
        y = self.blur(x)
        blocks = y.reshape(self._split(y))
        inner = tuple(range(blocks.ndim - 2 * self.num_axes + 1, blocks.ndim, 2))
        if self.method == "area":
            return blocks.mean(inner)
        return blocks[(..., *(slice(None), 0) * self.num_axes)]

    def adjoint(self, y: Array) -> Array:
        """The Hermitian adjoint: `[*batch, *output_shape]` to `[*batch, *shape]`.

        Raises:
          ValueError: other spatial sizes, or integers.
        """
        check_image(y, self.output_shape)
        batch = y.ndim - self.num_axes
        if self.method == "area":
            for axis, f in enumerate(self.factor):
                y = jnp.repeat(y, f, axis=batch + axis)
            return self.blur.adjoint(y / math.prod(self.factor))
        gaps = [(0, 0, 0)] * batch + [(0, f - 1, f - 1) for f in self.factor]
        return self.blur.adjoint(lax.pad(y, jnp.zeros((), y.dtype), gaps))

    def crop(self, scene: Array) -> Array:
        """The part of a scene `[*batch, *shape]` that the coarse image shows."""
        return self.blur.crop(scene)

    def _split(self, y: Array) -> list[int]:
        """Each axis as blocks, and pixels within a block."""
        sizes = list(y.shape[: y.ndim - self.num_axes])
        for n, f in zip(self.blur.output_shape, self.factor):
            sizes += [n // f, f]
        return sizes
