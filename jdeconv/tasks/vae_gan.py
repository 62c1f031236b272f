"""Learning to encode and to make images: a VAE and a GAN that share a network."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jdeconv import metrics
from jdeconv.models.vae import reparameterize
from jdeconv.tasks.base import Batch
from jdeconv.tasks.generate import (
    Generate,
    check_shape,
    fake_loss,
    generator_loss,
    real_loss,
)
from jdeconv.tasks.variational import gaussian_kl

_LATENT = 5  # folded into an example's key, for the draw from q(z|x)


@dataclasses.dataclass(frozen=True)
class VaeGan(Generate):
    """Turns of the discriminator, the encoder and the generator (Algorithm 1).

    With x an image, x~ = G(z) for z ~ q(z|x) its reconstruction, x_p = G(z_p) for z_p
    from the prior, and d = |D_l(x) - D_l(x~)|^2 / 2 the distance of their features in
    the discriminator's last hidden layer, the three parts minimise

        discriminator   GAN loss of x as real, x~ and x_p as made
        encoder         beta KL(q(z|x) || p(z)) + d
        generator       gamma d + GAN loss of x~ and x_p taken for real

    each with the gradient to itself alone. `discriminator_steps` is 1.

    Attributes:
      gamma: weight of likeness against deceit, for the generator.
      beta: weight of the KL, for the encoder.

    References:
      Larsen et al., "Autoencoding beyond pixels using a learned similarity metric",
      2016, equations 8 and 9.
    """

    gamma: float = 0.01
    beta: float = 1.0

    takes_images: ClassVar[bool] = True

    def __post_init__(self):
        super().__post_init__()
        for name in ("gamma", "beta"):
            if not getattr(self, name) > 0:
                raise ValueError(f"vae_gan.{name}={getattr(self, name)}: must be > 0")
        if self.discriminator_steps != 1 or self.loss_name == "wasserstein":
            raise ValueError(
                f"loss={self.loss_name!r}, generate.discriminator_steps="
                f"{self.discriminator_steps}: task 'vae_gan' has 'non_saturating' or "
                "'hinge', and 1"
            )

    @property
    def turns(self) -> tuple[str, ...]:
        """Each part once."""
        return ("discriminator", "encoder", "generator")

    def turn_loss(
        self, part: str, model: nnx.Module, batch: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The loss of one part, `[B]`.

        Args:
          part: "discriminator", "encoder" or "generator".
          model: with these three networks, such as `models.VAEGAN`.
          batch: "image" `[B, H, W, C]`.
          key: `[B]` typed keys.

        Returns:
          Losses `[B]`, and what they are made of.
        """
        parts: Any = model
        real = self._real(batch, key, training=True)
        mean, log_var = parts.encode(real)
        again = parts.generator(reparameterize(mean, log_var, _fold(key, _LATENT)))
        check_shape(again, real)
        if part == "encoder":
            kl = gaussian_kl(mean, log_var)
            distance = self._distance(parts, real, again)
            return self.beta * kl + distance, {"kl": kl, "distance": distance}
        made = parts.generator(self._latent(model, key))
        scores = [parts.discriminator(x) for x in (again, made)]
        if part == "generator":
            deceit = sum(generator_loss(self.loss_name, s) for s in scores)
            return self.gamma * self._distance(parts, real, again) + deceit, {}
        score = parts.discriminator(real)
        loss = real_loss(self.loss_name, score)
        loss += sum(fake_loss(self.loss_name, s) for s in scores)
        return loss, {"real_score": score, "fake_score": scores[1]}

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = False
    ) -> tuple[Array, dict[str, Array]]:
        """As `Generate.loss`, and how the reconstructions do.

        Returns:
          Losses `[B]`, and beside what `Generate.loss` gives "kl" `[B]`, the
          "distance" of features and the "psnr" of the reconstruction, dB.
        """
        loss, reported = super().loss(model, batch, key, training=training)
        parts: Any = model
        real = self._real(batch, key, training=False)
        mean, log_var = parts.encode(real)
        again = parts.generator(mean)
        psnr = metrics.psnr((again + 1) / 2, (real + 1) / 2)
        more = {"kl": gaussian_kl(mean, log_var), "psnr": psnr}
        more["distance"] = self._distance(parts, real, again)
        return loss, reported | more

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """The reconstruction from the mean of q(z|x), `[B, H, W, C]` in -1 .. 1."""
        return model(x).astype("float32")  # type: ignore[operator]

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """Real images, their reconstructions, and eight made beside each."""
        real = self._real(batch, key, training=False)
        shown = super().images(model, batch, key)
        again = (self.predict(model, real) + 1) / 2
        return {"real": shown["real"], "reconstruction": again, "made": shown["made"]}

    def figure(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """A row per real image: itself, its reconstruction, and images made."""
        from jdeconv import figures

        each = zip(images["real"], images["reconstruction"], images["made"])
        rows = [[real, again, *made] for real, again, made in each]
        blank = [""] * (len(rows[0]) - 3)
        return figures.panels(rows, ["real", "again", "made", *blank], scale=2)

    def _distance(self, model, real: Array, again: Array) -> Array:
        features = [model.discriminator.features(x) for x in (real, again)]
        return jnp.square(features[0] - features[1]).sum((1, 2, 3)) / 2


def _fold(key: Array, number: int) -> Array:
    return jax.vmap(jax.random.fold_in, (0, None))(key, number)
