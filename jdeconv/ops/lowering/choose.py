"""Which lowering computes what when `algorithm="auto"`: a cost model per platform.

A transposed conv x = T(y, kernel) and its forward conv are one trilinear form, so
training either takes the same three computations, and each may want another lowering:

    conv_transpose    x from y and the kernel    (the input gradient of conv)
    conv              y from x and the kernel    (the input gradient of T)
    kernel_gradient   the kernel's, from x and y

The model counts the multiply-adds and the bytes that a lowering moves, and divides them
by rates that the platform's library was seen to reach. It depends on shapes alone: the
choice is the same on every run. A choice measured by `jdeconv tune` goes before it.
"""

import contextlib
import contextvars
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax

from jdeconv.ops.lowering import lanes, merged, taps, tuned, winograd
from jdeconv.ops.lowering.problem import Problem

REFERENCE = "lhs_dilation"
MERGED = "merged"
WHOLE = "matmul_whole"
NAMES = (
    REFERENCE,
    "phases",
    "matmul",
    WHOLE,
    "shifts",
    "sums",
    "spread",
    "planes",
    "winograd",
    "swapped",
    "taps",
    "lanes",
    MERGED,
)


class Forms(NamedTuple):
    """The lowering of each of the three computations."""

    conv_transpose: str
    conv: str
    kernel_gradient: str


STOCK = Forms(REFERENCE, REFERENCE, REFERENCE)

# What jax.default_backend() calls "gpu" has these names when a program is lowered.
_GPUS = ("cuda", "rocm")

_stock_alone = contextvars.ContextVar("stock_alone", default=False)


@contextlib.contextmanager
def stock_alone() -> Iterator[None]:
    """What is traced within takes the reference, on every platform.

    Others fill windows up with zeros, by which a NaN reaches entries beside those that
    see it.
    """
    token = _stock_alone.set(True)
    try:
        yield
    finally:
        _stock_alone.reset(token)


# Lists that want to know of every problem asked about; `tune` appends them.
listeners: list[list[Problem]] = []


def forms(problem: Problem) -> dict[str, Forms]:
    """The choice per platform; "default" is that of the platforms not named."""
    if _stock_alone.get():
        return {"default": STOCK}
    for heard in listeners:
        heard.append(problem)
    measured = {k: Forms(*v) for k, v in tuned.lookup(problem).items()}
    for name in {name for choice in measured.values() for name in choice}:
        if name not in NAMES:
            raise ValueError(
                f"unknown lowering {name!r} in {tuned.path()}: must be one of "
                f"{', '.join(NAMES)}; delete the file and run `jdeconv tune` again"
            )
    found = {"default": STOCK, "cpu": on_cpu(problem), "cuda": on_gpu(problem)}
    for name, choice in measured.items():
        found |= dict.fromkeys(_GPUS if name == "gpu" else (name,), choice)
    return found


def here(problem: Problem) -> Forms:
    """The choice for the default backend."""
    found = forms(problem)
    names = _GPUS if jax.default_backend() == "gpu" else (jax.default_backend(),)
    return next((found[n] for n in names if n in found), found["default"])


def on_gpu(p: Problem) -> Forms:
    """The choice for an NVIDIA GPU, by what was measured on one (an H200, tf32).

    Its library is good at what it has a routine for. For the reference's gradient of a
    strided kernel it has none: that took up to 140 times as long as another form.
    """
    strided = any(a.stride > 1 for a in p.axes)
    if strided and p.groups > 1 and p.group_in == 1 and p.group_out <= 4:
        few = p.taps * p.group_out <= _MOST_PIECES
        return Forms("shifts", "sums", "spread") if few else STOCK
    if p.forward:
        return STOCK
    if p.groups > 1:
        return STOCK._replace(kernel_gradient="phases")
    if len(p.axes) > 2:
        return _volumes_on_gpu(p, strided)
    if not strided:
        return STOCK
    if len(p.axes) == 1 or min(a.stride for a in p.axes) >= 4:
        return Forms("phases", "phases", "phases")
    if p.group_in <= _THIN and p.itemsize > 2 and p.pieces <= _MOST_PIECES:
        return Forms("phases", WHOLE, WHOLE)
    return STOCK._replace(kernel_gradient="swapped")


def _volumes_on_gpu(p: Problem, strided: bool) -> Forms:
    wide = min(p.group_in, p.group_out) >= 16
    apart = max(p.blocks) == 1  # windows do not overlap
    if wide and (apart if strided else p.taps > 1):
        return Forms("planes", "planes", "planes")
    return Forms("phases", REFERENCE, "phases") if strided else STOCK


# CPU. Rates of two cores in 1e9 multiply-adds, or bytes, per second; only their ratios
# matter. `python -m benchmarks.conv_transpose` says how far a choice is from the best.
_DOT = 175.0
_DOT_KERNEL_GRADIENT = 130.0
_CONV = 160.0  # of stride 1
_CONV_KERNEL_GRADIENT = {1: 140.0, 2: 40.0, 3: 20.0}  # by the number of axes
_DEEP_CONV = 16.0  # over three axes, at any stride
_SMALL = 4 << 20  # bytes of x that the caches hold beside the rest
_THIN = 4  # channels of an image whose windows are no larger than a wide image
_CACHED = 25.0
_FRESH = 3.7  # memory that the allocator returns to the system after each run
_KEPT = 32 << 20  # bytes: blocks up to this size it keeps (glibc)
_MOST_PIECES = 64  # each is an operation to compile
_MOST_TAPS = 100  # an image each
_LANES = 8  # of a register, in float32


def on_cpu(p: Problem) -> Forms:
    """The choice for the CPU."""
    strided = any(a.stride > 1 for a in p.axes)
    narrow = p.group_in == 1 and p.group_out <= 4
    if narrow and (p.groups > 1 or not strided) and p.pieces <= _MOST_PIECES:
        # Depthwise, or a blur of a grey image: nothing to multiply as matrices.
        few = p.taps * p.group_out <= _MOST_PIECES
        if not strided:
            alone = p.groups == 1 and p.group_out > 1
            return Forms("sums", "sums", "spread" if few and not alone else REFERENCE)
        return Forms(
            "shifts",
            "sums" if p.taps <= _MOST_PIECES else "shifts",
            "spread" if few else "shifts",
        )
    if p.groups > 1:
        return _with_taps(p, _grouped_on_cpu(p, strided))
    deep = len(p.axes) > 2  # the library's 3-D convolutions are slow at every stride
    if not strided and not deep:
        return _with_taps(p, _plain_on_cpu(p))
    conv_rate = _DEEP_CONV if deep else _CONV
    # Products with filled-up taps do not pay beside windows that fit the cache.
    share = _taps_share(p) if p.bytes_at_once <= _SMALL else 1.0
    value = {"phases": _phases(p, conv_rate * share)}
    image = {REFERENCE: _strided_conv(p)}
    gradient = {"phases": _phases(p, _CONV_KERNEL_GRADIENT.get(len(p.axes), 20.0))}
    if p.forward:
        # `phases`, transposed twice, was seen to take 20 to 100 times as long.
        gradient = {REFERENCE: math.inf}
    if not strided:
        image = {"phases": _phases(p, conv_rate)}
    if p.pieces <= _MOST_PIECES:
        # A piece of a few channels is moved entry by entry.
        slow = 1.5 if 1 < p.group_in < 16 else 1.0
        value["matmul"] = _matmul(p, _DOT, 2.0 * slow) + _stacked(p)
        image["matmul"] = _matmul(p, _DOT, 2.0 if p.group_in >= 16 else 4.5)
        gradient["matmul"] = _matmul(p, _DOT_KERNEL_GRADIENT, 2.5 * slow)
    if not deep and jax.__version_info__ < (0, 11) and _has_wide_blocks(p):
        image = gradient = {"winograd": 0.0}
    if deep:
        value["planes"] = image["planes"] = _planes(p, _CONV, _DOT)
        gradient["planes"] = _planes(p, _CONV_KERNEL_GRADIENT[2], _DOT_KERNEL_GRADIENT)
        wide = min(p.group_in, p.group_out) >= 16
        if not strided and wide and _has_short_windows(p):
            gradient = {"winograd": 0.0}
    return _with_taps(
        p, Forms(*(min(c, key=c.__getitem__) for c in (value, image, gradient)))
    )


def _with_taps(p: Problem, found: Forms) -> Forms:
    """The kernel's gradient by `taps`, where it is faster than what was found.

    Its images are long copies, where windows side by side are many short ones, which a
    product turns over as a whole.
    """
    few_rows = p.groups == 1 and _has_few_rows(p)
    best = few_rows or _gains_by_taps(p, found.kernel_gradient)
    room = max(_KEPT, p.x_bytes, p.y_bytes)
    if best and p.taps <= _MOST_TAPS and taps.bytes_at_once(p) <= room:
        return found._replace(kernel_gradient="taps")
    return found


def _has_few_rows(p: Problem) -> bool:
    """Whether one side has so few channels that `taps` is the best for the gradient."""
    thin, wide = p.group_in, p.group_out
    if any(a.stride > 1 for a in p.axes):
        return thin <= {1: 4, 2: 16}.get(len(p.axes), 8) and max(p.blocks) > 1
    thin, wide = sorted((thin, wide))
    if len(p.axes) != 2:
        return thin <= 8 if len(p.axes) > 2 else 2 * thin <= min(wide, 4)
    # The library's own has become twice as fast on few channels.
    least = thin if jax.__version_info__ < (0, 11) else 2 * thin
    return thin <= 16 and wide >= max(least, 8)


def _gains_by_taps(p: Problem, found: str) -> bool:
    """Whether `taps` is faster than the lowering found, for wider images."""
    if p.groups > 1:
        wide = min(p.group_in, p.group_out) >= 4
        return len(p.axes) == 2 and wide and p.taps > 1
    if all(a.stride == 1 for a in p.axes):
        return len(p.axes) == 1 and found == "winograd"
    if len(p.axes) == 1 and p.axes[0].stride < 4:
        return found in ("phases", "matmul")
    if max(p.blocks) == 1:  # windows are x itself
        return len(p.axes) == 2 and 9 <= p.taps <= 16
    return found == "matmul"


def _plain_on_cpu(p: Problem) -> Forms:
    """Stride 1: the library's own ground, but for thin images and kernel gradients."""
    if p.taps == 1:
        return Forms("matmul", "matmul", "matmul")
    thin, wide = sorted((p.group_in, p.group_out))
    if p.pieces > _MOST_PIECES or wide < 4 * _THIN:
        return STOCK
    if thin > _THIN and _has_short_windows(p):
        return _short_on_cpu(p, thin, wide)
    cotangent = p.group_out if p.forward else p.group_in
    if thin <= _THIN:
        gradient = cotangent <= _THIN
    elif p.taps > 9 or p.x_bytes + p.y_bytes > _KEPT // 4:
        gradient = False
    else:
        # Convolutions over windows as large as an image; jax 0.11 made them faster.
        gradient = wide >= 128 and thin >= 64
        if jax.__version_info__ < (0, 11):
            gradient |= wide >= 64 or (thin >= 16 and p.x_bytes <= _SMALL)
    return Forms(
        "matmul" if p.group_in <= _THIN else REFERENCE,
        "matmul" if p.group_out <= _THIN else REFERENCE,
        "matmul" if gradient else REFERENCE,
    )


def _has_short_windows(p: Problem) -> bool:
    """Whether `winograd` saves half the products, about (measured from 3 to 7 taps)."""
    return min(p.blocks) >= 3 and p.pieces <= _MOST_PIECES


def _has_wide_blocks(p: Problem) -> bool:
    """Whether the window is two long strides: few sites, and many taps of each."""
    return all(a.stride >= 4 and n == 2 for a, n in zip(p.axes, p.blocks)) and (
        len(p.axes) == 2 and p.group_out >= 16 and p.x_bytes <= 2 * _SMALL
    )


def _short_on_cpu(p: Problem, thin: int, wide: int) -> Forms:
    """Stride 1 over two axes: fewer products where channels are wide enough to pay."""
    if jax.__version_info__ < (0, 11):
        images = thin >= 64
        gradient = thin >= 16 and thin * wide >= (512 if p.taps <= 9 else 1024)
    else:
        # The library's own convolutions have become twice as fast.
        images = thin >= 128
        # Kernel gradients have not: theirs are as slow as images are large.
        large = p.x_bytes + p.y_bytes >= _SMALL // 4
        gradient = thin >= 64 or (large and thin > 16 and thin * wide >= 1024)
    # A window of four saves less.
    images &= winograd.products(p) < 0.55 * 2 ** len(p.axes) * p.taps
    image = "winograd" if images else REFERENCE
    return Forms(image, image, "winograd" if gradient else REFERENCE)


def _grouped_on_cpu(p: Problem, strided: bool) -> Forms:
    """The library computes groups one by one, and their gradients by plain loops."""
    found = _wide_groups_on_cpu(p, strided)
    if _in_lanes(p.group_out, math.prod(p.blocks), strided):
        found = found._replace(conv_transpose="lanes")
    if _in_lanes(p.group_in, p.taps, strided):
        found = found._replace(conv="lanes")
    return found


def _in_lanes(channels: int, taps: int, strided: bool) -> bool:
    """Whether sums over so many channels of a group and taps are best in `lanes`."""
    most = lanes.TERMS if strided else 6 * lanes.TERMS  # in a loop
    return channels <= _LANES and channels * taps <= most


def _wide_groups_on_cpu(p: Problem, strided: bool) -> Forms:
    if merged.count(p) > 1:
        found = Forms(MERGED, MERGED, MERGED)
        flat = strided and len(p.axes) < 3
        if flat and p.group_in > _LANES and jax.__version_info__ >= (0, 11):
            found = found._replace(conv=REFERENCE)  # faster since then
        return found
    if p.pieces * p.groups <= 4 * _MOST_PIECES:
        return Forms("phases" if strided else "matmul", "matmul", "matmul")
    return Forms("phases", REFERENCE, "phases") if strided else STOCK


def _strided_conv(p: Problem) -> float:
    """Cost of the forward conv as it is. jax 0.11 took another library for it."""
    if len(p.axes) > 2:
        return p.multiply_adds / _DEEP_CONV
    rate = 190.0
    if jax.__version_info__ < (0, 11):
        rate = 100.0 if len(p.axes) == 1 else 60.0
    return p.multiply_adds / (rate * _narrow(p.group_out))


def _narrow(channels: int) -> float:
    """Share of the rate that a convolution with few output channels reaches."""
    return min(1.0, channels / 16)


def _matmul(p: Problem, rate: float, passes: float) -> float:
    """Cost of `matmul`, ns: the products, and the passes over the windows."""
    if p.from_y:
        p = p.mirrored
    products = p.multiply_adds / rate
    windows = passes * p.windows_bytes / _CACHED
    if 2 * p.bytes_at_once > _KEPT:
        windows += 2 * p.windows_bytes / _FRESH
    return products + windows


def _stacked(p: Problem) -> float:
    """Cost of a large image that a loop makes in parts, ns: it is cleared first."""
    return p.x_bytes / (2 * _FRESH) if p.chunks > 1 and p.x_bytes > _SMALL else 0.0


def _phases(p: Problem, rate: float) -> float:
    """Cost of `phases`, ns: products with filled-up taps, and the weaving."""
    sites = math.prod(
        (a.low + a.input_size - 1) // a.stride - a.low // a.stride + 1 for a in p.axes
    )
    outputs = math.prod(a.stride for a in p.axes) * p.group_in
    products = p.batch * sites * math.prod(p.blocks) * outputs * p.group_out
    return products / (rate * _narrow(outputs)) + 3 * p.x_bytes / _CACHED


def _taps_share(p: Problem) -> float:
    """Of the taps of `phases`, those that are no filling."""
    return math.prod(a.span / (n * a.stride) for n, a in zip(p.blocks, p.axes))


def _planes(p: Problem, conv_rate: float, dot_rate: float) -> float:
    """Cost of `planes`, ns: the planes, and the passes over them."""
    axis, rest = p.axes[0], p.axes[1:]
    plane = p._replace(
        batch=p.batch * axis.output_size, axes=rest, group_in=p.group_in * axis.window
    )
    if any(a.stride > 1 for a in rest):
        cost = _matmul(plane, dot_rate, 2.0)
    else:
        cost = p.multiply_adds / (conv_rate * _narrow(plane.group_in))
    return cost + 3 * plane.x_bytes / _CACHED
