"""Learning an image from a degraded one: denoising, deblurring, brightening."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jdeconv import checkerboard, metrics
from jdeconv.data import Degrade, Preprocess, PreprocessInfo
from jdeconv.tasks.base import Batch, Task

LOSSES = {
    "bce": metrics.binary_cross_entropy,
    "mse": metrics.mean_squared_error,
    "l1": metrics.mean_absolute_error,
}


def takes_noise_std(model: nnx.Module) -> bool:
    """Whether a network can be told the standard deviation of the noise."""
    return getattr(model, "condition", None) == "noise_std"


def in_network_units(std: Array, preprocess: Preprocess, info: PreprocessInfo) -> Array:
    """The standard deviation of noise after preprocessing.

    Args:
      std: `[B]`, where 1 is white.
      preprocess: of the task.
      info: of the images, by `preprocess.forward`.
    """
    low, high = preprocess.range
    spread = jnp.mean(jnp.broadcast_to(info.std, (len(std), 1, 1, 1)), (1, 2, 3))
    return std * (high - low) / spread


@dataclasses.dataclass(frozen=True)
class Reconstruct(Task):
    """The network sees degrade(image) and is to return the image.

    Without degradation the network is an autoencoder. One with the `condition`
    "noise_std", such as FFDNet, is told the standard deviation of the noise.

    Attributes:
      loss_name: "bce": binary cross-entropy of logits, for images in 0 .. 1; "mse" or
        "l1": mean squared or absolute difference, in the network's units.
      degrade: from the clean image to the network's input, in units of 0 .. 1.
      checkerboard: stride of the pattern that evaluation looks for in the results; 0:
        it does not.
    """

    loss_name: str = "mse"
    degrade: Degrade = dataclasses.field(default_factory=Degrade)
    checkerboard: int = 0

    def __post_init__(self):
        super().__post_init__()
        if self.loss_name not in LOSSES:
            raise ValueError(
                f"loss={self.loss_name!r}: task 'reconstruct' has {', '.join(LOSSES)}"
            )
        zero_to_one = self.preprocess.range == (0.0, 1.0)
        if self.loss_name == "bce" and (self.preprocess.standardize or not zero_to_one):
            raise ValueError(
                "loss='bce' needs images in 0 .. 1: preprocess.range must be (0, 1) "
                "and preprocess.standardize None"
            )

    @property
    def is_degraded(self) -> bool:
        """Whether the network's input differs from its target."""
        degrade = self.degrade
        return bool(degrade.noise_std or degrade.blur_sigma or degrade.exposure)

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        """The mean over pixels and channels of the difference to the clean image.

        Args:
          model: returning images of the size of its input (for "bce", their logits).
          batch: "image" `[B, H, W, C]`.
          key: `[B]` typed keys.
          training: see `Task.loss`.

        Returns:
          Losses `[B]`, and "psnr" `[B]` in dB of the result, clipped to 0 .. 1; where
          the input is degraded also "input_psnr", its own; in evaluation "checkerboard"
          and "real_checkerboard", of the result and of the image, if asked for.
        """
        clean = self.pixels(batch, key, training)
        degraded = self._degraded(clean, key)
        x, info = self.preprocess.forward(degraded)
        # The target in the input's units: with its own mean and standard deviation
        # the result could not be brought back without knowing the clean image.
        plain = dataclasses.replace(self.preprocess, standardize=None)
        target = (plain.forward(clean)[0] - info.mean) / info.std
        given = self._told(model, key, info)
        y = self.apply(model, x, key, training, **given)
        if y.shape != target.shape:
            raise ValueError(
                f"the model returns shape {y.shape}: task 'reconstruct' needs images "
                f"like its input, {target.shape}"
            )
        loss = LOSSES[self.loss_name](y, target)
        result = self.preprocess.inverse(self._image(y), info)
        reported = {"psnr": metrics.psnr(jnp.clip(result, 0, 1), clean)}
        if self.is_degraded:
            reported["input_psnr"] = metrics.psnr(jnp.clip(degraded, 0, 1), clean)
        if self.checkerboard and not training:
            for name, image in (("", result), ("real_", clean)):
                value = checkerboard.energy(image, self.checkerboard)
                reported[f"{name}checkerboard"] = value
        return loss, reported

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """The image `[B, H, W, C]` in the network's units, for `preprocess.inverse`."""
        return self._image(model(x).astype("float32"))  # type: ignore[operator]

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """What goes in, what comes out, and what should."""
        clean = self.pixels(batch, key, training=False)
        degraded = self._degraded(clean, key)
        x, info = self.preprocess.forward(degraded)
        y = self.apply(model, x, key, False, **self._told(model, key, info))
        result = self.preprocess.inverse(self._image(y), info)
        pictures = {"input": degraded, "result": result}
        if self.is_degraded:
            pictures["target"] = clean
        return {title: jnp.clip(image, 0, 1) for title, image in pictures.items()}

    def _degraded(self, clean: Array, key: Array) -> Array:
        if not self.is_degraded:
            return clean
        return self.degrade(self._degrade_keys(key), clean)

    def _degrade_keys(self, key: Array) -> Array:
        return jax.vmap(jax.random.fold_in, (0, None))(key, 2)

    def _told(
        self, model: nnx.Module, key: Array, info: PreprocessInfo
    ) -> dict[str, Array]:
        """What a network that is told the noise is told."""
        if not takes_noise_std(model):
            return {}
        std = self.degrade.noise_stds(self._degrade_keys(key))
        return {"noise_std": in_network_units(std, self.preprocess, info)}

    def _image(self, y: Array) -> Array:
        return jax.nn.sigmoid(y) if self.loss_name == "bce" else y
