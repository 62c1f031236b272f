# %% [markdown]
# # Checkerboards, and how to choose a kernel
#
# Transposed convolutions are known for the pattern they leave in images. Here it is
# drawn, measured and avoided: where it comes from, which kernels have it, what networks
# show before and after training, and how to look for it in your own images.
#
# Runs on CPU, GPU or TPU, without any download.

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
from flax import nnx

from configs import checkerboard as study
from configs import smoke
from jdeconv import checkerboard, data, models, nn, ops, train

# Set JDECONV_SMALL=1 to run through quickly, as the tests do.
SMALL = bool(os.environ.get("JDECONV_SMALL"))
WORK = pathlib.Path(os.environ.get("JDECONV_WORK") or tempfile.mkdtemp())
jax.devices()

# %% [markdown]
# ## 1. Where the pattern comes from
#
# Give a transposed convolution an image of ones and a kernel of ones: each output is
# the number of taps that reach it. Where the stride does not divide the window, some
# positions are reached by more taps than others, and the picture is a checkerboard.
# The titles are window / stride: largest over smallest value inside.

# %%
ones = jnp.ones((6, 6, 1))
fig, axes = plt.subplots(2, 5, figsize=(12, 5))
for row, stride in zip(axes, (2, 3)):
    for axis, window in zip(row, (2, 3, 4, 5, 6)):
        kernel = jnp.ones((window, window, 1, 1))
        axis.imshow(ops.conv_transpose(ones, kernel, strides=stride)[..., 0], vmin=0)
        ratio = checkerboard.all_ones_ratio(window, stride)
        shown = "holes" if np.isinf(ratio) else f"{ratio:.3g} : 1"
        axis.set_title(f"{window} / {stride}: {shown}")
        axis.axis("off")
plt.show()

# %% [markdown]
# The rule: **take a window that the stride divides**, 4 for stride 2. `advice` reads a
# network and says where the rule is broken; training logs the same sentences when it
# starts.

# %%
model = models.Autoencoder((64, 64, 1), features=(16, 16), rngs=nnx.Rngs(0))
for sentence in checkerboard.advice(model):
    print(sentence, "\n")

# %% [markdown]
# ## 2. At the start
#
# Random kernels have the pattern, too: the positions that more taps reach start larger.
# The default initialiser of `nn.ConvTranspose` counts the taps and evens it out; an
# initialiser made for plain convolutions does not. Root mean square of the four phases
# of the output, for white noise as input:

# %%
x = jax.random.normal(jax.random.key(0), (1, 64, 64, 64))
for name, kernel_init in (
    ("N(0, 0.02), as in DCGAN", jax.nn.initializers.normal(0.02)),
    ("default of nn.ConvTranspose", None),
):
    layer = nn.ConvTranspose(
        64, 64, (3, 3), 2, kernel_init=kernel_init, rngs=nnx.Rngs(0)
    )
    y = np.asarray(layer(x))[:, 4:-4, 4:-4]
    rms = [y[:, i::2, j::2].std() for i in (0, 1) for j in (0, 1)]
    print(f"{name:30} " + "  ".join(f"{r:.2f}" for r in rms))

# %% [markdown]
# ## 3. A measure
#
# A pattern that repeats every s pixels has its energy at the frequencies a / s.
# `checkerboard.energy` is the share of an image's spectral energy that lies there. It
# wants something to compare with: the same share in real images.

# %%
photos = data.load_source({"source": "photos", "patch_size": 128}, "test")
lively = max(range(len(photos)), key=lambda i: photos[i]["image"].std())
photo = jnp.asarray(photos[lively]["image"], jnp.float32) / 255
rows, columns = jnp.mgrid[:128, :128]
board = ((rows % 2) * (columns % 2) - 0.25)[..., None]
fig, axes = plt.subplots(1, 4, figsize=(13, 3.6))
for axis, amount in zip(axes, (0.0, 0.02, 0.05, 0.2)):
    image = photo + amount * board
    share = float(checkerboard.energy(image[None])[0])
    axis.imshow(image[32:96, 32:96, 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"pattern {amount}: {100 * share:.2g} %")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## 4. Five generators that have not learned anything
#
# The generators of `configs/checkerboard.py`: transposed convolutions of window 3 and
# 4, sub-pixel convolutions with and without ICNR, and interpolation followed by a
# convolution. What an untrained network prefers is what training has to work against.
#
# Window 4 is even on all ones, and starts with a pattern all the same: the four phases
# of its output come from different taps, which start at random. Only ICNR and
# interpolation start the phases equal.

# %%
z = jax.random.normal(jax.random.key(1), (16, 100))
fig, axes = plt.subplots(1, len(study.VARIANTS), figsize=(14, 3.4))
for axis, name in zip(axes, study.VARIANTS):
    options = study.get_config(name).model
    make = nnx.jit(
        lambda options=options: models.build(
            {
                "name": "dcgan",
                "width": 8,
                "upsample": options.upsample,
                "kernel_size": options.kernel_size,
            },
            image_shape=(32, 32, 1),
            rngs=nnx.Rngs(0),
        )(z)
    )
    images = make()
    share = float(checkerboard.energy(images).mean())
    axis.imshow(images[0, ..., 0], cmap="gray")
    axis.set_title(f"{name}\n{100 * share:.2g} %")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## 5. After training
#
# The sharpening network of the quickstart, with three decoders. `config.checkerboard`
# asks the run to report the share in its results, and that of the true images beside
# it. The study with generative networks is `python -m benchmarks.checkerboard`.

# %%
DECODERS = {
    "window 3": {"kernel_size": 3},
    "window 4": {"kernel_size": 4},
    "resize": {"kernel_size": 3, "upsample": "resize"},
}
results = {}
for name, options in DECODERS.items():
    config = smoke.get_config()
    with config.unlocked():
        config.model.update(residual=False, **options)
        config.checkerboard = 2
        config.duration = "20 steps" if SMALL else "600 steps"
        config.eval_every = config.duration
    results[name] = train.train_and_evaluate(config, WORK / name)

# %%
patches = data.load_source(config.data, "test")
order = sorted(range(len(patches)), key=lambda i: -patches[i]["image"].std())
batch = np.stack([patches[i]["image"] for i in order[:4]])
fig, axes = plt.subplots(1, 4, figsize=(14, 4))
for axis, name in zip(axes, DECODERS):
    restored = train.load_run(WORK / name).apply(batch)
    axis.imshow(np.asarray(restored)[0, 8:40, 8:40, 0], cmap="gray")
    share = 100 * results[name]["test/checkerboard"]
    axis.set_title(f"{name}: {results[name]['test/psnr']:.2f} dB, {share:.2g} %")
share = 100 * results[name]["test/real_checkerboard"]
axes[-1].imshow(batch[0, 8:40, 8:40, 0], cmap="gray")
axes[-1].set_title(f"true image: {share:.2g} %")
for axis in axes:
    axis.axis("off")
plt.show()

# %% [markdown]
# Which window and stride are accurate and cheap is another question: the grid of
# windows 2 to 7 and strides 1 to 3 is `docs/kernel_size.md`.
#
# ## 6. Now with your data
#
# Put images that a network of yours has made into `MY_IMAGES`, a file or a folder, and
# its real images into `REAL`. A share well above that of the real images is a
# checkerboard. `STRIDE` is that of the last layer; multiply the strides of the last two
# layers to look for the pattern of the one before.

# %%
file = WORK / "made.png"
patterned = jnp.clip(photo + 0.05 * board, 0, 1)
data.write_image(file, np.asarray(jnp.round(255 * patterned)).astype(np.uint8))
MY_IMAGES = file  # e.g. "/content/samples"
REAL = np.asarray(photo)  # or data.read_image("/content/real/0.png") / 255
STRIDE = 2


def share_of(image: np.ndarray) -> float:
    return 100 * float(checkerboard.energy(jnp.asarray(image)[None], STRIDE)[0])


fig, axes = plt.subplots(1, 2, figsize=(9, 4.5))
(path, *_) = data.find_images(MY_IMAGES)
mine = data.read_image(path)
mine = mine.astype(np.float32) / np.iinfo(mine.dtype).max
for axis, image, name in zip(axes, (mine, REAL), ("mine", "real")):
    axis.imshow(image[..., 0], cmap="gray")
    axis.set_title(f"{name}: {share_of(image):.2g} % at the harmonics of {STRIDE}")
    axis.axis("off")
plt.show()
