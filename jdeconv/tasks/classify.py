"""Learning to name what an image shows."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jdeconv import metrics
from jdeconv.tasks.base import Batch, Task


@dataclasses.dataclass(frozen=True)
class Classify(Task):
    """Softmax cross-entropy, with the accuracy reported.

    Attributes:
      num_classes: K.
      label_smoothing: share of the target that is spread evenly over all classes.
    """

    num_classes: int = 10
    label_smoothing: float = 0.0

    output: ClassVar[Literal["logits", "image", "labels"]] = "logits"
    criterion: ClassVar[str] = "accuracy"
    better: ClassVar[Literal["higher", "lower"]] = "higher"

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing={self.label_smoothing!r}: must be in [0, 1)"
            )

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        """-sum_k q_k log softmax(model(x))_k; q is the smoothed label, in training.

        Args:
          model: returning logits `[B, K]`.
          batch: "image" `[B, H, W, C]` and "label" int `[B]`.
          key: `[B]` typed keys.
          training: see `Task.loss`.

        Returns:
          Losses `[B]`, and "accuracy" `[B]`.
        """
        x, _ = self.preprocess.forward(self.pixels(batch, key, training))
        logits = self.apply(model, x, key, training)
        if logits.shape != (x.shape[0], self.num_classes):
            raise ValueError(
                f"the model returns shape {logits.shape}: task 'classify' needs logits "
                f"{(x.shape[0], self.num_classes)}"
            )
        smoothing = self.label_smoothing if training else 0.0
        loss = metrics.cross_entropy(logits, batch["label"], label_smoothing=smoothing)
        return loss, {"accuracy": metrics.accuracy(logits, batch["label"])}

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """The probabilities of the classes, `[B, K]`."""
        return jax.nn.softmax(model(x).astype("float32"))  # type: ignore[operator]

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """The pictures, their labels and the predictions."""
        pixels = self.pixels(batch, key, training=False)
        x, _ = self.preprocess.forward(pixels)
        prediction = jnp.argmax(self.predict(model, x), axis=-1)
        return {"input": pixels, "label": batch["label"], "prediction": prediction}

    def figure(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """The pictures in a row, "label -> prediction" above each."""
        from jdeconv import figures

        titles = [
            f"{label} -> {prediction}"
            for label, prediction in zip(images["label"], images["prediction"])
        ]
        return figures.panels(list(images["input"]), titles)
