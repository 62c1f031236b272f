# %% [markdown]
# # Seeing inside
#
# A classifier says "3". What did it look at, and what do its feature maps look for? The
# deconvnet of Zeiler and Fergus answers in pixels: it takes one unit of a trained
# network and sends it back down, through transposed convolutions by the network's own
# kernels and through unpooling at the places where the maxima were.
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
import matplotlib.pyplot as plt
import numpy as np

from configs import mnist_cnn
from jdeconv import data, figures, models, train

# Set JDECONV_SMALL=1 to run through quickly, as the tests do.
SMALL = bool(os.environ.get("JDECONV_SMALL"))
WORK = pathlib.Path(os.environ.get("JDECONV_WORK") or tempfile.mkdtemp())
DURATION = "60 steps" if SMALL else "1500 steps"


def show(picture, title, width=10):
    _, axis = plt.subplots(figsize=(width, width * len(picture) / len(picture[0])))
    axis.imshow(picture)
    axis.set_title(title)
    axis.axis("off")
    plt.show()


# %% [markdown]
# ## 1. A network to look into
#
# The config is that of the MNIST run, here on digits of 8 x 8 pixels, shown to the
# network at 16 x 16. For MNIST leave out the lines with `source`, `size` and `pool`
# (README: how to prepare it). The grain in the projections below may come from the
# enlarging: the digits have no fine detail, so kernels are free to do anything with it.
# There was less of it with much weight decay.

# %%
config = mnist_cnn.get_config()
config.data.source = "digits"
config.preprocess.size = (16, 16)
config.model.unlock()
config.model.blocks = ((16,), (32,))
config.model.pool = 4
config.optimizer.warmup = "10 steps"
config.optimizer.weight_decay = 3.0
config.duration = config.eval_every = config.checkpoint_every = DURATION
result = train.train_and_evaluate(config, WORK / "digits")
print(f"accuracy on test images: {100 * result['test/accuracy']:.1f} %")

# %% [markdown]
# Its layers, and what each of them costs per image. The names in the first column are
# those by which a layer is asked for below.

# %%
run = train.load_run(WORK / "digits")
print(models.summary(run.model, run.image_shape, batch_size=64, repeats=5))

# %% [markdown]
# ## 2. One unit, back to pixels
#
# The unit: the output for the class that the network says. Three ways down, which
# differ in what a ReLU does to the signal: the *gradient* lets it pass where the ReLU
# was on; the *deconvnet* passes what is positive; *guided backpropagation* asks for
# both. Grey is zero; bright pixels speak for the class, dark ones against it.

# %%
digits = data.load_source(config.data, "test")
images = np.stack([example["image"] for example in digits.read(range(len(digits)))])
x = np.asarray(run.task.preprocess.forward(images)[0])


def contrast(pixels):
    """Grey is zero; each image by its own largest value."""
    pixels = np.asarray(pixels)
    largest = np.abs(pixels).max((1, 2, 3), keepdims=True)
    return 0.5 + 0.5 * pixels / np.maximum(largest, 1e-12)


some = x[:8]
said = np.asarray(run.model(some)).argmax(-1)
logits = models.layer_output(run.model, "dense")
rows = [some]
for method in ("gradient", "deconvnet", "guided"):
    rows.append(contrast(models.project(logits, some, said, method=method).pixels))
titles = [f'"{run.class_names[c]}"' for c in said]
show(
    figures.panels([list(row) for row in rows], titles, scale=6),
    "image, gradient, deconvnet, guided backpropagation",
)

# %% [markdown]
# A unit in the middle of the network sees a part of the image only. This is the
# strongest activation of one feature map in each image: whatever is not grey lies in
# the patch that the unit sees.

# %%
LAYER = "layers.1.1"  # batch norm of the second block, before its ReLU
features = models.layer_output(run.model, LAYER)
found = models.project(features, some, 0)
show(
    figures.panels([list(some), list(contrast(found.pixels))], scale=6),
    f"feature map 0 of {LAYER}, by the deconvnet",
)
for number in range(2):
    row, column = found.positions[number]
    print(f"image {number}: {found.values[number]:.2f} at ({row}, {column})")

# %% [markdown]
# ## 3. What does a feature map look for?
#
# All test images go through the network once. Of each feature map the nine images that
# excite it most are kept: the patches that the units see, and beside them what in these
# patches excites them.


# %%
def look(run, x, layer, maps, columns=4):
    batches = (x[i : i + 128] for i in range(0, len(x), 128))
    features = models.layer_output(run.model, layer)
    top = models.top_patches(features, batches, channels=maps)
    picture = figures.top_patches(
        top.patches, top.projections, columns=columns, scale=3
    )
    show(picture, f"{layer}, feature maps {', '.join(map(str, maps))}")
    return top


top = look(run, x, LAYER, range(4 if SMALL else 12))
rows, columns = models.receptive_fields(
    models.layer_output(run.model, LAYER), run.image_shape
)
print("unit (4, 4) sees rows", *rows[4], "and columns", *columns[4], "(end excluded)")

# %% [markdown]
# The first layer is simpler: edges, corners, bright spots.

# %%
look(run, x, "layers.0.1", range(4 if SMALL else 8))

# %% [markdown]
# Of which digits are the nine? Some feature maps look for one digit already, others for
# a stroke that several digits share.

# %%
labels = np.array([example["label"] for example in digits.read(range(len(digits)))])
for number, examples in enumerate(top.examples):
    print(f"feature map {number}: digits", *labels[examples])

# %% [markdown]
# `models.project` needs no method of the network: it takes any function from images to
# activations, here a sum of two classes, and compiles.


# %%
def three_or_eight(x):
    return run.model(x)[:, [3, 8]].sum(-1, keepdims=True)


project = jax.jit(lambda x: models.project(three_or_eight, x, 0).pixels)
show(figures.panels(list(contrast(project(some))), scale=6), "3 or 8?")

# %% [markdown]
# ---

# %% [markdown]
# ## Now with your data
#
# A folder with one subfolder of images per class: `"folder:/path"`. Or a network that
# you have trained: its workdir, such as that of `configs/mnist_cnn.py` or
# `configs/fashion_cnn.py`; then nothing is trained here.

# %%
MY_RUN = None  # e.g. "runs/mnist_cnn"
MY_IMAGES = "digits"  # e.g. "folder:/content/my_images"
MY_LAYER = "layers.1.1"  # one of models.layer_names(mine.model)
if MY_RUN is None:
    MY_RUN = WORK / "mine"
    config.data.source = MY_IMAGES
    config.preprocess.size = (24, 24)
    train.train_and_evaluate(config, MY_RUN)
mine = train.load_run(MY_RUN)
print(models.summary(mine.model, mine.image_shape))
source = data.load_source(mine.config.data, "test")
pixels = [example["image"] for example in source.read(range(min(len(source), 2000)))]
x = np.concatenate([mine.task.preprocess.forward(p[None])[0] for p in pixels])
top = look(mine, x, MY_LAYER, range(4))
