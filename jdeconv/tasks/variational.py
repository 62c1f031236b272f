"""Learning a distribution of images with latent variables: the variational bound."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jdeconv.models import vae
from jdeconv.tasks.base import Batch, Task

BINARIZE = ("none", "dynamic", "fixed")

# Numbers folded into an example's key (0: augmentation).
_LATENT, _BINARY, _IMPORTANCE = 1, 2, 3

# Of the pictures.
_SAMPLES, _ROWS, _COLUMNS, _MANIFOLD, _WIDEST = 8, 8, 8, 15, 3.0


def gaussian_kl(mean: Array, log_var: Array) -> Array:
    """KL(N(mean, diag exp(log_var)) || N(0, 1)), in nats.

    Args:
      mean, log_var: `[..., latent]`.

    Returns:
      `[...]`: sum (exp(log_var) + mean^2 - 1 - log_var) / 2.

    References:
      Kingma and Welling, 2014, appendix B.

    >>> float(gaussian_kl(jnp.array([2.0, 0.0]), jnp.zeros(2)))
    2.0
    """
    return 0.5 * jnp.sum(jnp.exp(log_var) + jnp.square(mean) - 1 - log_var, axis=-1)


def bernoulli_log_likelihood(logits: Array, target: Array) -> Array:
    """log p(target) of independent pixels, sum t l - log(1 + exp(l)), in nats.

    For grey targets it is minus the summed cross-entropy, and no likelihood.

    Args:
      logits: l, `[B, ...]`.
      target: t in 0 .. 1, of the same shape.

    Returns:
      `[B]`.
    """
    return jnp.sum(
        (logits * target - jax.nn.softplus(logits)).reshape(logits.shape[0], -1), -1
    )


@dataclasses.dataclass(frozen=True)
class Variational(Task):
    """Minimises -E_q log p(x|z) + beta KL(q(z|x) || p(z)), with one draw of z.

    Attributes:
      beta: weight of the KL; 1: the loss is minus the evidence lower bound (ELBO).
      binarize: what x is. "none": the grey levels, whose summed cross-entropy takes
        the place of -log p(x|z), as in Keras' example. "dynamic": each pixel is 1 with
        its grey level as probability, drawn anew in every step. "fixed": one such draw
        per image, which depends on its pixels alone: it is the same in every run.

    References:
      Higgins et al., "beta-VAE", 2017, equation 4. Burda et al., "Importance Weighted
      Autoencoders", 2016, binarise dynamically.
    """

    beta: float = 1.0
    binarize: str = "none"

    def __post_init__(self):
        super().__post_init__()
        if not self.beta >= 0:
            raise ValueError(f"variational.beta={self.beta!r}: must be >= 0")
        if self.binarize not in BINARIZE:
            raise ValueError(
                f"variational.binarize={self.binarize!r}: must be one of "
                f"{', '.join(BINARIZE)}"
            )
        if self.binarize == "fixed" and self.augment != "none":
            raise ValueError(
                f"variational.binarize='fixed' with data.augment={self.augment!r}: "
                "must be 'none': an image has one draw, and a shifted one another"
            )
        if self.preprocess.range != (0.0, 1.0) or self.preprocess.standardize:
            raise ValueError(
                "task 'variational' needs images in 0 .. 1: preprocess.range must be "
                "(0, 1) and preprocess.standardize None"
            )

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        """The negative bound per image, summed over its pixels, in nats.

        Args:
          model: with `encode` and `decode`, such as `models.VAE`.
          batch: "image" `[B, H, W, C]`.
          key: `[B]` typed keys.
          training: see `Task.loss`.

        Returns:
          Losses `[B]`, and "elbo", "kl" and "reconstruction", -log p(x|z), `[B]`.
        """
        x = self.observed(batch, key, training)
        mean, log_var = _encode(model, x)
        z = vae.reparameterize(mean, log_var, _fold(key, _LATENT))
        logits = _decode(model, z)
        if logits.shape != x.shape:
            raise ValueError(
                f"the model returns shape {logits.shape}: task 'variational' needs "
                f"images like its input, {x.shape}"
            )
        reconstruction = -bernoulli_log_likelihood(logits, x)
        kl = gaussian_kl(mean, log_var)
        reported = {
            "elbo": -(reconstruction + kl),
            "kl": kl,
            "reconstruction": reconstruction,
        }
        return reconstruction + self.beta * kl, reported

    def observed(self, batch: Batch, key: Array, training: bool = False) -> Array:
        """x: the images in 0 .. 1, binarised as `binarize` says, `[B, H, W, C]`.

        Args:
          batch: "image" `[B, H, W, C]`.
          key: `[B]` typed keys.
          training: whether images are augmented.
        """
        x, _ = self.preprocess.forward(self.pixels(batch, key, training))
        x = jnp.clip(x, 0, 1)
        if self.binarize == "none":
            return x
        if self.binarize == "dynamic":
            keys = _fold(key, _BINARY)
        else:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(
                jax.random.key(0), _fingerprint(batch["image"])
            )
        return jax.vmap(jax.random.bernoulli)(keys, x).astype(x.dtype)

    def likelihood(self, count: int, at_once: int = 1) -> "Likelihood":
        """The task whose loss is the importance-sampled likelihood."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return Likelihood(**fields, count=count, at_once=at_once)

    def sample(self, model: nnx.Module, key: Array) -> Array:
        """New images: the pixels' probabilities, p(x|z) for z ~ N(0, 1).

        Args:
          model: in eval mode, such as of `train.load_run`.
          key: `[B]` typed keys, one per image.

        Returns:
          `[B, H, W, C]` in 0 .. 1.
        """
        latent: int = model.latent  # type: ignore[attr-defined]
        z = jax.vmap(lambda k: jax.random.normal(k, (latent,)))(key)
        return jax.nn.sigmoid(_decode(model, z))

    def predict(self, model: nnx.Module, x: Array) -> Array:
        """The pixels' probabilities at the mean of q(z|x), `[B, H, W, C]`."""
        return jax.nn.sigmoid(_decode(model, _encode(model, x)[0]))

    def images(self, model: nnx.Module, batch: Batch, key: Array) -> dict[str, Array]:
        """Images with their reconstructions, new ones, and a walk through z.

        Returns:
          "image" and "reconstruction" `[B, H, W, C]`; "sample" `[B, 8, H, W, C]`;
          "traversal" `[rows, columns, H, W, C]`, see `traversal`.
        """
        x = self.observed(batch, key)
        mean, log_var = _encode(model, x)
        split = jax.vmap(lambda k: jax.random.split(k, _SAMPLES))(_fold(key, _LATENT))
        made = self.sample(model, split.reshape(-1))
        return {
            "image": x,
            "reconstruction": self.predict(model, x),
            "sample": made.reshape(x.shape[0], _SAMPLES, *x.shape[1:]),
            "traversal": traversal(model, mean, log_var),
        }

    def figure(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Three sheets side by side, of what `images` gives."""
        from jdeconv import figures

        pairs = np.stack([images["image"], images["reconstruction"]], axis=1)
        # Two pairs in a row: a sheet about as wide as high.
        if len(pairs) % 2 == 0:
            pairs = pairs.reshape(len(pairs) // 2, 4, *pairs.shape[2:])
        sheets = {
            "image, reconstruction": pairs,
            "samples": images["sample"],
            "walk through z": images["traversal"],
        }
        grids = [figures.grid(sheet) for sheet in sheets.values()]
        tallest = max(len(sheet) for sheet in grids)
        enlarged = [
            np.kron(sheet, np.ones((round(tallest / len(sheet)),) * 2 + (1,), np.uint8))
            for sheet in grids
        ]
        return figures.panels(enlarged, list(sheets), scale=2)


@dataclasses.dataclass(frozen=True)
class Likelihood(Variational):
    """Importance-sampled likelihood, by K = count samples per example.

        log p(x) >= E log 1/K sum_k w_k,   w_k = p(x|z_k) p(z_k) / q(z_k|x)

    The bound is tighter the larger K is, and exact in the limit.

    Attributes:
      count: K.
      at_once: samples per example that are decoded together, a divisor of K. Sample k
        of an example depends on k and the example's key alone: the result stays.

    Raises:
      ValueError: at_once is no divisor of count.

    References:
      Burda et al., 2016, equation 8.
    """

    count: int = 1
    at_once: int = 1

    def __post_init__(self):
        super().__post_init__()
        if self.at_once < 1 or self.count < 1 or self.count % self.at_once:
            raise ValueError(
                f"at_once={self.at_once}, count={self.count}: must be >= 1, the first "
                "a divisor of the second"
            )

    def loss(
        self, model: nnx.Module, batch: Batch, key: Array, *, training: bool = False
    ) -> tuple[Array, dict[str, Array]]:
        """-log 1/K sum_k w_k, in nats.

        Args:
          model: as for `Variational`, in eval mode.
          batch: "image" `[B, H, W, C]`.
          key: `[B]` typed keys, those of the evaluation by `Variational`.
          training: must be False.

        Returns:
          `[B]`, and no metrics.
        """
        if training:
            raise ValueError("training=True: Likelihood is for evaluation alone")
        x = self.observed(batch, key)
        mean, log_var = _encode(model, x)
        target = jnp.repeat(x, self.at_once, axis=0)
        key = _fold(key, _IMPORTANCE)

        def log_sum(samples: Array) -> Array:
            keys = jax.vmap(
                lambda k: jax.vmap(jax.random.fold_in, (None, 0))(k, samples)
            )
            eps = jax.vmap(jax.vmap(lambda k: jax.random.normal(k, mean.shape[1:])))(
                keys(key)
            )
            z = mean[:, None] + jnp.exp(0.5 * log_var)[:, None] * eps
            logits = _decode(model, z.reshape(-1, z.shape[-1]))
            log_w = bernoulli_log_likelihood(logits, target).reshape(eps.shape[:2])
            # log p(z) - log q(z|x): the factors (2 pi)^(1/2) cancel.
            log_w += 0.5 * jnp.sum(
                jnp.square(eps) - jnp.square(z) + log_var[:, None], axis=-1
            )
            return jax.nn.logsumexp(log_w, axis=1)

        parts = jnp.arange(self.count).reshape(-1, self.at_once)
        log_sums = jax.lax.map(log_sum, parts)
        return jnp.log(self.count) - jax.nn.logsumexp(log_sums, axis=0), {}


def traversal(model: Any, mean: Array, log_var: Array) -> Array:
    """Pictures p(x|z) for z on a regular grid of the latent space.

    Of two latent variables it is the plane: quantiles of the prior, 15 x 15, the second
    one upwards. Of more of them: a row per variable, the eight with the largest mean
    KL, which goes from -3 to 3 while the others stay at the first image's mean.

    Args:
      model: with `decode`, in eval mode.
      mean, log_var: `[B, latent]` of some images.

    Returns:
      `[rows, columns, H, W, C]` in 0 .. 1.

    References:
      Kingma and Welling, 2014, figure 4.
    """
    latent = mean.shape[-1]
    if latent == 2:
        quantile = (jnp.arange(_MANIFOLD) + 0.5) / _MANIFOLD
        steps = jax.scipy.stats.norm.ppf(quantile)
        z = jnp.stack(jnp.meshgrid(steps, -steps), axis=-1)
    else:
        rows = min(_ROWS, latent)
        kl = jax.vmap(gaussian_kl, 1)(mean[..., None], log_var[..., None]).mean(-1)
        variable = jnp.argsort(-kl)[:rows]
        steps = jnp.linspace(-_WIDEST, _WIDEST, _COLUMNS)
        chosen = jax.nn.one_hot(variable, latent)[:, None]
        z = (1 - chosen) * mean[0] + chosen * steps[:, None]
    images = jax.nn.sigmoid(_decode(model, z.reshape(-1, latent)))
    return images.reshape(*z.shape[:2], *images.shape[1:])


def _encode(model: Any, x: Array) -> tuple[Array, Array]:
    mean, log_var = model.encode(x)
    return mean.astype("float32"), log_var.astype("float32")


def _decode(model: Any, z: Array) -> Array:
    return model.decode(z).astype("float32")


def _fold(key: Array, number: int) -> Array:
    return jax.vmap(jax.random.fold_in, (0, None))(key, number)


def _fingerprint(image: Array) -> Array:
    """uint32 `[B]` of the stored pixels, multilinear modulo 2^32."""
    if not jnp.issubdtype(image.dtype, jnp.integer):
        image = jax.lax.bitcast_convert_type(image.astype("float32"), jnp.uint32)
    flat = image.reshape(image.shape[0], -1).astype(jnp.uint32)
    # Of numpy's generator, whose integers are the same everywhere, and odd.
    factors = np.random.default_rng(0).integers(
        2**32, size=flat.shape[1], dtype=np.uint32
    )
    return jnp.sum(flat * (factors | np.uint32(1)), axis=1, dtype=jnp.uint32)
