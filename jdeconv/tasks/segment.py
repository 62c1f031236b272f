"""Learning what each pixel of an image shows."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jdeconv import ops, segmentation_metrics
from jdeconv.data.augment import augment_pair
from jdeconv.data.sources.masks import IGNORE
from jdeconv.metrics import Average
from jdeconv.tasks.base import Batch, Task

# What is added up.
LOSSES: dict[str, tuple[Callable[..., Array], ...]] = {
    "cross_entropy": (segmentation_metrics.cross_entropy,),
    "dice": (segmentation_metrics.dice_loss,),
    "cross_entropy_dice": (
        segmentation_metrics.cross_entropy,
        segmentation_metrics.dice_loss,
    ),
}

_AUGMENT = 0  # folded into an example's key


@dataclasses.dataclass(frozen=True)
class Segment(Task):
    """A class for every pixel: cross-entropy, Dice loss, or their sum.

    Attributes:
      num_classes: K.
      loss_name: "cross_entropy", "dice" or "cross_entropy_dice", see
        `jdeconv.segmentation_metrics`.
      class_names: of the classes, for the names of metrics; None: their numbers.
      crop: (height, width) of the windows of images to train on; None: all of them.
        Evaluation sees whole images.
    """

    num_classes: int = 2
    loss_name: str = "cross_entropy"
    class_names: tuple[str, ...] | None = None
    crop: tuple[int, int] | None = None

    output: ClassVar[Literal["logits", "image", "labels"]] = "labels"
    criterion: ClassVar[str] = "mean_iou"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    collected: ClassVar[tuple[str, ...]] = ("confusion",)

    def __post_init__(self):
        super().__post_init__()
        if self.loss_name not in LOSSES:
            raise ValueError(
                f"loss={self.loss_name!r}: task 'segment' has {', '.join(LOSSES)}"
            )
        if self.preprocess.size is not None:
            raise ValueError(
                f"preprocess.size={self.preprocess.size}: must be None for task "
                "'segment'; data.resize resizes images and masks alike"
            )
        crop = self.crop
        if crop is not None:
            pair = (crop, crop) if isinstance(crop, int) else tuple(crop)
            if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
                raise ValueError(
                    f"segment.crop={crop!r}: must be an int > 0, (height, width) or "
                    "None"
                )
            object.__setattr__(self, "crop", pair)

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        """The mean over an image's pixels that count, or over its classes (Dice).

        Args:
          model: returning logits `[B, H, W, K]`.
          batch: "image" `[B, H, W, C]` and "mask" `[B, H, W]`, the class of each pixel.
          key: `[B]` typed keys.
          training: see `Task.loss`; images are also cut to `crop`.

        Returns:
          Losses `[B]`; in training "pixel_accuracy" `[B]`; in evaluation "confusion"
          `[B, K, K]`, of which `measure` makes the overlaps.
        """
        x, mask = self.pair(batch, key, training)
        logits = self.apply(model, x, key, training)
        if logits.shape != (*x.shape[:3], self.num_classes):
            raise ValueError(
                f"the model returns shape {logits.shape}: task 'segment' needs logits "
                f"{(*x.shape[:3], self.num_classes)}"
            )
        terms = [f(logits, mask, ignore=IGNORE) for f in LOSSES[self.loss_name]]
        if training:
            right = segmentation_metrics.pixel_accuracy(logits, mask, ignore=IGNORE)
            return sum(terms, jnp.float32(0)), {"pixel_accuracy": right}
        counts = segmentation_metrics.confusion(logits, mask, ignore=IGNORE)
        return sum(terms, jnp.float32(0)), {"confusion": counts}

    def pair(self, batch: Batch, key: Array, training: bool) -> tuple[Array, Array]:
        """Preprocessed images and their masks, in training cut and augmented alike.

        Preprocessing comes first: where it standardises, a window has the mean and
        deviation of its whole image, as in evaluation.
        """
        if "mask" not in batch:
            raise ValueError(
                "task 'segment' needs masks, and the data set has none: data.mask "
                "names them"
            )
        x, _ = self.preprocess.forward(batch["image"])
        if not training:
            return x, batch["mask"]
        keys = jax.vmap(jax.random.fold_in, (0, None))(key, _AUGMENT)
        return augment_pair(
            keys, x, batch["mask"], self.augment, ignore=IGNORE, crop=self.crop
        )

    def measure(self, collected: Mapping[str, np.ndarray]) -> dict[str, Average]:
        """Accuracy and overlaps, see `jdeconv.segmentation_metrics.scores`."""
        return segmentation_metrics.scores(collected["confusion"], self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return self.class_names or tuple(map(str, range(self.num_classes)))

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """The probabilities of the classes, `[B, H, W, K]`, for `labels`."""
        return jax.nn.softmax(model(x).astype("float32"))  # type: ignore[operator]

    def labels(self, probabilities: Array, size: tuple[int, ...]) -> Array:
        """The most likely class of each pixel.

        Args:
          probabilities: `[B, h, w, K]`, of `predict`.
          size: (H, W) of the image, where the network has seen it at another size.

        Returns:
          uint8 `[B, H, W]`.
        """
        if probabilities.shape[1:3] != tuple(size):
            probabilities = ops.resize(probabilities, size, method="linear")
        return jnp.argmax(probabilities, -1).astype(jnp.uint8)

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """Pictures `[B, H, W, C]`, their masks and the predictions `[B, H, W]`."""
        x, mask = self.pair(batch, key, training=False)
        prediction = self.labels(self.predict(model, x), mask.shape[1:])
        pixels = self.pixels(batch, key, training=False)
        return {"image": pixels, "truth": mask, "prediction": prediction}

    def figure(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """A row per picture: itself, and the truth and the prediction laid over it."""
        from jdeconv import figures

        return figures.segmentation(**images, ignore=IGNORE)
