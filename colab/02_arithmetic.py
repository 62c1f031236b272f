# %% [markdown]
# # The arithmetic of transposed convolution
#
# Which sizes come out, what padding and strides do, why one size can come from several,
# in which sense it is a transpose, and where checkerboards come from. Small enough to
# be drawn.
#
# Runs on CPU, GPU or TPU, without any download.

# %%
# In a fresh runtime, in a checkout of jdeconv, run this line without its "#":
# %pip install -q -e "..[demo]"

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

from jdeconv import data, nn, ops


def matrix_of(function, size):
    """The matrix of a linear function of `[size, 1]`: one column per unit vector."""
    columns = jax.vmap(function)(jnp.eye(size)[..., None])
    return np.asarray(columns[..., 0]).T


def draw(matrices, titles, **options):
    fig, axes = plt.subplots(1, len(matrices), figsize=(5 * len(matrices), 4.5))
    for axis, matrix, title in zip(np.atleast_1d(axes), matrices, titles):
        picture = axis.imshow(matrix, cmap="RdBu_r", vmin=-4, vmax=4, **options)
        axis.set(title=title, xlabel="input", ylabel="output")
        axis.set_xticks(range(matrix.shape[1]))
        axis.set_yticks(range(matrix.shape[0]))
    fig.colorbar(picture, ax=axes)
    plt.show()


# %% [markdown]
# ## 1. A convolution is a matrix
#
# In one dimension, with a window of 3 and kernel (1, 2, 3), stride 2, and one zero in
# front and behind: 7 pixels become 4. Each row holds the kernel, two columns further
# right than the row above. What hangs over the edge is cut off: that is padding.

# %%
kernel = jnp.array([1.0, 2.0, 3.0])[:, None, None]  # [window, in, out]
geometry = {"strides": 2, "padding": 1}
forward = matrix_of(lambda x: ops.conv(x, kernel, **geometry), 7)
back = matrix_of(lambda y: ops.conv_transpose(y, kernel, **geometry), 4)
draw([forward, back], ["conv: 7 to 4", "conv_transpose: 4 to 7"])
print("one is the transpose of the other:", (back == forward.T).all())

# %% [markdown]
# `conv_transpose` takes the kernel and the arguments *of the convolution* and is its
# transpose, whatever they are. Each column of the right matrix holds the kernel: an
# entry of the input paints the kernel onto the output, two pixels further for each.
# Where two strokes overlap they add up.
#
# For images too large for a matrix the same is said by two inner products,
# `<conv(x), y> = <x, conv_transpose(y)>`:

# %%
keys = jax.random.split(jax.random.key(0), 3)
kernel_2d = jax.random.normal(keys[0], (5, 5, 3, 8))
x = jax.random.normal(keys[1], (1, 101, 64, 3))
y = jax.random.normal(keys[2], (1, 34, 22, 8))
gap = ops.adjoint_error(
    lambda x: ops.conv(x, kernel_2d, strides=3),
    lambda y: ops.conv_transpose(y, kernel_2d, strides=3, output_size=(101, 64)),
    x,
    y,
)
print(f"relative gap of the two inner products: {float(gap):.1e}")

# %% [markdown]
# It is not the inverse. Back and forth gives a blurred image, not the one before:

# %%
draw([back @ forward / 4], ["conv, then conv_transpose, / 4"])

# %% [markdown]
# ## 2. Sizes
#
# With window `k`, stride `s` and margins `lo`, `hi` a convolution takes `n` to
# `(n + lo + hi - k) // s + 1`. The division forgets a remainder, so `s` sizes share one
# result: going back, the size has to be named, or a default is taken.

# %%
print("  n:", *(f"{n:3}" for n in range(5, 15)))
for padding in (0, 1, "SAME"):
    sizes = [
        ops.conv_output_size(n, 3, strides=2, padding=padding) for n in range(5, 15)
    ]
    print(f"{padding!s:>4}", *(f"{o:3}" for o in sizes))

for padding in (0, 1, "SAME"):
    legal = ops.conv_transpose_output_sizes(5, 3, strides=2, padding=padding)
    default = ops.conv_transpose(jnp.ones((5, 1)), kernel, strides=2, padding=padding)
    print(f"padding {padding}: 5 goes back to {legal}, by default to {len(default)}")

# %% [markdown]
# A larger padding of the convolution makes the *output of the transpose smaller*: the
# margin is what is cut off there. And the extra pixel at the end is not invented: the
# convolution of 8 pixels reads it, where that of 7 reads a zero of the margin.

# %%
both = [
    matrix_of(
        lambda y, n=n: ops.conv_transpose(y, kernel, output_size=n, **geometry), 4
    )
    for n in (7, 8)
]
draw(both, ["output_size=7", "output_size=8"])

# %% [markdown]
# An illegal size is an error that names the legal ones:

# %%
try:
    ops.conv_transpose(jnp.ones((4, 1)), kernel, output_size=9, **geometry)
except ValueError as error:
    print(error)

# %% [markdown]
# ## 3. Dilation, groups, and margins that are not zero
#
# The same rule holds for all of them. "CIRCULAR" wraps around: the matrix has no edge.

# %%
circular = {"padding": "CIRCULAR", "kernel_dilation": 2}
forward = matrix_of(lambda x: ops.conv(x, kernel, **circular), 8)
back = matrix_of(lambda y: ops.conv_transpose(y, kernel, **circular), 8)
draw([forward, back], ["conv, circular, dilation 2", "its transpose"])
print("transpose:", (back == forward.T).all())

# %% [markdown]
# ## 4. Checkerboards
#
# How many strokes reach an output pixel? All ones through a kernel of ones counts them.
# If the stride does not divide the window, some pixels get more than others, and in two
# dimensions the counts multiply: a checkerboard, before anything is learned.

# %%
fig, axes = plt.subplots(1, 3, figsize=(13, 4))
for axis, window in zip(axes, (2, 3, 4)):
    ones = jnp.ones((window, window, 1, 1))
    counts = ops.conv_transpose(jnp.ones((6, 6, 1)), ones, strides=2)[..., 0]
    picture = axis.imshow(counts, cmap="viridis", vmin=0, vmax=4)
    counted = ", ".join(f"{n:.0f}" for n in np.unique(counts))
    axis.set_title(f"window {window}, stride 2: {counted}")
    axis.axis("off")
fig.colorbar(picture, ax=axes)
plt.show()

# %% [markdown]
# Windows 2 and 4 are even inside; 3 is not. `colab/03_checkerboards_and_kernels` takes
# it from here: how to measure it, and the layers that have none.
#
# ---

# %% [markdown]
# ## Now with your data
#
# A photograph through a strided convolution and back, by the same kernel
# (`TiedConvTranspose` has no parameters of its own). The window is 4 and the stride 3:
# the grid in the last picture is the checkerboard of section 4. For an image of yours:
# `photo = data.read_image(PATH)`.

# %%
photo = data.load_source({"source": "photos", "patch_size": 255}, "test")[0]["image"]
image = jnp.asarray(photo, jnp.float32)[None] / 255
down = nn.Conv(
    image.shape[-1],
    1,
    (4, 4),
    strides=3,
    use_bias=False,
    kernel_init=jax.nn.initializers.constant(1 / 16),
    rngs=nnx.Rngs(0),
)
up = nn.TiedConvTranspose(down, use_bias=False)
small = down(image)
large = up(small, output_size=image.shape[1:3])
fig, axes = plt.subplots(1, 3, figsize=(14, 4.5))
for axis, array in zip(axes, (image, small, large)):
    axis.imshow(np.asarray(array[0, ..., 0]), cmap="gray")
    axis.set_title(" x ".join(map(str, array.shape[1:])))
    axis.axis("off")
plt.show()
