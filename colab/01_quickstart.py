# %% [markdown]
# # jdeconv in ten minutes
#
# The tutorial on deconvolutional networks, working: preprocess an image, build a
# network of convolutions and transposed convolutions, train it, process an image with
# it, and look at the original beside the result.
#
# Runs on CPU, GPU or TPU, without any download: the images come with scikit-learn and
# scikit-image. Chinese: `01_quickstart.zh.ipynb`.

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

from configs import smoke, tutorial_mnist
from jdeconv import data, nn, ops, train
from jdeconv.cli.process import process_images

# Set JDECONV_SMALL=1 to run through quickly, as the tests do.
SMALL = bool(os.environ.get("JDECONV_SMALL"))
WORK = pathlib.Path(os.environ.get("JDECONV_WORK") or tempfile.mkdtemp())
jax.devices()

# %% [markdown]
# ## 1. Preprocessing, and its exact inverse
#
# Pixels become floats, maybe resized and standardised; `inverse` undoes it. Without a
# resize the very same pixels come back. The tutorial resizes to 224 although its
# network takes 28, and never calls the function; here the size is the network's
# business.

# %%
photos = data.load_source({"source": "photos", "patch_size": 256}, "test")
photo = photos[0]["image"]
preprocess = data.Preprocess(standardize="image")
x, info = preprocess.forward(photo)
print(f"{photo.dtype} {photo.shape} -> mean {x.mean():.3f}, deviation {x.std():.3f}")
print("same pixels back:", bool((preprocess.inverse(x, info) == photo).all()))

small, info = data.Preprocess(size=(64, 64)).forward(photo)
back = data.Preprocess(size=(64, 64)).inverse(small, info)
fig, axes = plt.subplots(1, 3, figsize=(10, 3.5))
for axis, image, title in zip(
    axes,
    (photo, small, back),
    ("original", "64 x 64, as a network sees it", "back to the original size"),
):
    axis.imshow(np.asarray(image)[..., 0], cmap="gray")
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## 2. A convolution and its transpose
#
# `conv_transpose` takes the kernel and the arguments of a convolution and is its
# adjoint: it goes back through the shapes. It is *not* its inverse: the picture that
# comes back is not the one that went in.

# %%
conv = nn.Conv(1, 8, (3, 3), strides=2, rngs=nnx.Rngs(0))
tied = nn.TiedConvTranspose(conv)  # the same kernel, "the earlier layer's parameters"
image = jnp.asarray(photo, jnp.float32)[None] / 255
features = conv(image)
again = tied(features, output_size=image.shape[1:3])
print("image", image.shape, "-> features", features.shape, "-> image", again.shape)
y = jax.random.normal(jax.random.key(0), features.shape)
error = ops.adjoint_error(
    lambda x: conv(x) - conv.bias[...],
    lambda y: tied(y, output_size=image.shape[1:3]) - tied.bias[...],
    image,
    y,
)
print(f"<conv(x), y> and <x, conv_transpose(y)> differ by {float(error):.1e}, relative")

# %% [markdown]
# With stride 2, two sizes of input share one size of output. The transposed
# convolution can be told which one is meant.

# %%
print("sizes that a stride-2 convolution takes to 14:", end=" ")
print(ops.conv_transpose_output_sizes(14, 3, strides=2))

# %% [markdown]
# ## 3. The tutorial's network, trained
#
# conv -> transposed conv -> dense, Adam, cross-entropy: the config of the MNIST run,
# here on scikit-learn's digits, which need no download. For MNIST leave the line with
# `source` out (README: how to prepare it).

# %%
config = tutorial_mnist.get_config()
config.data.source = "digits"
config.duration = "2 epochs" if SMALL else "30 epochs"
config.eval_every = "1 epochs" if SMALL else "10 epochs"
result = train.train_and_evaluate(config, WORK / "digits")
print(f"accuracy on digits not seen in training: {100 * result['test/accuracy']:.1f} %")

# %%
run = train.load_run(WORK / "digits")
digits = data.load_source(config.data, "test")
batch = np.stack([digits[i]["image"] for i in range(8)])
probabilities = np.asarray(run.apply(batch))
fig, axes = plt.subplots(1, 8, figsize=(12, 2))
for axis, digit, p in zip(axes, batch, probabilities):
    axis.imshow(digit[..., 0], cmap="gray")
    axis.set_title(f"{p.argmax()} ({100 * p.max():.0f} %)")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## 4. A network that gives images
#
# Blurred photographs to sharp ones: a strided convolution, a transposed convolution,
# and the result added to the input.

# %%
config = smoke.get_config()
config.duration = "30 steps" if SMALL else "400 steps"
config.eval_every = config.duration
result = train.train_and_evaluate(config, WORK / "deblur")
print(
    f"blurred {result['test/input_psnr']:.2f} dB -> "
    f"network {result['test/psnr']:.2f} dB, photographs not seen in training"
)

# %% [markdown]
# ## 5. Process a file, original beside result
#
# Blur a photograph, save it, and process the file: preprocess -> network -> inverse.

# %%
blurred = data.gaussian_blur(image, sigma=1.5)[0]
file = WORK / "blurred.png"
data.write_image(file, np.asarray(jnp.round(blurred * 255)).astype(np.uint8))
written, failed = process_images(file, WORK / "deblur", WORK / "processed")
print("written:", [path.name for path in written], "failed:", failed)
fig, axes = plt.subplots(1, 3, figsize=(13, 4.5))
for axis, shown, title in zip(
    axes,
    (data.read_image(file), data.read_image(written[0]), photo),
    ("original file (blurred)", "result", "the sharp photograph"),
):
    axis.imshow(shown[64:192, 64:192, 0], cmap="gray")
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## 6. Now with your data
#
# Put a file, or a folder of PNG, JPEG or TIFF images, into `MY_IMAGES`. To train on a
# folder: `config.data.source = "folder:/path"` and `config.data.patch_size = 64`.

# %%
MY_IMAGES = file  # e.g. "/content/my_photos"
written, failed = process_images(MY_IMAGES, WORK / "deblur", WORK / "mine")
figure = written[0].with_name(f"{written[0].stem}_figure.png")
fig, axis = plt.subplots(figsize=(12, 6))
axis.imshow(data.read_image(figure))
axis.axis("off")
plt.show()
