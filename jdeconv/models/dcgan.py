"""DCGAN: a generator of transposed convolutions, and its mirror, a discriminator."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from jdeconv.models.decoder import UPSAMPLE, upsampling_layer
from jdeconv.models.encoder import stage_sizes
from jdeconv.nn import Conv

NORMS = ("batch", "layer", "none")

_SMALLEST = 4  # the grid that the generator starts from has at least 4 x 4 cells
_kernel_init = jax.nn.initializers.normal(0.02)


def _scale_init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32):
    return 1 + 0.02 * jax.random.normal(key, shape, dtype)


def _batch_norm(features: int, dtype: DTypeLike | None, rngs: nnx.Rngs) -> nnx.Module:
    # A long memory: images are made by the averaged parameters, and what is averaged
    # over a hundred passes suits them better than the last ten.
    return nnx.BatchNorm(
        features, momentum=0.99, scale_init=_scale_init, dtype=dtype, rngs=rngs
    )


def _needed(label: Array | None) -> Array:
    if label is None:
        raise ValueError("label=None: a conditional network needs labels, int [B]")
    return label


def num_stages(size: tuple[int, int]) -> int:
    """How often a grid can be halved, rounding up, before a side is below 4.

    >>> num_stages((64, 64)), num_stages((32, 32)), num_stages((28, 28))
    (4, 3, 3)
    """
    stages = 0
    while min(stage_sizes(size, stages + 1)[-1]) >= _SMALLEST:
        stages += 1
    return stages


class Generator(nnx.Module):
    """z -> dense, reshape -> doubling layers with batch norm and ReLU -> tanh.

    Args:
      image_shape: (H, W, C) to make.
      latent: size of z.
      width: channels of the last hidden layer; each one before has twice as many.
      kernel_size: window of the doubling layers.
      upsample: "conv_transpose", "resize", "subpixel" (starting as ICNR says) or
        "subpixel_plain" (without ICNR).
      num_labels: of a conditional generator, which gets the label beside z; else None.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown upsample, or an image below 7 x 7.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        latent: int,
        width: int,
        kernel_size: int,
        upsample: str,
        num_labels: int | None,
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        height, width_of_image, channels = image_shape
        stages = num_stages((height, width_of_image))
        if stages == 0:
            raise ValueError(f"image_shape={image_shape}: a DCGAN needs 7 x 7 or more")
        self.sizes = stage_sizes((height, width_of_image), stages)
        features = [width * 2**i for i in reversed(range(stages))]
        self.grid = (*self.sizes[-1], features[0])
        self.dense = nnx.Linear(
            latent + (num_labels or 0),
            math.prod(self.grid),
            use_bias=False,  # the norm has one
            kernel_init=_kernel_init,
            dtype=dtype,
            rngs=rngs,
        )
        # Sub-pixel layers start as ICNR says unless they are given an initialiser, and
        # then at a scale of their own; the norm after them makes up for it.
        plain = upsample == "subpixel_plain"
        kind = "subpixel" if plain else upsample
        own = kind == "subpixel" and not plain
        options: dict = {} if own else {"kernel_init": _kernel_init}
        after = [*features[1:], channels]
        self.layers = nnx.List(
            upsampling_layer(
                kind,
                before,
                out,
                kernel_size,
                use_bias=i == stages - 1,
                dtype=dtype,
                rngs=rngs,
                **options,
            )
            for i, (before, out) in enumerate(zip(features, after))
        )
        self.norms = nnx.List(_batch_norm(f, dtype, rngs) for f in features)
        self.num_labels = num_labels

    def __call__(self, z: Array, label: Array | None = None) -> Array:
        """`[B, latent]`, and int `[B]` if conditional, to `[B, H, W, C]` in -1 .. 1."""
        if self.num_labels is not None:
            label = _needed(label)
            z = jnp.concatenate([z, jax.nn.one_hot(label, self.num_labels)], axis=-1)
        x = self.dense(z).reshape(-1, *self.grid)
        for norm, layer, size in zip(
            self.norms, self.layers, reversed(self.sizes[:-1])
        ):
            x = layer(jax.nn.relu(norm(x)), output_size=size)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nnx.Module):
    """Strided convolutions with LeakyReLU(0.2), and a score: large for real images.

    Args:
      image_shape: (H, W, C).
      width: channels of the first convolution; each one after has twice as many.
      kernel_size: window of the convolutions.
      norm: after all convolutions but the first: "batch", "layer" (over the whole
        image, with a scale and a shift per channel) or "none".
      num_labels: of a conditional discriminator, else None. The label's embedding is
        multiplied with the features (Miyato and Koyama, 2018, equation 3).
      dtype: type to compute in.
      rngs: NNX random streams.

    Attributes:
      couples_examples: whether an example's score depends on the others, in training.

    Raises:
      ValueError: an unknown norm.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        width: int,
        kernel_size: int,
        norm: str,
        num_labels: int | None,
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        if norm not in NORMS:
            raise ValueError(f"norm={norm!r}: must be one of {', '.join(NORMS)}")
        stages = num_stages(image_shape[:2])
        grid = stage_sizes(image_shape[:2], stages)[-1]
        features = [width * 2**i for i in range(stages)]
        self.convs = nnx.List(
            Conv(
                before,
                after,
                (kernel_size, kernel_size),
                2,
                use_bias=i == 0 or norm == "none",
                kernel_init=_kernel_init,
                dtype=dtype,
                rngs=rngs,
            )
            for i, (before, after) in enumerate(
                zip([image_shape[-1], *features], features)
            )
        )
        make = {
            "batch": lambda f: _batch_norm(f, dtype, rngs),
            # One group is the whole image.
            "layer": lambda f: nnx.GroupNorm(f, num_groups=1, dtype=dtype, rngs=rngs),
        }
        hidden = features[1:] if norm in make else []
        self.norms = nnx.List(make[norm](f) for f in hidden)
        self.dense = nnx.Linear(
            math.prod(grid) * features[-1],
            1,
            kernel_init=_kernel_init,
            dtype=dtype,
            rngs=rngs,
        )
        self.embed = nnx.data(None)
        if num_labels is not None:
            self.embed = nnx.Embed(
                num_labels,
                features[-1],
                embedding_init=_kernel_init,
                dtype=dtype,
                rngs=rngs,
            )
        self.couples_examples = norm == "batch"

    def __call__(self, x: Array, label: Array | None = None) -> Array:
        """`[B, H, W, C]`, and int `[B]` if conditional, to scores `[B]`."""
        x = self.features(x)
        score = self.dense(x.reshape(x.shape[0], -1))[:, 0]
        if self.embed is not None:
            label = _needed(label)
            score = score + (self.embed(label) * x.sum((1, 2))).sum(-1)
        return score.astype(jnp.float32)

    def features(self, x: Array) -> Array:
        """`[B, H, W, C]` to what the last convolution makes of it, `[B, h, w, c]`."""
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i and len(self.norms):
                x = self.norms[i - 1](x)
            x = jax.nn.leaky_relu(x, 0.2)
        return x


class DCGAN(nnx.Module):
    """Generator and discriminator of deep convolutional GANs.

    All kernels start from N(0, 0.02^2), the scales of batch norms from N(1, 0.02^2).
    The grid is doubled from 4 x 4: with the paper's width of 128, 64 x 64 images come
    from 1024, 512, 256 and 128 channels.

    Args:
      image_shape: (H, W, C) of the images, any size from 7 x 7.
      num_classes: of a labelled data set.
      latent: size of z.
      width: channels of the generator's layer nearest to the image.
      discriminator_width: channels of the discriminator's; None: as width.
      kernel_size: window of the generator's doubling layers.
      upsample: see `Generator`.
      norm: of the discriminator: "batch", "layer" or "none". A gradient penalty needs
        one of the last two.
      conditional: both networks also get the label.
      dtype: type to compute in.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown option, or conditional without labels.

    References:
      Radford, Metz and Chintala, "Unsupervised representation learning with deep
      convolutional generative adversarial networks", 2016.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        num_classes: int | None = None,
        latent: int = 100,
        width: int = 64,
        discriminator_width: int | None = None,
        kernel_size: int = 4,
        upsample: str = "conv_transpose",
        norm: str = "batch",
        conditional: bool = False,
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        if conditional and not num_classes:
            raise ValueError("conditional=True, and the data set has no labels")
        known = (*UPSAMPLE, "subpixel_plain")
        if upsample not in known:
            raise ValueError(
                f"upsample={upsample!r}: must be one of {', '.join(known)}"
            )
        labels = num_classes if conditional else None
        self.generator = Generator(
            image_shape,
            latent=latent,
            width=width,
            kernel_size=kernel_size,
            upsample=upsample,
            num_labels=labels,
            dtype=dtype,
            rngs=rngs,
        )
        self.discriminator = Discriminator(
            image_shape,
            width=discriminator_width or width,
            kernel_size=4,
            norm=norm,
            num_labels=labels,
            dtype=dtype,
            rngs=rngs,
        )
        self.latent = latent
        self.num_labels = labels
        self.output = "image"

    def __call__(self, z: Array, label: Array | None = None) -> Array:
        """The generator: `[B, latent]`, int `[B]` if conditional, to `[B, H, W, C]`."""
        return self.generator(z, label)
