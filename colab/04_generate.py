# %% [markdown]
# # Making images
#
# A deconvolutional network as a generator: from a few numbers to an image. First as the
# decoder of an autoencoder, which shows why that alone makes no new images; then as the
# decoder of a variational autoencoder (VAE), which does; and as the generator of a
# generative adversarial network (GAN), which never sees an image but through its judge.
#
# Runs on CPU, GPU or TPU, without any download: the images are scikit-learn's digits.

# %%
# In a fresh runtime, in a checkout of jdeconv, run this line without its "#":
# %pip install -q -e "..[demo]"

# %%
import os
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from configs import autoencoder_mnist, dcgan_mnist, vae_keras_mnist
from jdeconv import data, figures, train

# Set JDECONV_SMALL=1 to run through quickly, as the tests do.
SMALL = bool(os.environ.get("JDECONV_SMALL"))
WORK = pathlib.Path(os.environ.get("JDECONV_WORK") or tempfile.mkdtemp())
DURATION = "60 steps" if SMALL else "3000 steps"


def show(pictures, titles):
    plt.figure(figsize=(5 * len(pictures), 5))
    for i, (picture, title) in enumerate(zip(pictures, titles)):
        plt.subplot(1, len(pictures), i + 1, title=title)
        plt.imshow(picture)
        plt.axis("off")
    plt.show()


# %% [markdown]
# ## 1. The autoencoder
#
# Convolutions take an image to two numbers, transposed convolutions take these back to
# an image. The config is that of the MNIST run with a latent vector, on digits of 8 x 8
# pixels. For MNIST leave the line with `source` out (README: how to prepare it).

# %%
config = autoencoder_mnist.get_config()
config.model.unlock()
config.model.latent = 2
config.data.source = "digits"
config.duration = config.eval_every = config.checkpoint_every = DURATION
result = train.train_and_evaluate(config, WORK / "autoencoder")
print(f"cross-entropy of test images: {result['test/loss']:.4f} per pixel")

# %%
autoencoder = train.load_run(WORK / "autoencoder")
digits = data.load_source(config.data, "test")
batch = digits.read(range(len(digits)))
images = np.stack([example["image"] for example in batch])
labels = np.array([example["label"] for example in batch])
x, _ = autoencoder.task.preprocess.forward(images)
codes = np.asarray(autoencoder.model.encoder(x))
made = np.asarray(autoencoder.apply(images[:32]))
pairs = np.stack([images[:32], made], axis=1).reshape(8, 8, *images.shape[1:])
show([figures.grid(pairs)], ["image, reconstruction, image, ..."])

# %% [markdown]
# Each image has its two numbers. But which numbers have an image? The autoencoder was
# never told: the codes lie anywhere, in clusters with holes between them, and what the
# decoder makes of numbers in between need not be a digit. So it makes no new images
# unless we know where to draw from.
#
# ## 2. The variational autoencoder
#
# The encoder gives a Gaussian, `q(z|x)`, in place of a point, and a second term in the
# loss, `KL(q(z|x) || N(0, 1))`, pulls all these Gaussians together around 0. Then draws
# of N(0, 1) are numbers that have an image. The loss is a bound of the likelihood, the
# ELBO: `log p(x) >= E log p(x|z) - KL`.
#
# Pixels are binary here, 1 with the grey level as probability and drawn anew in every
# step, so that p(x) is the probability of an image.

# %%
config = vae_keras_mnist.get_config()
config.variational.binarize = "dynamic"
config.data.source = "digits"
config.duration = config.eval_every = config.checkpoint_every = DURATION
result = train.train_and_evaluate(config, WORK / "vae")
print(
    f"-ELBO {-result['test/elbo']:.2f} nats per test image, "
    f"of which KL {result['test/kl']:.2f}"
)

# %%
vae = train.load_run(WORK / "vae")
mean, log_var = vae.model.encode(x)
fig, axes = plt.subplots(1, 2, figsize=(12, 5))
for axis, points, title in zip(
    axes, (codes, np.asarray(mean)), ("codes of the autoencoder", "means of the VAE")
):
    dots = axis.scatter(*points.T, c=labels, cmap="tab10", s=12)
    axis.set_title(title)
fig.colorbar(dots, ax=axes, label="digit")
plt.show()

# %% [markdown]
# New digits: draw z from N(0, 1) and decode. Beside them the same draws, decoded by the
# autoencoder.

# %%
keys = jax.random.split(jax.random.key(0), 64)
z = jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys)
by_vae = vae.task.sample(vae.model, keys)
by_autoencoder = jax.nn.sigmoid(autoencoder.model.decoder(z))
sheets = [
    figures.grid(np.asarray(made).reshape(8, 8, *images.shape[1:]))
    for made in (by_autoencoder, by_vae)
]
show(sheets, ["random numbers, by the autoencoder", "by the VAE"])

# %% [markdown]
# All that evaluation draws: reconstructions, samples, and the plane of z, at quantiles
# of N(0, 1). `jdeconv evaluate --workdir DIR --figure` writes the same picture.

# %%
keys = jax.random.split(jax.random.key(1), 8)
shown = vae.task.images(vae.model, {"image": jnp.asarray(images[:8])}, keys)
fig, axis = plt.subplots(figsize=(14, 7))
axis.imshow(vae.task.figure(jax.device_get(shown)))
axis.axis("off")
plt.show()

# %% [markdown]
# How likely are images it has not seen? The ELBO is a bound; importance sampling comes
# as near to log p(x) as one likes, with more samples. They are streamed: 5000 of them,
# the usual number, need no more memory than 20.

# %%
for samples in (20, 200) if SMALL else (20, 200, 5000):
    measured = train.evaluate(WORK / "vae", split="test[:100]", samples=samples)
    print(
        f"{samples:5} samples: -log p(x) <= {measured['test[:100]/nll']:.2f} nats, "
        f"-ELBO {-measured['test[:100]/elbo']:.2f}"
    )

# %% [markdown]
# On MNIST: `configs/vae_mnist.py` (40 latent variables, likelihood) and
# `configs/vae_keras_mnist.py` (a plane).
#
# ## 3. The GAN
#
# A generator is like the decoder of a VAE that has no encoder: its
# numbers are drawn, never computed from an image. A second network, the discriminator,
# learns to tell its images from real ones, and the generator learns to deceive it. They
# take turns in every step. Here both are told which digit is meant (`conditional`).

# %%
config = dcgan_mnist.get_config("32")
config.model.unlock()
config.model.width = 16
config.model.conditional = True
config.data.source = "digits"
config.preprocess.size = (16, 16)
config.batch_size = 64
config.ema_decay = 0.99
config.duration = "10 steps" if SMALL else "2000 steps"
config.eval_every = config.checkpoint_every = config.duration
result = train.train_and_evaluate(config, WORK / "gan")
print(f"sliced Wasserstein distance x 1000: {result['test/swd']:.1f}")

# %% [markdown]
# A row for each digit. There is no likelihood to tell how good they are: the distance
# above compares patches of the images with those of real ones, and what it is worth
# depends on their number (`python -m benchmarks.real_distance` says what as many real
# images score).

# %%
gan = train.load_run(WORK / "gan", "latest")
asked = jnp.repeat(jnp.arange(10), 12)
made = gan.task.sample(gan.model, jax.random.split(jax.random.key(0), 120), asked)
show([figures.grid(np.asarray(made).reshape(10, 12, 16, 16, 1))], ["0 to 9, as asked"])

# %% [markdown]
# On MNIST: `configs/dcgan_mnist.py`, with a Wasserstein or hinge loss
# `configs/wgan_gp_mnist.py`, and both ideas in one, `configs/vae_gan_mnist.py`: a VAE
# whose reconstructions are judged by a discriminator.
#
# ---

# %% [markdown]
# ## Now with your data
#
# A folder of PNG, JPEG or TIFF images of one size: `config.data.source =
# "folder:/path"` (of any sizes: `config.data.patch_size` says what is cut from them);
# `config.preprocess.size` is the size they are made at. More latent variables give
# sharper images; the walk then goes through the eight that say most. Here the pixels
# are grey levels, not binary.

# %%
MY_IMAGES = "digits"  # e.g. "folder:/content/my_images"
config = vae_keras_mnist.get_config()
config.data.source = MY_IMAGES
config.preprocess.size = (16, 16)
config.model.latent = 8
config.duration = config.eval_every = config.checkpoint_every = DURATION
train.train_and_evaluate(config, WORK / "mine")
train.evaluate(WORK / "mine", figure=WORK / "mine.png")
fig, axis = plt.subplots(figsize=(14, 7))
axis.imshow(data.read_image(WORK / "mine.png"))
axis.axis("off")
plt.show()
