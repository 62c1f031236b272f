"""One layer, a transposed convolution, as each library writes it, and the shapes."""

import functools
import math
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from benchmarks.timing import Queued, len_cores
from jdeconv import ops


class Shape(NamedTuple):
    """A layer: y [batch, *size, channels] -> x [batch, *n, features]."""

    batch: int
    size: tuple[int, ...]
    channels: int
    features: int
    window: int
    stride: int
    padding: int
    output_padding: int = 0
    groups: int = 1

    @property
    def num_axes(self) -> int:
        """Spatial axes."""
        return len(self.size)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Of the kernel, in our layout."""
        window = (self.window,) * self.num_axes
        return (*window, self.features // self.groups, self.channels)

    @property
    def flops(self) -> float:
        """Of the forward pass, without the products with inserted zeros."""
        taps = self.window**self.num_axes
        products = math.prod(self.size) * taps * self.channels * self.features
        return 2.0 * self.batch * products / self.groups


# The layers of well-known networks.
NETWORKS = {
    "dcgan-1": Shape(64, (4, 4), 512, 256, 4, 2, 1),
    "dcgan-2": Shape(64, (16, 16), 128, 64, 4, 2, 1),
    "dcgan-3": Shape(64, (32, 32), 64, 3, 4, 2, 1),
    "vae-1": Shape(128, (7, 7), 64, 32, 3, 2, 1, 1),
    "vae-2": Shape(128, (14, 14), 32, 1, 3, 2, 1, 1),
    "unet": Shape(4, (64, 64), 128, 64, 2, 2, 0),
    "fcn": Shape(1, (32, 32), 21, 21, 16, 8, 4),
    "fsrcnn": Shape(4, (64, 64), 56, 1, 9, 3, 4, 2),
    "autoencoder": Shape(128, (14, 14), 32, 32, 3, 2, 1, 1),
    "stride1-3x3": Shape(8, (64, 64), 64, 64, 3, 1, 1),
    "stride1-5x5": Shape(8, (32, 32), 64, 64, 5, 1, 2),
    "wavegan-1d": Shape(16, (1024,), 64, 32, 25, 4, 11, 1),
    "vnet-3d": Shape(1, (16, 16, 16), 64, 32, 2, 2, 0),
    "depthwise": Shape(8, (32, 32), 128, 128, 4, 2, 1, 0, 128),
}
# The kinds of layers that users have reported as slow.
REPORTS = {
    "1d-audio (jax#23783)": Shape(4, (4096,), 64, 32, 16, 8, 4),
    "3d-gradient (jax#31662)": Shape(1, (24, 24, 24), 32, 16, 3, 2, 1, 1),
    "3d-stride1 (xla#34273)": Shape(1, (32, 32, 32), 32, 16, 3, 1, 1),
    "grouped (jax#13800)": Shape(8, (32, 32), 64, 64, 3, 2, 1, 1, 8),
    "grouped-stride1": Shape(8, (32, 32), 64, 64, 3, 1, 1, 0, 8),
    "depthwise-stride1": Shape(8, (32, 32), 128, 128, 3, 1, 1, 0, 128),
    "one image (equinox#1259)": Shape(1, (32, 32), 128, 64, 4, 2, 1),
}
SHAPES = NETWORKS | REPORTS


class Candidate(NamedTuple):
    """Two calls that wait for their result, and what puts it in our layout, numpy."""

    forward: Queued
    both: Queued
    to_ours: Callable[[tuple], tuple[np.ndarray, ...]]
    compile: Callable[[], dict] | None = None  # what compiling takes; empties caches
    lower: Callable[[], list[jax.stages.Lowered]] | None = None  # the two programs


def _jax_candidate(apply, y, kernel, x_bar, to_ours=None) -> Candidate:
    def both(y, kernel, x_bar):
        x, pull_back = jax.vjp(apply, y, kernel)
        return (x, *pull_back(x_bar))

    def compiled_anew(function, *arguments):
        """The program and the seconds that XLA took; nothing compiled before helps."""
        jax.clear_caches()
        lowered = jax.jit(function).lower(*arguments)
        start = time.perf_counter()
        program = lowered.compile()
        return program, time.perf_counter() - start

    def megabytes(program) -> float:
        return program.memory_analysis().temp_size_in_bytes / 2**20

    def compile() -> dict:
        runs = [compiled_anew(both, y, kernel, x_bar) for _ in range(3)]
        return {
            "compile_s": statistics.median(seconds for _, seconds in runs),
            "temporary_mb": megabytes(runs[0][0]),
            "forward_temporary_mb": megabytes(compiled_anew(apply, y, kernel)[0]),
        }

    forward, trained = jax.jit(apply), jax.jit(both)

    same = lambda arrays: tuple(map(np.asarray, arrays))  # noqa: E731
    wait = jax.block_until_ready
    return Candidate(
        Queued(lambda: forward(y, kernel), wait),
        Queued(lambda: trained(y, kernel, x_bar), wait),
        to_ours or same,
        compile,
        lambda: [forward.lower(y, kernel), trained.lower(y, kernel, x_bar)],
    )


def _jdeconv(s: Shape, y, kernel, x_bar) -> Candidate:
    def apply(y, kernel):
        return ops.conv_transpose(
            y,
            kernel,
            strides=s.stride,
            padding=s.padding,
            output_padding=s.output_padding,
            feature_group_count=s.groups,
        )

    return _jax_candidate(apply, y, kernel, x_bar)


def _edges(s: Shape) -> list[tuple[int, int]]:
    """Padding of the dilated input."""
    edge = s.window - 1 - s.padding
    return [(edge, edge + s.output_padding)] * s.num_axes


def _lax(s: Shape, y, kernel, x_bar) -> Candidate:
    """`lax.conv_transpose(transpose_kernel=True)`, which takes no groups, spelt out."""
    image = (0, s.num_axes + 1, *range(1, s.num_axes + 1))
    window = tuple(range(s.num_axes))
    features_last = (s.num_axes + 1, s.num_axes, *window)

    def apply(y, kernel):
        flipped = jnp.flip(kernel, window)
        if s.groups > 1:
            split = flipped.reshape(*kernel.shape[:-1], s.groups, -1)
            split = jnp.swapaxes(split, -3, -1)  # [*window, out/g, g, in/g]
            kernel = split.reshape(*split.shape[:-2], -1)
        else:
            kernel = jnp.swapaxes(flipped, -1, -2)
        return lax.conv_general_dilated(
            y,
            kernel,
            (1,) * s.num_axes,
            _edges(s),
            lhs_dilation=(s.stride,) * s.num_axes,
            dimension_numbers=lax.ConvDimensionNumbers(image, features_last, image),
            feature_group_count=s.groups,
        )

    return _jax_candidate(apply, y, kernel, x_bar)


def _flax(s: Shape, y, kernel, x_bar) -> Candidate | None:
    if s.groups > 1:
        return None  # its transposed conv has none
    from flax import nnx

    layer = nnx.ConvTranspose(
        s.channels,
        s.features,
        (s.window,) * s.num_axes,
        (s.stride,) * s.num_axes,
        padding=_edges(s),
        use_bias=False,
        transpose_kernel=True,
        rngs=nnx.Rngs(0),
    )
    graph, state = nnx.split(layer)

    def apply(y, kernel):
        # The kernel is the layer's one parameter.
        return nnx.merge(graph, jax.tree.map(lambda _: kernel, state))(y)

    return _jax_candidate(apply, y, kernel, x_bar)


def _channels_first(kernel):
    """Our kernel as equinox' and PyTorch's forward conv: [out, in/g, *window]."""
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def _equinox(s: Shape, y, kernel, x_bar) -> Candidate | None:
    try:
        import equinox
    except ImportError:
        return None
    layer = equinox.nn.ConvTranspose(
        s.num_axes,
        s.channels,
        s.features,
        s.window,
        s.stride,
        s.padding,
        s.output_padding,
        groups=s.groups,
        use_bias=False,
        key=jax.random.key(0),
    )
    # [features, channels/g, *window], the window flipped.
    window = tuple(range(2, 2 + s.num_axes))
    split = np.flip(_channels_first(kernel), window)
    split = split.reshape(s.groups, s.channels // s.groups, *split.shape[1:])
    weight = np.swapaxes(split, 1, 2).reshape(layer.weight.shape)

    def apply(y, weight):
        new = equinox.tree_at(lambda layer: layer.weight, layer, weight)
        return jax.vmap(new)(y)

    def to_ours(arrays):
        x, y_bar, weight_bar = map(np.asarray, arrays)
        bar = np.flip(weight_bar, window)
        bar = bar.reshape(s.groups, s.features // s.groups, *bar.shape[1:])
        bar = np.swapaxes(bar, 1, 2).reshape(s.channels, -1, *bar.shape[3:])
        kernel_bar = np.moveaxis(bar, (0, 1), (-1, -2))
        return np.moveaxis(x, 1, -1), np.moveaxis(y_bar, 1, -1), kernel_bar

    first = lambda a: jnp.asarray(np.moveaxis(np.asarray(a), -1, 1))  # noqa: E731
    return _jax_candidate(apply, first(y), jnp.asarray(weight), first(x_bar), to_ours)


def _torch(s: Shape, y, kernel, x_bar) -> Candidate | None:
    try:
        import torch
    except ImportError:
        return None
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        return None
    torch.set_num_threads(len_cores())
    torch.backends.cudnn.benchmark = True
    exact = jax.config.jax_default_matmul_precision == "highest"
    torch.backends.cudnn.allow_tf32 = not exact
    function = getattr(torch.nn.functional, f"conv_transpose{s.num_axes}d")
    dtype = getattr(torch, str(y.dtype))
    last = {2: torch.channels_last, 3: torch.channels_last_3d}.get(s.num_axes)

    def tensor(array):
        array = torch.from_numpy(np.array(array, np.float32, order="C"))
        array = array.to(device, dtype)
        # The CPU's tables are of its own layout.
        return array if device == "cpu" or not last else array.to(memory_format=last)

    first = lambda a: tensor(np.moveaxis(np.asarray(a), -1, 1))  # noqa: E731
    y, x_bar = first(y).requires_grad_(), first(x_bar)
    weight = tensor(_channels_first(np.asarray(kernel))).requires_grad_()

    def apply():
        return function(
            y,
            weight,
            stride=s.stride,
            padding=s.padding,
            output_padding=s.output_padding,
            groups=s.groups,
        )

    def forward():
        with torch.no_grad():
            return apply()

    def wait(result):
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    def both():
        y.grad = weight.grad = None
        x = apply()
        x.backward(x_bar)
        return x, y.grad, weight.grad

    def to_ours(tensors):
        x, y_bar, weight_bar = (t.detach().float().cpu().numpy() for t in tensors)
        kernel_bar = np.moveaxis(weight_bar, (0, 1), (-1, -2))
        return np.moveaxis(x, 1, -1), np.moveaxis(y_bar, 1, -1), kernel_bar

    return Candidate(Queued(forward, wait), Queued(both, wait), to_ours)


CANDIDATES = {
    "jdeconv": _jdeconv,
    "lax": _lax,
    "flax.nnx": _flax,
    "equinox": _equinox,
    "PyTorch": _torch,
}


OURS_AND_LAX = ("jdeconv", "lax")


@functools.lru_cache(len(SHAPES))
def arrays(s: Shape, dtype: DTypeLike = jnp.float32):
    """Random y, kernel and cotangent of x."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal((s.batch, *s.size, s.channels), np.float32)
    kernel = rng.standard_normal(s.kernel, np.float32)
    kernel /= math.sqrt(s.channels * s.window**s.num_axes / s.groups)
    n = [
        (o - 1) * s.stride + s.window - 2 * s.padding + s.output_padding for o in s.size
    ]
    x_bar = rng.standard_normal((s.batch, *n, s.features), np.float32)
    return tuple(jnp.asarray(a, dtype) for a in (y, kernel, x_bar))
