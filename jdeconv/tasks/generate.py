"""Learning to make images: a generator against a discriminator, in turns."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jdeconv import checkerboard, generative_metrics
from jdeconv.metrics import Average
from jdeconv.tasks.base import Batch, Task

LOSSES = ("non_saturating", "wasserstein", "hinge")

_SAMPLES_PER_ROW = 8


def discriminator_loss(name: str, real: Array, fake: Array) -> Array:
    """What the discriminator minimises, by the scores of real and made images.

    - "non_saturating": -log sigmoid(real) - log(1 - sigmoid(fake)).
    - "wasserstein": fake - real.
    - "hinge": max(0, 1 - real) + max(0, 1 + fake).

    Args:
      name: one of LOSSES.
      real, fake: scores `[B]`.

    >>> discriminator_loss("hinge", jnp.array([0.5]), jnp.array([-3.0])).tolist()
    [0.5]
    """
    return real_loss(name, real) + fake_loss(name, fake)


def real_loss(name: str, real: Array) -> Array:
    """The real images' share of `discriminator_loss`."""
    if name == "non_saturating":
        return jax.nn.softplus(-real)
    return -real if name == "wasserstein" else jax.nn.relu(1 - real)


def fake_loss(name: str, fake: Array) -> Array:
    """The share of the images made."""
    if name == "non_saturating":
        return jax.nn.softplus(fake)
    return fake if name == "wasserstein" else jax.nn.relu(1 + fake)


def generator_loss(name: str, fake: Array) -> Array:
    """What the generator minimises: -log sigmoid(fake) if "non_saturating", else -fake.

    Args:
      name: one of LOSSES.
      fake: scores `[B]` of the images it has made.
    """
    return jax.nn.softplus(-fake) if name == "non_saturating" else -fake


@dataclasses.dataclass(frozen=True)
class Generate(Task):
    """Turns of the discriminator, `discriminator_steps`, then one of the generator.

    The batch is shared out among the discriminator's turns; the generator's has as many
    images as one of those.

    Attributes:
      loss_name: "non_saturating" (Goodfellow et al., 2014), "wasserstein" with a
        gradient penalty (Gulrajani et al., 2017, equation 3) or "hinge" (Lim and Ye,
        2017).
      discriminator_steps: turns of the discriminator in a step.
      learning_rate_factor: the discriminator's learning rate over the generator's.
      gradient_penalty: weight of (|grad of the score| - 1)^2 between real and made
        images, of "wasserstein".
      checkerboard: stride of the pattern that is measured in the images made.
    """

    loss_name: str = "non_saturating"
    discriminator_steps: int = 1
    learning_rate_factor: float = 1.0
    gradient_penalty: float = 10.0
    checkerboard: int = 2

    criterion: ClassVar[str] = "swd"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    takes_images: ClassVar[bool] = False
    collected: ClassVar[tuple[str, ...]] = ("real", "made")

    def __post_init__(self):
        super().__post_init__()
        if self.loss_name not in LOSSES:
            raise ValueError(
                f"loss={self.loss_name!r}: task 'generate' has {', '.join(LOSSES)}"
            )
        if self.discriminator_steps < 1:
            raise ValueError(
                f"generate.discriminator_steps={self.discriminator_steps}: must be >= 1"
            )
        for name in ("learning_rate_factor", "gradient_penalty"):
            if not getattr(self, name) > 0:
                raise ValueError(f"generate.{name}={getattr(self, name)}: must be > 0")
        if self.preprocess.range != (-1.0, 1.0) or self.preprocess.standardize:
            raise ValueError(
                "task 'generate' makes images in -1 .. 1: preprocess.range must be "
                "(-1, 1) and preprocess.standardize None"
            )

    @property
    def turns(self) -> tuple[str, ...]:
        """The discriminator's turns, then the generator's."""
        return ("discriminator",) * self.discriminator_steps + ("generator",)

    @property
    def learning_rate_factors(self) -> Mapping[str, float]:
        """Of the discriminator."""
        return {"discriminator": self.learning_rate_factor}

    def turn_loss(
        self, part: str, model: nnx.Module, batch: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The loss of the discriminator or of the generator, `[B]`.

        Args:
          part: "discriminator" or "generator".
          model: with these two networks, such as `models.DCGAN`.
          batch: "image" `[B, H, W, C]`, and "label" for conditional networks.
          key: `[B]` typed keys.

        Returns:
          Losses `[B]`, and "real_score", "fake_score" and "penalty" `[B]`.
        """
        label = self._label(model, batch)
        made = model.generator(self._latent(model, key), label)  # type: ignore[attr-defined]
        if part == "generator":
            fake = model.discriminator(made, label)  # type: ignore[attr-defined]
            return generator_loss(self.loss_name, fake), {}
        real_images = self._real(batch, key, training=True)
        check_shape(made, real_images)
        real = model.discriminator(real_images, label)  # type: ignore[attr-defined]
        fake = model.discriminator(made, label)  # type: ignore[attr-defined]
        loss = discriminator_loss(self.loss_name, real, fake)
        reported = {"real_score": real, "fake_score": fake}
        if self.loss_name == "wasserstein":
            penalty = self._penalty(model, real_images, made, label, key)
            loss = loss + self.gradient_penalty * penalty
            reported["penalty"] = penalty
        return loss, reported

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = False
    ) -> tuple[Array, dict[str, Array]]:
        """The two losses' sum, without penalty, of an image and one made beside it.

        It says who is ahead, and not how good the images are: see `measure`.

        Args:
          model: in eval mode.
          batch: as in `turn_loss`.
          key: `[B]` typed keys.
          training: must be False: training goes by `turn_loss`.

        Returns:
          Losses `[B]`, "discriminator_loss", "generator_loss", the "checkerboard" of
          the images made and that of the real ones, "real_checkerboard" `[B]`; and the
          images, "real" and "made", uint8 `[B, H, W, C]`.
        """
        if training:
            raise ValueError("training=True: task 'generate' trains by `turn_loss`")
        label = self._label(model, batch)
        real_images = self._real(batch, key, training=False)
        made = model.generator(self._latent(model, key), label)  # type: ignore[attr-defined]
        check_shape(made, real_images)
        real = model.discriminator(real_images, label)  # type: ignore[attr-defined]
        fake = model.discriminator(made, label)  # type: ignore[attr-defined]
        of_discriminator = discriminator_loss(self.loss_name, real, fake)
        of_generator = generator_loss(self.loss_name, fake)
        stride = self.checkerboard
        return of_discriminator + of_generator, {
            "discriminator_loss": of_discriminator,
            "generator_loss": of_generator,
            "checkerboard": checkerboard.energy(made, stride),
            "real_checkerboard": checkerboard.energy(real_images, stride),
            "real": _to_uint8(real_images),
            "made": _to_uint8(made),
        }

    def measure(self, collected: Mapping[str, np.ndarray]) -> dict[str, Average]:
        """How far the images made are from the real ones, and how alike among them.

        Args:
          collected: "real" and "made", uint8 `[N, H, W, C]`.

        Returns:
          "swd", the sliced Wasserstein distance times 1000, mean over the levels of the
          pyramid, and "swd_SIZE", that of each (the errors are those of drawing
          directions); "ms_ssim" of pairs of images made: lower is more varied.
        """
        real, made = collected["real"], collected["made"]
        distances = generative_metrics.sliced_wasserstein(real, made)
        measured = {
            f"swd_{size}": Average.of(1e3 * values)
            for size, values in distances.items()
        }
        means = np.mean(list(distances.values()), axis=0)
        pairs = len(made) // 2
        alike = generative_metrics.ms_ssim(made[:pairs], made[pairs : 2 * pairs])
        return {
            "swd": Average.of(1e3 * means),
            **measured,
            "ms_ssim": Average.of(alike),
        }

    def sample(
        self, model: nnx.Module, key: Array, label: Array | None = None
    ) -> Array:
        """New images `[B, H, W, C]` in 0 .. 1.

        Args:
          model: in eval mode, of `train.load_run`.
          key: `[B]` typed keys, one per image.
          label: int `[B]`, for a conditional generator.
        """
        z = self._latent(model, key)
        return (model.generator(z, label) + 1) / 2  # type: ignore[attr-defined]

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """Refused: the network makes images from noise, not from images.

        Raises:
          ValueError: always; it names `sample`.
        """
        del model, x
        raise ValueError(
            "task 'generate': the network makes images from noise and does not process "
            "any; use `jdeconv evaluate --figure`, or task.sample(model, keys)"
        )

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """Real images `[B, H, W, C]`, and eight made beside each, `[B, 8, H, W, C]`.

        Conditional generators are given the label of the real one.
        """
        label = self._label(model, batch)
        split = jax.vmap(lambda k: jax.random.split(k, _SAMPLES_PER_ROW))
        labels = None if label is None else jnp.repeat(label, _SAMPLES_PER_ROW)
        made = self.sample(model, split(key).reshape(-1), labels)
        return {
            "real": (self._real(batch, key, training=False) + 1) / 2,
            "made": made.reshape(len(key), _SAMPLES_PER_ROW, *made.shape[1:]),
        }

    def figure(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """A row per real image, with those made beside it."""
        from jdeconv import figures

        rows = [[real, *made] for real, made in zip(images["real"], images["made"])]
        blank = [""] * (_SAMPLES_PER_ROW - 1)
        return figures.panels(rows, ["real", "made", *blank], scale=2)

    def _label(self, model, batch: Batch) -> Array | None:
        return None if model.num_labels is None else batch["label"]

    def _real(self, batch: Batch, key: Array, training: bool) -> Array:
        return self.preprocess.forward(self.pixels(batch, key, training))[0]

    def _latent(self, model, key: Array) -> Array:
        keys = jax.vmap(jax.random.fold_in, (0, None))(key, 2)
        return jax.vmap(lambda k: jax.random.normal(k, (model.latent,)))(keys)

    def _penalty(self, model, real: Array, made: Array, label, key: Array) -> Array:
        """(|grad_x D(x)| - 1)^2 at random points between pairs of images."""
        if model.discriminator.couples_examples:
            raise ValueError(
                "loss='wasserstein' with model.norm='batch': the gradient of one score "
                "to its own image needs model.norm='layer' or 'none'"
            )
        keys = jax.vmap(jax.random.fold_in, (0, None))(key, 3)
        share = jax.vmap(jax.random.uniform)(keys)[:, None, None, None]
        between = share * real + (1 - share) * made
        # No score depends on another image, so the gradient of the sum has each one's.
        slope = jax.grad(lambda x: model.discriminator(x, label).sum())(between)
        square = jnp.square(slope).sum((1, 2, 3))
        return jnp.square(jnp.sqrt(square + 1e-12) - 1)


def _to_uint8(x: Array) -> Array:
    return jnp.round((x + 1) * 127.5).astype(jnp.uint8)


def check_shape(made: Array, real: Array) -> None:
    """Raises ValueError for images made of another shape than the real ones."""
    if made.shape != real.shape:
        raise ValueError(
            f"the generator makes images of shape {made.shape}: the real ones have "
            f"{real.shape}"
        )
