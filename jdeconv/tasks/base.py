"""What a task is: the loss, the metrics and the pictures of one kind of learning."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import numpy as np
from flax import nnx
from jax import Array

from jdeconv.data import Preprocess
from jdeconv.data.augment import MODES, augment
from jdeconv.metrics import Average

Batch = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """What is learned. Frozen and hashable: it is a static part of a training state.

    Attributes:
      preprocess: from stored pixels to the network's input.
      augment: how training images are varied, see `jdeconv.data.augment`.
      output: what `predict` gives: "logits" stands for probabilities of classes,
        "labels" for those of each pixel.
      criterion: the metric by which the best checkpoint is chosen.
      better: "higher" or "lower".
      takes_images: whether `predict` can be asked at all.
      collected: what `loss` reports in evaluation for `measure`: arrays `[B, ...]`.
    """

    preprocess: Preprocess = dataclasses.field(default_factory=Preprocess)
    augment: str = "none"

    output: ClassVar[Literal["logits", "image", "labels"]] = "image"
    criterion: ClassVar[str] = "loss"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    takes_images: ClassVar[bool] = True
    collected: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        if self.augment not in MODES:
            raise ValueError(
                f"data.augment={self.augment!r}: must be one of {', '.join(MODES)}"
            )

    @abc.abstractmethod
    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        """What is minimised, and what is reported, per example.

        Args:
          model: in the mode, `train()` or `eval()`, that `training` says.
          batch: "image" `[B, H, W, C]` as stored, and what else the task needs.
          key: `[B]` typed keys.
          training: True: images are augmented, and the model gets keys.

        Returns:
          Losses `[B]`, and metrics, each `[B]`, float32.
        """

    @property
    def turns(self) -> tuple[str, ...]:
        """The parts of the parameters that a step trains, one turn after the other.

        A part is an attribute of the model, such as "generator". () for what is
        common: one turn for all parameters, with `loss`.
        """
        return ()

    @property
    def learning_rate_factors(self) -> Mapping[str, float]:
        """What the learning rate of a part is multiplied by; 1 if it is not named."""
        return {}

    def turn_loss(
        self, part: str, model: nnx.Module, batch: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """As `loss` in training, for the turn of one part.

        Args:
          part: one of `turns`.
          model: in training mode.
          batch: this turn's examples.
          key: `[B]` typed keys.
        """
        del part
        return self.loss(model, batch, key, training=True)

    def measure(self, collected: Mapping[str, np.ndarray]) -> dict[str, Average]:
        """Metrics of a data set that are no mean over its examples.

          Args:
            takes_images: whether `predict` can be asked at all.
        collected: what `collected` names, of all examples, `[N, ...]`.
        """
        del collected
        return {}

    @abc.abstractmethod
    def predict(self, model: nnx.Module, x: Array) -> Array:
        """What the user wants from the network.

        Args:
          model: in eval mode.
          x: `[B, H, W, C]`, preprocessed.
        """

    @abc.abstractmethod
    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """Arrays `[B, ...]` that `figure` draws; pictures are in 0 .. 1.

        Args:
          model: in eval mode.
          batch: as in `loss`.
          key: `[B]` typed keys.
        """

    def figure(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """What `images` gives as one picture, uint8 `[H, W, 3]`: a row per example."""
        from jdeconv import figures

        rows = [list(row) for row in zip(*images.values())]
        return figures.panels(rows, list(images))

    def pixels(self, batch: Batch, key: Array, training: bool) -> Array:
        """The images as floats in 0 .. 1, augmented in training."""
        unit, _ = Preprocess().forward(batch["image"])
        if training and self.augment != "none":
            keys = jax.vmap(jax.random.fold_in, (0, None))(key, 0)
            unit = augment(keys, unit, self.augment)
        return unit

    def apply(
        self, model: nnx.Module, x: Array, key: Array, training: bool, **given: Array
    ) -> Array:
        """model(x, **given), float32; in training with one key per example."""
        if training:
            given["key"] = jax.vmap(jax.random.fold_in, (0, None))(key, 1)
        return model(x, **given).astype("float32")  # type: ignore[operator]
