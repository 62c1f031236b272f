"""Learning an image from a smaller one: super-resolution."""

import dataclasses
from typing import ClassVar, Literal

import jax.numpy as jnp
from flax import nnx
from jax import Array

from jdeconv import metrics, ops
from jdeconv.tasks.base import Batch, Task
from jdeconv.tasks.reconstruct import LOSSES


def shrink(x: Array, scale: int) -> Array:
    """The image `scale` times smaller, rounded to 8 bits: MATLAB's bicubic.

    Args:
      x: `[*batch, H, W, C]`, 0 to 1, H and W multiples of scale.
      scale: how much smaller.

    Returns:
      `[*batch, H / scale, W / scale, C]`.

    Raises:
      ValueError: sizes that scale does not divide.
    """
    height, width = x.shape[-3:-1]
    if height % scale or width % scale:
        raise ValueError(
            f"images of {height} x {width}: must be multiples of the scale, {scale} "
            "(data.patch_size)"
        )
    return _to_8_bits(_bicubic(x, (height // scale, width // scale)))


def enlarge(x: Array, scale: int) -> Array:
    """The image `scale` times larger by MATLAB's bicubic, not rounded."""
    height, width = x.shape[-3:-1]
    return _bicubic(x, (height * scale, width * scale))


def _bicubic(x: Array, size: tuple[int, int]) -> Array:
    return ops.resize(x, size, method="cubic", antialias=True, border="mirror")


def _to_8_bits(x: Array) -> Array:
    return jnp.round(jnp.clip(x, 0, 1) * 255) / 255


@dataclasses.dataclass(frozen=True)
class SuperResolve(Task):
    """The network sees shrink(image) and is to return the image.

    Attributes:
      loss_name: "mse" or "l1", inside the margin.
      scale: how much larger the result is.
      margin: width, in pixels of the small image, of the frame of each training patch
        that the loss leaves out. With the reach of the network's windows it learns
        from whole windows alone, as nearly all are in a photograph, and not how to
        paint beside the zeros around a patch. Evaluation leaves out one pixel, as is
        usual.
    """

    loss_name: str = "mse"
    scale: int = 3
    margin: int = 1

    criterion: ClassVar[str] = "psnr"
    better: ClassVar[Literal["higher", "lower"]] = "higher"

    def __post_init__(self):
        super().__post_init__()
        if self.loss_name not in ("mse", "l1"):
            raise ValueError(
                f"loss={self.loss_name!r}: task 'super_resolve' has mse, l1"
            )
        if self.scale < 2:
            raise ValueError(f"model.scale={self.scale}: must be >= 2")
        if self.margin < 1:
            raise ValueError(f"super_resolve.margin={self.margin}: must be >= 1")
        if self.preprocess.standardize == "image" or self.preprocess.size is not None:
            raise ValueError(
                "task 'super_resolve' needs preprocess.size and preprocess.standardize "
                "None: an image is enlarged as it is"
            )

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        """The mean difference to the large image, inside the margin.

        Args:
          model: from `[B, h, w, C]` to `[B, scale h, scale w, C]`.
          batch: "image" `[B, H, W, C]`, the large one.
          key: `[B]` typed keys.
          training: see `Task.loss`.

        Returns:
          Losses `[B]`; "psnr" `[B]`, dB, of the result as 8 bits inside the margin, and
          "bicubic_psnr", that of bicubic interpolation.
        """
        large = self.pixels(batch, key, training)
        small = shrink(large, self.scale)
        x, info = self.preprocess.forward(small)
        target, _ = self.preprocess.forward(large)
        y = self.apply(model, x, key, training)
        if y.shape != target.shape:
            raise ValueError(
                f"the model returns shape {y.shape}: task 'super_resolve' needs "
                f"{target.shape}, model.scale={self.scale} times its input"
            )
        margin = self.margin if training else 1
        if min(small.shape[1:3]) <= 2 * margin:
            raise ValueError(
                f"super_resolve.margin={margin} of patches of {small.shape[1]} x "
                f"{small.shape[2]} small pixels: nothing is left (data.patch_size)"
            )
        loss = LOSSES[self.loss_name](
            self._inner(y, margin), self._inner(target, margin)
        )
        info = dataclasses.replace(info, size=(large.shape[1], large.shape[2]))
        result = self.preprocess.inverse(y, info)
        reported = {"psnr": self._psnr(result, large)}
        if not training:
            reported["bicubic_psnr"] = self._psnr(enlarge(small, self.scale), large)
        return loss, reported

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """The image `[B, scale h, scale w, C]` of x `[B, h, w, C]`."""
        return model(x).astype("float32")  # type: ignore[operator]

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """Bicubic interpolation, the result, and what it should be."""
        large = self.pixels(batch, key, training=False)
        small = shrink(large, self.scale)
        x, info = self.preprocess.forward(small)
        info = dataclasses.replace(info, size=(large.shape[1], large.shape[2]))
        result = self.preprocess.inverse(self.predict(model, x), info)
        shown = {"bicubic": enlarge(small, self.scale), "result": result}
        shown["target"] = large
        return {title: jnp.clip(image, 0, 1) for title, image in shown.items()}

    def _inner(self, x: Array, margin: int = 1) -> Array:
        cut = self.scale * margin
        return x[:, cut:-cut, cut:-cut]

    def _psnr(self, result: Array, large: Array) -> Array:
        return metrics.psnr(self._inner(_to_8_bits(result)), self._inner(large))
