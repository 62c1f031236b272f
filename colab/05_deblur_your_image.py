# %% [markdown]
# # Deblur your image
#
# A blurred photograph and a blurred volume of a microscope, and what gets the scene
# back: point spread functions, solvers, how strong and when to stop. In the end it is
# your image's turn.
#
# Runs on CPU, GPU or TPU, without any download. Undoing a blur is an *inverse problem*;
# the transposed convolution of networks, also called deconvolution, undoes nothing
# (notebook 02).

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

from jdeconv import data, restore
from jdeconv.cli.deblur import deblur_images
from jdeconv.restore import noise, psf

# Set JDECONV_SMALL=1 to run through quickly, as the tests do.
SMALL = bool(os.environ.get("JDECONV_SMALL"))
WORK = pathlib.Path(os.environ.get("JDECONV_WORK") or tempfile.mkdtemp())
jax.devices()


def show(images, titles, columns=4, **options):
    """Grey images in rows, all with the same black and white."""
    rows = -(-len(images) // columns)
    size = (3.1 * columns, 3.4 * rows)
    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, title in zip(axes.flat, images, titles):
        axis.imshow(np.asarray(image), **{"cmap": "gray"} | options)
        axis.set_title(title, fontsize=10)
    plt.tight_layout()
    plt.show()


# %% [markdown]
# ## 1. Point spread functions
#
# What becomes of a point of light. Each is an array that sums to 1, a differentiable
# function of its parameters.

# %%
kernels = {
    "gaussian(2.0)": psf.gaussian(2.0),
    "disk(4)": psf.disk(4.0),
    "motion(15, 30)": psf.motion(15.0, 30.0),
}
show(kernels.values(), kernels, columns=3)

# %% [markdown]
# ## 2. A photograph, moved and noisy
#
# The camera sees light from beyond its frame: the scene is larger than the image.
# `Blur` with the boundary "valid" says just that.

# %%
scene = jnp.asarray(
    data.load_source({"source": "photos", "patch_size": 256}, "test")[0]["image"]
)[..., 0]
scene = scene.astype("float32") / 255
if SMALL:
    scene = scene[96:224, 64:192]
kernel = kernels["motion(15, 30)"]
blur = restore.Blur(kernel, scene.shape, "valid")
NOISE = 0.01
y = noise.gaussian(jax.random.key(1), blur(scene), NOISE)
low = [k - 1 - c for k, c in zip(kernel.shape, blur.center)]
truth = scene[low[0] : low[0] + y.shape[0], low[1] : low[1] + y.shape[1]]
print("noise found:", float(noise.estimate_std(y)), "added:", NOISE)


def decibels(image):
    return -10 * np.log10(float(jnp.mean((image - truth)[10:-10, 10:-10] ** 2)))


# %%
results = {
    "measured": y,
    "wiener": restore.wiener(y, kernel, noise_std=NOISE),
    "richardson_lucy": restore.richardson_lucy(y, kernel, num_iters=30).image,
    "total_variation": restore.total_variation(y, kernel, noise_std=NOISE).image,
    "plug_and_play": restore.plug_and_play(y, kernel, noise_std=NOISE).image,
    "truth": truth,
}
titles = [
    name if name == "truth" else f"{name}, {decibels(image):.2f} dB"
    for name, image in results.items()
]
show(results.values(), titles, columns=3, vmin=0, vmax=1)

# %% [markdown]
# ## 3. What the boundary is worth
#
# The usual "circular" takes the far side of the image for its neighbour. The error runs
# in from the border as waves.

# %%
wrapped = restore.wiener(y, kernel, noise_std=NOISE, boundary="circular")
tapered = restore.wiener(
    restore.edgetaper(y, kernel), kernel, noise_std=NOISE, boundary="circular"
)
pictures = [wrapped, tapered, results["wiener"]]
titles = ["circular", "circular, after edgetaper", "unknown"]
titles = [f"{t}, {decibels(p):.2f} dB" for t, p in zip(titles, pictures)]
show(pictures, titles, columns=3, vmin=0, vmax=1)

# %% [markdown]
# ## 4. How strong, and when to stop
#
# A prior too weak lets the noise through, one too strong paints flat areas. Stein's
# unbiased risk estimate tells from the image alone where the best weight is (the dashed
# line); Richardson-Lucy has its best moment and then fits the noise.

# %%
weights = NOISE * 2.0 ** np.arange(-5, 1.1)
scores = [
    decibels(restore.total_variation(y, kernel, weight=float(w), noise_std=NOISE).image)
    for w in weights
]
iterations = np.array([1, 2, 4, 8, 16, 32] + ([] if SMALL else [64, 128]))
course = [
    decibels(restore.richardson_lucy(y, kernel, num_iters=int(n)).image)
    for n in iterations
]
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4))
axes[0].semilogx(weights, scores, "o-")
axes[0].axhline(decibels(results["total_variation"]), ls="--", color="gray")
axes[0].set_xlabel("weight of the total variation")
axes[0].set_ylabel("PSNR in dB")
axes[1].semilogx(iterations, course, "o-")
axes[1].set_xlabel("iterations of Richardson-Lucy")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## 5. A volume of a microscope
#
# Counts of photons in three dimensions: some glowing rods, seen by an oil lens 2 µm
# deep in water, which blurs more along its axis than across. `likelihood="poisson"`
# knows the noise of counts.

# %%
size = (16, 48, 48) if SMALL else (32, 96, 96)
z, row, column = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
rods = np.zeros(size, np.float32)
for angle, shift in ((0.3, 0.3), (1.2, 0.5), (2.3, 0.7)):
    away = (row - size[1] / 2) * np.cos(angle) + (column - size[2] / 2) * np.sin(angle)
    rods += np.hypot(away, z - shift * size[0]) < 2.5
lens = psf.gibson_lanni(
    wavelength=0.52, na=1.2, pixel_size=0.11, z_step=0.25, depth=2.0, shape=(11, 13, 13)
)
PHOTONS = 100
clean = restore.Blur(lens, size, "zero")(jnp.asarray(rods))
counts = noise.poisson(jax.random.key(2), clean, PHOTONS)
level = float(jnp.sqrt(counts.mean() / PHOTONS))
rl = restore.richardson_lucy(
    counts, lens, num_iters=40, acceleration="biggs-andrews", boundary="zero"
).image
tv = restore.total_variation(
    counts, lens, likelihood="poisson", noise_std=level, boundary="zero"
).image
middle = size[1] // 2
volumes = {
    "object": rods,
    "counts": counts,
    "richardson_lucy": rl,
    "total_variation": tv,
}
show(
    [v[size[0] // 2] for v in volumes.values()]
    + [np.asarray(v)[:, middle] for v in volumes.values()],
    [f"{n}, across" for n in volumes] + [f"{n}, along the axis" for n in volumes],
    vmin=0,
    vmax=1,
)

# %% [markdown]
# ## 6. When the PSF is not known
#
# If a few numbers describe it, they are told from the image: here length and angle of
# the motion of section 2. A flat image tells nothing; look at what was found.

# %%
starts = ([6.0, 10.0, 14.0, 18.0], list(np.arange(0.0, 180.0, 15.0)))
found = restore.fit_psf(
    y, lambda length, angle: psf.motion(length, angle, (25, 25)), starts
)
print("length and angle found:", [round(float(p), 1) for p in found.parameters])
show([kernel, found.psf], ["true", "found"], columns=2)

# %% [markdown]
# ## 7. Now with your data
#
# Files or folders of PNG, JPEG, TIFF (stacks too) or NPY. The same on the command line:
# `jdeconv deblur photo.png --psf motion:15,30 --out sharp`.

# %%
YOURS = WORK / "yours"  # put your path here
KERNEL = "motion:15,30"  # or gaussian:2.5, disk:4, or a file that holds the PSF
if not YOURS.exists():
    YOURS.mkdir(parents=True)
    as_bytes = np.round(np.clip(np.asarray(y), 0, 1) * 255).astype("uint8")
    data.write_image(YOURS / "photo.png", as_bytes)
written, failed = deblur_images(YOURS, KERNEL, WORK / "sharp")
figure = data.read_image(written[0].with_name(f"{written[0].stem}_figure.png"))
plt.figure(figsize=(9, 5))
plt.imshow(figure)
plt.axis("off")
plt.title(str(written[0]))
plt.show()
