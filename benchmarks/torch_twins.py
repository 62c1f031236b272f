"""Networks of jdeconv.models in PyTorch, with the same parameters.

`twin(model)` copies a network's parameters into tensors and gives the same function of
images `[B, C, H, W]` in training mode, so that the two can be compared number by number
and then timed. Layers are translated one by one; what joins them is written again, in
PyTorch's own words. Dropout is left out on both sides.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from flax import nnx
from torch.nn import functional

from jdeconv import models, nn
from jdeconv.models.blocks import ConvBlock
from jdeconv.models.decoder import Decoder
from jdeconv.models.encoder import Encoder
from jdeconv.ops.geometry import conv_axes, per_axis

Tensor = torch.Tensor
# From our axes to PyTorch's, by the number of axes: kernels, dense layers, the rest.
_AXES = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}


class Twin:
    """A network's function in PyTorch, and its parameters.

    Args:
      model: with a twin, see `has_twin`.
      native: margins that are uneven become PyTorch's even ones, wherever the size
        stays the same. Such a layer sees its image shifted by a pixel, which is another
        function, and saves PyTorch a copy: to be timed, not to be compared.

    Attributes:
      parameters: tensors by the path of the parameter they are copies of.
    """

    def __init__(self, model: nnx.Module, *, native: bool = False):
        self._native = native
        self._paths = {
            id(node): path
            for path, node in nnx.iter_graph(model)
            if isinstance(node, nnx.Param)
        }
        self.parameters: dict[tuple, Tensor] = {}
        self._forward = _NETWORKS[type(model)](self, model)

    def __call__(self, x: Tensor) -> Any:
        """Of images `[B, C, H, W]`; a VAE also gives the two moments."""
        return self._forward(x)

    def at_mean(self, x: Tensor) -> Tensor:
        """A VAE's logits, nothing drawn."""
        return self._forward(x, draw=False)[0]

    def generate(self, z: Tensor) -> Tensor:
        """A DCGAN's images of latent vectors `[B, n]`."""
        return self._forward[0](z)

    def discriminate(self, x: Tensor) -> Tensor:
        """A DCGAN's scores of images."""
        return self._forward[1](x)

    def gradients(self) -> dict[tuple, np.ndarray]:
        """After `backward()`, in our order of axes, of what took part."""
        found = {}
        for path, tensor in self.parameters.items():
            order = np.argsort(_AXES[tensor.ndim])
            if tensor.grad is not None:
                found[path] = tensor.grad.numpy().transpose(order)
        return found

    def tensor(self, parameter: nnx.Param) -> Tensor:
        """A parameter's copy, made once."""
        path = self._paths[id(parameter)]
        if path not in self.parameters:
            array = np.asarray(parameter[...]).transpose(_AXES[parameter.ndim])
            tensor = torch.tensor(array.copy())
            if tensor.ndim == 4:
                tensor = tensor.contiguous(memory_format=torch.channels_last)
            self.parameters[path] = tensor.requires_grad_()
        return self.parameters[path]

    def conv(self, layer: nn.Conv) -> Callable[[Tensor], Tensor]:
        """Padding that is uneven comes first, on its own."""
        kernel = self.tensor(layer.kernel)
        bias = None if layer.bias is None else self.tensor(layer.bias)
        strides = per_axis(layer.strides, 2, "strides", 1)

        def apply(x):
            (top, bottom), (left, right) = _margins(x.shape[2:], layer, strides)
            if layer.padding == "EDGE":
                x = functional.pad(x, (left, right, top, bottom), mode="replicate")
                return functional.conv2d(x, kernel, bias, strides)
            most = (max(top, bottom), max(left, right))
            if self._native and all(
                (n + 2 * p - k) // s == -(-n // s) - 1
                for n, p, k, s in zip(x.shape[2:], most, layer.kernel_size, strides)
            ):
                return functional.conv2d(x, kernel, bias, strides, most)
            even = (min(top, bottom), min(left, right))
            if (top, left) != (bottom, right):
                more = [
                    n - even[i // 2] for i, n in enumerate((top, bottom, left, right))
                ]
                x = functional.pad(x, (more[2], more[3], more[0], more[1]))
            return functional.conv2d(x, kernel, bias, strides, even)

        return apply

    def conv_transpose(self, layer: nn.ConvTranspose):
        """The adjoint of a conv that takes the wanted size to the one given."""
        kernel = self.tensor(layer.kernel)
        bias = None if layer.bias is None else self.tensor(layer.bias)
        strides = per_axis(layer.strides, 2, "strides", 1)

        def apply(x, size=None):
            if size is None:
                size = [n * s for n, s in zip(x.shape[2:], strides)]
            margins = _margins(size, layer, strides)
            most = [max(pair) for pair in margins]
            extra = [
                m - ((n - 1) * s - 2 * p + k)
                for m, n, s, p, k in zip(
                    size, x.shape[2:], strides, most, layer.kernel_size
                )
            ]
            if self._native and all(0 <= e < s for e, s in zip(extra, strides)):
                return functional.conv_transpose2d(
                    x, kernel, bias, strides, most, output_padding=extra
                )
            even = [min(pair) for pair in margins]
            full = functional.conv_transpose2d(x, kernel, bias, strides, even)
            short = [n - m for n, m in zip(size, full.shape[2:])]
            if max(short) > 0:  # rows of the larger grid that no window reaches
                short = [max(n, 0) for n in short]
                full = functional.conv_transpose2d(
                    x, kernel, bias, strides, even, output_padding=short
                )
            top, left = (lo - e for (lo, _), e in zip(margins, even))
            return full[..., top : top + size[0], left : left + size[1]]

        return apply

    def dense(self, layer: nnx.Linear):
        """On the last axis."""
        kernel = self.tensor(layer.kernel)
        bias = None if layer.bias is None else self.tensor(layer.bias)
        return lambda x: functional.linear(x, kernel, bias)

    def norm(self, layer: nnx.BatchNorm | nnx.GroupNorm):
        """By groups; or by the batch's statistics, and keeping their moving average."""
        scale, shift = self.tensor(layer.scale), self.tensor(layer.bias)
        if isinstance(layer, nnx.GroupNorm):
            return lambda x: functional.group_norm(
                x, layer.num_groups, scale, shift, layer.epsilon
            )
        mean, var = torch.zeros_like(shift), torch.ones_like(scale)
        share = 1 - layer.momentum
        return lambda x: functional.batch_norm(
            x, mean, var, scale, shift, True, share, layer.epsilon
        )

    def upsampling(self, layer):
        """A layer of the decoder that doubles the grid."""
        if isinstance(layer, nn.ConvTranspose):
            return self.conv_transpose(layer)
        conv, factor = self.conv(layer.conv), layer.upscale[0]
        if isinstance(layer, nn.SubPixelConv):
            channels = layer.conv.out_features // factor**2
            # Ours are (position, feature), PyTorch's (feature, position).
            order = torch.arange(factor**2 * channels).reshape(-1, channels).T.flatten()
            return lambda x, size=None: _crop(
                functional.pixel_shuffle(conv(x)[:, order], factor), size
            )

        def resize(x, size=None):
            size = size or [n * factor for n in x.shape[2:]]
            return conv(functional.interpolate(x, size, mode="nearest-exact"))

        return resize

    def block(self, block: ConvBlock):
        """Convolution, norm and ReLU, again and again."""
        make = {nn.Conv: self.conv, nn.ConvTranspose: self.conv_transpose}
        convs = [make[type(c)](c) for c in block.convs]
        norms = [self.norm(n) for n in block.norms]

        def apply(x):
            for conv, norm in zip(convs, norms):
                x = torch.relu(norm(conv(x)))
            return x

        return apply


def _crop(x: Tensor, size) -> Tensor:
    return x if size is None else x[..., : size[0], : size[1]]


def _margins(size, layer, strides) -> list[tuple[int, int]]:
    axes = conv_axes(size, layer.kernel_size, strides=strides, padding=layer.padding)
    return [(axis.low, axis.high) for axis in axes]


def flat(x: Tensor) -> Tensor:
    """`[B, C, H, W]` to `[B, H W C]`, the order of our dense layers."""
    return x.permute(0, 2, 3, 1).flatten(1)


def _grid(x: Tensor, shape) -> Tensor:
    return x.reshape(-1, *shape).permute(0, 3, 1, 2)


def encoder(t: Twin, model: Encoder):
    """To the grid or the latent vector."""
    convs = [t.conv(c) for c in model.convs]
    norms = [t.norm(n) for n in model.norms]
    dense = None if model.dense is None else t.dense(model.dense)

    def apply(x):
        for i, conv in enumerate(convs):
            x = conv(x)
            x = torch.relu(norms[i](x) if norms else x)
            if model.downsample == "max_pool":
                x = functional.max_pool2d(x, 2, ceil_mode=True)
        return x if dense is None else dense(flat(x))

    return apply


def decoder(t: Twin, model: Decoder):
    """From the latent vector or the grid."""
    dense = None if model.dense is None else t.dense(model.dense)
    layers = [t.upsampling(layer) for layer in model.layers]
    norms = [t.norm(n) for n in model.norms]
    last = t.conv(model.conv)
    sizes = list(reversed(model.sizes[:-1]))

    def apply(z):
        if dense is not None:
            z = _grid(torch.relu(dense(z)), model.grid)
        for i, (layer, size) in enumerate(zip(layers, sizes)):
            z = layer(z, size)
            z = torch.relu(norms[i](z) if norms else z)
        return last(z)

    return apply


def cnn(t: Twin, model: models.CNN):
    """Blocks, pooling, dense."""
    layers = [(t.conv(conv), t.norm(norm)) for conv, norm in model.layers]
    dense = t.dense(model.dense)

    def apply(x):
        rest = iter(layers)
        for size in model.block_sizes:
            for _ in range(size):
                conv, norm = next(rest)
                x = torch.relu(norm(conv(x)))
            x = functional.max_pool2d(x, 2)
        return dense(flat(functional.adaptive_avg_pool2d(x, model.pool)))

    return apply


def conv_deconv(t: Twin, model: models.ConvDeconvNet):
    """The tutorial's."""
    conv, deconv = t.conv(model.conv), t.conv_transpose(model.deconv)
    dense = t.dense(model.dense)

    def apply(x):
        y = torch.relu(deconv(torch.relu(conv(x))))
        if model.head == "classify":
            return dense(flat(functional.adaptive_avg_pool2d(y, model.pool)))
        y = dense(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return functional.adaptive_avg_pool2d(y, x.shape[2:])

    return apply


def autoencoder(t: Twin, model: models.Autoencoder):
    """Encoder and decoder, untied."""
    if not isinstance(model.decoder, Decoder):
        raise KeyError("tied")
    encode, decode = encoder(t, model.encoder), decoder(t, model.decoder)
    if model.residual:
        return lambda x: x + decode(encode(x))
    return lambda x: decode(encode(x))


def dncnn(t: Twin, model: models.DnCNN):
    """x - R(x)."""
    convs, norms = [t.conv(c) for c in model.convs], [t.norm(n) for n in model.norms]
    last = t.conv(model.last)

    def apply(x):
        y = torch.relu(convs[0](x))
        for i, conv in enumerate(convs[1:]):
            y = conv(y)
            y = torch.relu(norms[i](y) if norms else y)
        return x - last(y)

    return apply


def fsrcnn(t: Twin, model: models.FSRCNN):
    """Convolutions with PReLU, and the transposed one."""
    convs = [t.conv(c) for c in model.layers[::2]]
    slopes = [t.tensor(p.slope) for p in model.layers[1::2]]
    enlarge = t.conv_transpose(model.enlarge)

    def apply(x):
        for conv, slope in zip(convs, slopes):
            x = functional.prelu(conv(x), slope)
        n, cut = model.margin, model.margin * model.scale
        if not n:
            return enlarge(x)
        x = functional.pad(x, (n, n, n, n), mode="replicate")
        return enlarge(x)[..., cut:-cut, cut:-cut]

    return apply


def espcn(t: Twin, model: models.ESPCN):
    """Two convolutions, and the sub-pixel one."""
    first, second = t.conv(model.first), t.conv(model.second)
    enlarge = t.upsampling(model.enlarge)
    return lambda x: enlarge(torch.tanh(second(torch.tanh(first(x)))))


def unet(t: Twin, model: models.UNet):
    """Down, up, and the skips."""
    down, merge = ([t.block(b) for b in part] for part in (model.down, model.merge))
    up, head = [t.conv_transpose(u) for u in model.up], t.conv(model.head)

    def apply(image):
        x, skips = image, []
        for block in down[:-1]:
            skips.append(block(x))
            x = functional.max_pool2d(skips[-1], 2, ceil_mode=True)
        x = down[-1](x)
        for enlarge, block, skip in zip(up, merge, reversed(skips)):
            x = block(torch.cat([skip, enlarge(x, skip.shape[2:])], 1))
        return image + head(x) if model.residual else head(x)

    return apply


def segnet(t: Twin, model: models.SegNet):
    """Pooling whose switches the other half gets."""
    down, up = ([t.block(b) for b in part] for part in (model.down, model.up))
    head = t.conv(model.head)

    def apply(x):
        pooled = []
        for block in down:
            x = block(x)
            size = x.shape[2:]
            x, switches = functional.max_pool2d(
                x, 2, ceil_mode=True, return_indices=True
            )
            pooled.append((switches, size))
        for block, (switches, size) in zip(up, reversed(pooled)):
            x = block(functional.max_unpool2d(x, switches, 2, output_size=size))
        return head(x)

    return apply


def vae(t: Twin, model: models.VAE):
    """The logits at z = mean + exp(log_var / 2), and both moments."""
    encode, decode = encoder(t, model.encoder), decoder(t, model.decoder)
    moments = t.dense(model.moments)
    dense = None if model.dense is None else t.dense(model.dense)

    def apply(x, draw=True):
        mean, log_var = moments(torch.relu(encode(x))).chunk(2, -1)
        z = mean
        if draw:
            z = mean + torch.exp(log_var / 2) * torch.randn_like(mean)
        return decode(z if dense is None else torch.relu(dense(z))), mean, log_var

    return apply


def dcgan(t: Twin, model: models.DCGAN):
    """(generator of latent vectors, discriminator of images)."""
    g, d = model.generator, model.discriminator
    start, norms = t.dense(g.dense), [t.norm(n) for n in g.norms]
    layers = [t.upsampling(layer) for layer in g.layers]
    sizes = list(reversed(g.sizes[:-1]))

    def generate(z):
        x = _grid(start(z), g.grid)
        for norm, layer, size in zip(norms, layers, sizes):
            x = layer(torch.relu(norm(x)), size)
        return torch.tanh(x)

    convs, d_norms = [t.conv(c) for c in d.convs], [t.norm(n) for n in d.norms]
    score = t.dense(d.dense)

    def judge(x):
        for i, conv in enumerate(convs):
            x = conv(x)
            if i and d_norms:
                x = d_norms[i - 1](x)
            x = functional.leaky_relu(x, 0.2)
        return score(flat(x))[:, 0]

    return generate, judge


_NETWORKS: dict[type, Callable] = {
    models.CNN: cnn,
    models.ConvDeconvNet: conv_deconv,
    models.Autoencoder: autoencoder,
    models.DnCNN: dncnn,
    models.FSRCNN: fsrcnn,
    models.ESPCN: espcn,
    models.UNet: unet,
    models.SegNet: segnet,
    models.VAE: vae,
    models.DCGAN: dcgan,
}


def has_twin(model: nnx.Module) -> bool:
    """Whether there is a twin of this network."""
    tied = isinstance(model, models.Autoencoder) and not isinstance(
        model.decoder, Decoder
    )
    return type(model) in _NETWORKS and not tied and not _unusual(model)


def _unusual(model) -> bool:
    return isinstance(model, models.DCGAN) and model.num_labels is not None


def count(twin: Twin) -> int:
    """Numbers in all parameters."""
    return sum(math.prod(p.shape) for p in twin.parameters.values())
