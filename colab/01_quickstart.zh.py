# %% [markdown]
# # 十分钟认识 jdeconv
#
# 反卷积网络教程的完整流程，真正能运行：预处理图像，用卷积和转置卷积搭建网络，训练，
# 用训练好的网络处理图像，并把原图与结果并排显示。
#
# 在 CPU、GPU 或 TPU 上都能运行，不需要下载任何东西：图像来自 scikit-learn 和
# scikit-image。英文版：`01_quickstart.ipynb`。

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
# ## 1. 预处理，以及它的精确逆变换
#
# 像素变成浮点数，可以缩放和标准化；`inverse` 把它们还原。不缩放时得到完全相同的像素。
# 教程把图像缩放到 224，而网络的输入是 28，
# 而且从未调用这个函数；在这里，尺寸由网络决定。

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
# ## 2. 卷积与它的转置
#
# `conv_transpose` 使用卷积的核和参数，是卷积的**伴随**：它恢复形状。它**不是**逆运算：
# 得到的图像并不等于原来的图像。

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
# 步长为 2 时，两种输入尺寸对应同一种输出尺寸；可以告诉转置卷积要哪一种。

# %%
print("sizes that a stride-2 convolution takes to 14:", end=" ")
print(ops.conv_transpose_output_sizes(14, 3, strides=2))

# %% [markdown]
# ## 3. 训练教程中的网络
#
# 卷积 → 转置卷积 → 全连接，Adam，交叉熵：与 MNIST 相同的配置，这里用 scikit-learn 的
# 手写数字，不需要下载。要用 MNIST，去掉 `source` 那一行（准备方法见 README）。

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
# ## 4. 输出图像的网络
#
# 把模糊的照片变清晰：一个带步长的卷积，一个转置卷积，结果加到输入上。

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
# ## 5. 处理一个文件，原图与结果并排显示
#
# 把一张照片弄模糊，保存，再处理这个文件：预处理 → 网络 → 逆变换。

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
# ## 6. 换成你自己的数据
#
# 把一个文件或一个文件夹（PNG、JPEG 或 TIFF）写进 `MY_IMAGES`。要用自己的文件夹训练：
# `config.data.source = "folder:/path"`，`config.data.patch_size = 64`。

# %%
MY_IMAGES = file  # e.g. "/content/my_photos"
written, failed = process_images(MY_IMAGES, WORK / "deblur", WORK / "mine")
figure = written[0].with_name(f"{written[0].stem}_figure.png")
fig, axis = plt.subplots(figsize=(12, 6))
axis.imshow(data.read_image(figure))
axis.axis("off")
plt.show()
