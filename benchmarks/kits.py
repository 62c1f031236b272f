"""Four networks, each written once over a kit of layers; a kit for each library."""

import functools
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from flax import nnx

from jdeconv import nn

LEAK = 0.2
# The defaults of batch norm differ.
EPS = 1e-5
KEPT = 0.9  # of the running statistics, in each step


class PReLU(nnx.Module):
    """max(x, 0) + slope * min(x, 0), one slope per channel; nnx has one for all."""

    def __init__(self, features: int):
        self.slope = nnx.Param(jnp.full((features,), 0.25))

    def __call__(self, x):
        """`[..., features]` to the same shape."""
        return jnp.where(x >= 0, x, self.slope[...] * x)


def flax_kit() -> SimpleNamespace:
    """What networks are built of, from flax.nnx; the arguments are PyTorch's."""
    rngs = nnx.Rngs(0)

    def conv(i, o, window, stride=1, padding=0, *, bias=True, layer=nnx.Conv):
        pads = [(padding, padding)] * 2
        options = {"padding": pads, "use_bias": bias, "rngs": rngs}
        return layer(i, o, (window, window), stride, **options)

    def conv_transpose(i, o, window, stride=1, padding=0, extra=0, *, bias=True):
        edge = window - 1 - padding  # of the dilated input
        pads = [(edge, edge + extra)] * 2
        options = {"padding": pads, "use_bias": bias, "rngs": rngs}
        strides = (stride, stride)
        return nnx.ConvTranspose(
            i, o, (window, window), strides, transpose_kernel=True, **options
        )

    partial = functools.partial
    return SimpleNamespace(
        Module=nnx.Module,
        List=nnx.List,
        rngs=rngs,
        conv=conv,
        conv_transpose=conv_transpose,
        batch_norm=partial(nnx.BatchNorm, momentum=KEPT, epsilon=EPS, rngs=rngs),
        prelu=PReLU,
        relu=nnx.relu,
        leaky_relu=partial(nnx.leaky_relu, negative_slope=LEAK),
        tanh=jnp.tanh,
        max_pool=partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2)),
        concatenate=partial(jnp.concatenate, axis=-1),
        cross_entropy=lambda *xs: optax.sigmoid_binary_cross_entropy(*xs).mean(),
        squared_error=lambda *xs: optax.squared_error(*xs).mean(),
    )


def jdeconv_kit() -> SimpleNamespace:
    """As `flax_kit`, with the layers that jdeconv has."""
    kit = flax_kit()

    def conv_transpose(i, o, window, stride=1, padding=0, extra=0, *, bias=True):
        # The margins with which the wanted size is the smallest one.
        pads = [(padding, padding - extra)] * 2
        options = {"padding": pads, "use_bias": bias, "rngs": kit.rngs}
        return nn.ConvTranspose(i, o, (window, window), stride, **options)

    kit.conv = functools.partial(kit.conv, layer=nn.Conv)
    kit.conv_transpose = conv_transpose
    kit.max_pool = nn.MaxPool(2)
    return kit


def torch_kit() -> SimpleNamespace | None:
    """Layers of PyTorch; None if it is not there."""
    try:
        import torch
    except ImportError:
        return None
    functional, partial = torch.nn.functional, functools.partial
    return SimpleNamespace(
        Module=torch.nn.Module,
        List=torch.nn.ModuleList,
        conv=torch.nn.Conv2d,
        conv_transpose=torch.nn.ConvTranspose2d,
        batch_norm=partial(torch.nn.BatchNorm2d, eps=EPS, momentum=1 - KEPT),
        prelu=torch.nn.PReLU,
        relu=functional.relu,
        leaky_relu=partial(functional.leaky_relu, negative_slope=LEAK),
        tanh=torch.tanh,
        max_pool=partial(functional.max_pool2d, kernel_size=2),
        concatenate=partial(torch.cat, dim=1),
        cross_entropy=functional.binary_cross_entropy_with_logits,
        squared_error=functional.mse_loss,
    )


def autoencoder(kit):
    """The denoising autoencoder of Keras' examples: 28,353 parameters."""

    class Autoencoder(kit.Module):
        def __init__(self):
            super().__init__()
            up = kit.conv_transpose
            self.down = kit.List([kit.conv(1, 32, 3, 1, 1), kit.conv(32, 32, 3, 1, 1)])
            self.up = kit.List([up(32, 32, 3, 2, 1, 1), up(32, 32, 3, 2, 1, 1)])
            self.head = kit.conv(32, 1, 3, 1, 1)

        def __call__(self, x):
            for conv in self.down:
                x = kit.max_pool(kit.relu(conv(x)))
            for up in self.up:
                x = kit.relu(up(x))
            return self.head(x)

    return Autoencoder()


def generator(kit):
    """DCGAN's: noise [1, 1, 100] to an image [64, 64, 3] in (-1, 1)."""

    class Generator(kit.Module):
        def __init__(self):
            super().__init__()
            widths = (512, 256, 128, 64)
            up = functools.partial(kit.conv_transpose, bias=False)
            pairs = itertools.pairwise(widths)
            layers = [up(100, 512, 4), *(up(i, o, 4, 2, 1) for i, o in pairs)]
            self.up = kit.List(layers)
            self.norms = kit.List([kit.batch_norm(width) for width in widths])
            self.head = up(64, 3, 4, 2, 1)

        def __call__(self, z):
            for up, norm in zip(self.up, self.norms):
                z = kit.relu(norm(up(z)))
            return kit.tanh(self.head(z))

    return Generator()


def discriminator(kit):
    """DCGAN's: an image [64, 64, 3] to one logit; no batch norm after the first."""

    class Discriminator(kit.Module):
        def __init__(self):
            super().__init__()
            widths = (64, 128, 256, 512)
            conv = functools.partial(kit.conv, bias=False)
            self.first = conv(3, 64, 4, 2, 1)
            pairs = itertools.pairwise(widths)
            self.down = kit.List([conv(i, o, 4, 2, 1) for i, o in pairs])
            self.norms = kit.List([kit.batch_norm(width) for width in widths[1:]])
            self.head = conv(512, 1, 4)

        def __call__(self, x):
            x = kit.leaky_relu(self.first(x))
            for conv, norm in zip(self.down, self.norms):
                x = kit.leaky_relu(norm(conv(x)))
            return self.head(x)

    return Discriminator()


def unet(kit):
    """U-Net of three levels, 32, 64 and 128 channels wide, same size out as in."""

    def level(i, o):
        return kit.List([kit.conv(i, o, 3, 1, 1), kit.conv(o, o, 3, 1, 1)])

    class UNet(kit.Module):
        def __init__(self):
            super().__init__()
            up = kit.conv_transpose
            self.down = kit.List([level(1, 32), level(32, 64)])
            self.bottom = level(64, 128)
            self.up = kit.List([up(128, 64, 2, 2), up(64, 32, 2, 2)])
            self.merge = kit.List([level(128, 64), level(64, 32)])
            self.head = kit.conv(32, 1, 1)

        def __call__(self, x):
            skips = []
            for one, two in self.down:
                x = kit.relu(two(kit.relu(one(x))))
                skips.append(x)
                x = kit.max_pool(x)
            one, two = self.bottom
            x = kit.relu(two(kit.relu(one(x))))
            for up, (one, two) in zip(self.up, self.merge):
                x = kit.concatenate([skips.pop(), up(x)])
                x = kit.relu(two(kit.relu(one(x))))
            return self.head(x)

    return UNet()


def fsrcnn(kit):
    """FSRCNN(56, 12, 4): super-resolution by 3, one transposed conv at the end."""

    class FSRCNN(kit.Module):
        def __init__(self):
            super().__init__()
            conv, body = kit.conv, [(12, 12, 3, 1, 1)] * 4
            shapes = [(1, 56, 5, 1, 2), (56, 12, 1), *body, (12, 56, 1)]
            self.convs = kit.List([conv(*shape) for shape in shapes])
            self.prelus = kit.List([kit.prelu(shape[1]) for shape in shapes])
            self.head = kit.conv_transpose(56, 1, 9, 3, 4, 2)

        def __call__(self, x):
            for conv, prelu in zip(self.convs, self.prelus):
                x = prelu(conv(x))
            return self.head(x)

    return FSRCNN()


class Network(NamedTuple):
    """A network and its training. Two modules: generator and discriminator."""

    modules: tuple[Callable[[SimpleNamespace], Any], ...]
    batch: int
    inputs: tuple[int, ...]
    targets: tuple[int, ...]  # of a GAN the real images
    loss: str  # a field of the kit
    adam: tuple[float, float]  # learning rate, b1


BCE = "cross_entropy"
GRID, PATCH = (28, 28, 1), (128, 128, 1)
NETWORKS = {
    "autoencoder": Network((autoencoder,), 128, GRID, GRID, BCE, (1e-3, 0.9)),
    "dcgan": Network(
        (generator, discriminator), 64, (1, 1, 100), (64, 64, 3), BCE, (2e-4, 0.5)
    ),
    "unet": Network((unet,), 4, PATCH, PATCH, BCE, (1e-3, 0.9)),
    "fsrcnn": Network(
        (fsrcnn,), 4, (64, 64, 1), (192, 192, 1), "squared_error", (1e-3, 0.9)
    ),
}
