"""Ways to compute a transposed convolution, one file each, and the choice among them.

All take the same canonical problem, with zero margins only:

    lower(y, kernel, axes, groups, **numerics) -> x
    y `[batch, *o, out]`, kernel `[*window, in / groups, out]`, x `[batch, *n, in]`

where `axes` holds one `geometry.Axis` per spatial axis (o = axis.output_size and
n = axis.input_size) and numerics are `precision` and `preferred_element_type`. Each is
plain JAX, linear in y and in the kernel, so that every transform applies. Its transpose
in y computes the forward conv and its transpose in the kernel the kernel's gradient;
what is put together here are three of them, one for each of these computations.
"""

import functools
from collections.abc import Callable

import jax
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from jdeconv.ops.geometry import Axis
from jdeconv.ops.lowering import (
    choose,
    direct,
    lanes,
    lhs_dilation,
    matmul,
    merged,
    phases,
    planes,
    shifts,
    spread,
    sums,
    swapped,
    taps,
    winograd,
)
from jdeconv.ops.lowering.choose import MERGED, NAMES, REFERENCE, STOCK, WHOLE, Forms
from jdeconv.ops.lowering.problem import problem

LOWERINGS: dict[str, Callable[..., Array]] = {
    "lhs_dilation": lhs_dilation.lower,
    "phases": phases.lower,
    "matmul": matmul.lower,
    WHOLE: functools.partial(matmul.lower, at_once=True),
    "shifts": shifts.lower,
    "sums": sums.lower,
    "spread": spread.lower,
    "planes": planes.lower,
    "winograd": winograd.lower,
    "swapped": swapped.lower,
    "taps": taps.lower,
    "lanes": lanes.lower,
}
# The forward conv by a form of its own, and not by a lowering's transpose.
_FORWARD: dict[str, Callable[..., Array]] = {
    "winograd": winograd.conv,
    "lanes": lanes.conv,
}
ALGORITHMS = ("auto", *NAMES)

_Bilinear = Callable[[Array, Array], Array]


def conv_transpose_by(
    name: str,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    part: str = "conv_transpose",
    **numerics,
) -> _Bilinear:
    """(y, kernel) -> x by the named lowering.

    `part` names the computation that will run, a field of `Forms`: this one, or its
    transpose in y or in the kernel.
    """
    if name == MERGED:
        return _by_wider_groups(conv_transpose_by, axes, groups, part, **numerics)
    if part == "conv" and _has_forward(name, axes):
        sizes = [a.input_size for a in axes]
        return _transposed(
            conv_by(name, axes, groups, **numerics),
            lambda kernel: (*sizes, kernel.shape[-2] * groups),
        )
    if name in ("matmul", WHOLE):
        numerics["part"] = part
    return lambda y, kernel: LOWERINGS[name](y, kernel, axes, groups, **numerics)


def conv_by(
    name: str,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    part: str = "conv",
    **numerics,
) -> _Bilinear:
    """(x, kernel) -> y as lax has it, or by the linear transpose of a lowering.

    `part` names the computation that will run, a field of `Forms`: this one, or its
    transpose in x or in the kernel.
    """
    if name == MERGED:
        return _by_wider_groups(conv_by, axes, groups, part, **numerics)
    if name == REFERENCE:
        return lambda x, kernel: direct.conv(x, kernel, axes, groups, **numerics)
    if part != "conv_transpose" and _has_forward(name, axes):
        return lambda x, kernel: _FORWARD[name](x, kernel, axes, groups, **numerics)
    lower = LOWERINGS[name]
    if name in ("matmul", WHOLE):
        lower = functools.partial(lower, part=part, transposed=True)
    sizes = [a.output_size for a in axes]
    return _transposed(
        lambda y, kernel: lower(y, kernel, axes, groups, **numerics),
        lambda kernel: (*sizes, kernel.shape[-1]),
    )


def _by_wider_groups(
    by: Callable[..., _Bilinear],
    axes: tuple[Axis, ...],
    groups: int,
    part: str,
    **numerics,
) -> _Bilinear:
    """`merged`: by what suits the wider groups."""

    def function(image: Array, kernel: Array) -> Array:
        asked = problem(image, kernel, axes, groups, forward=by is conv_by)
        wider = merged.wider(asked)
        name = getattr(choose.on_cpu(wider), part)
        wide = by(name, axes, wider.groups, part=part, **numerics)
        return wide(image, merged.kernel_of(asked, kernel))

    return function


def _has_forward(name: str, axes: tuple[Axis, ...]) -> bool:
    unstrided = all(a.stride == 1 for a in axes)
    return name in _FORWARD and (unstrided or name != "winograd")


def _transposed(
    function: _Bilinear, shape_of: Callable[[Array], tuple[int, ...]]
) -> _Bilinear:
    """The transpose in the image, whose shape without the batch follows the kernel."""

    def transposed(cotangent: Array, kernel: Array) -> Array:
        shape = (cotangent.shape[0], *shape_of(kernel))
        image = jax.ShapeDtypeStruct(shape, cotangent.dtype)
        transpose = jax.linear_transpose(lambda image: function(image, kernel), image)
        return transpose(cotangent)[0]

    return transposed


def conv_transpose(
    y: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    *,
    algorithm: str,
    **numerics,
) -> Array:
    """Computes the transposed conv by the named algorithm, or by the best ones.

    Raises:
      ValueError: unknown algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"algorithm={algorithm!r}: must be one of {', '.join(ALGORITHMS)}"
        )
    if algorithm != "auto":
        return _named(algorithm, axes, groups, **numerics)(y, kernel)
    forms = choose.forms(problem(y, kernel, axes, groups))
    if all(f == STOCK for f in forms.values()):
        return conv_transpose_by(REFERENCE, axes, groups, **numerics)(y, kernel)
    order = ("conv_transpose", "conv", "kernel_gradient")
    choice = tuple(forms.items())
    return _chosen(conv_transpose_by, order, axes, groups, choice, **numerics)(
        y, kernel
    )


def conv(
    x: Array,
    kernel: Array,
    axes: tuple[Axis, ...],
    groups: int,
    **numerics,
) -> Array:
    """Computes the forward conv `[batch, *n, in] -> [batch, *o, out]`."""
    result_type = numerics.get("preferred_element_type") or x.dtype
    forms = choose.forms(problem(x, kernel, axes, groups, forward=True))
    if result_type != x.dtype or all(f == STOCK for f in forms.values()):
        return conv_by(REFERENCE, axes, groups, **numerics)(x, kernel)
    order = ("conv", "conv_transpose", "kernel_gradient")
    choice = tuple(forms.items())
    return _chosen(conv_by, order, axes, groups, choice, **numerics)(x, kernel)


@functools.lru_cache(maxsize=1024)
def _named(name: str, axes: tuple[Axis, ...], groups: int, **numerics) -> _Bilinear:
    """The transposed conv by one lowering."""
    return _one_program(conv_transpose_by(name, axes, groups, **numerics))


@functools.lru_cache(maxsize=1024)
def _chosen(
    by: Callable[..., _Bilinear],
    order: tuple[str, str, str],
    axes: tuple[Axis, ...],
    groups: int,
    forms: tuple[tuple[str, Forms], ...],
    **numerics,
) -> _Bilinear:
    """The value and its two derivatives, `order`, each by the form chosen for it.

    The same question gets the same function: by that JAX knows what it has compiled.
    """

    def per_platform(part: str) -> _Bilinear:
        """Resolved when a program is lowered: right on each platform it is made for.

        Those that compute this part as the default does are left out.
        """
        names = {platform: getattr(f, part) for platform, f in forms}
        function = {
            name: by(name, axes, groups, part=part, **numerics)
            for name in set(names.values())
        }
        default = names.pop("default")
        others = {p: function[name] for p, name in names.items() if name != default}
        if not others:
            return function[default]
        return functools.partial(
            lax.platform_dependent, default=function[default], **others
        )

    return _one_program(_bilinear(*map(per_platform, order)))


def _one_program(function: _Bilinear) -> _Bilinear:
    """The function, compiled as one program where it is called by itself.

    There each of its operations would be compiled and started by itself. Within another
    program it is a part of that, and no call: with calls XLA's CPU backend takes up to
    four times as long for a training step (benchmarks.networks: U-Net, jax 0.10).
    """
    compiled = jax.jit(function)

    def either(image: Array, kernel: Array) -> Array:
        traced = any(isinstance(a, jax.core.Tracer) for a in (image, kernel))
        return (function if traced else compiled)(image, kernel)

    return either


def _bilinear(value: _Bilinear, by_image: _Bilinear, by_kernel: _Bilinear) -> _Bilinear:
    """One bilinear function computed by three forms of it.

    The tangent is written in the forms whose *transposes* are the gradients wanted: of
    `by_image` in its first argument, of `by_kernel` in its second. So forward mode,
    reverse mode and vmap all follow, to any order.
    """

    @jax.custom_jvp
    def function(image, kernel):
        return value(image, kernel)

    @functools.partial(function.defjvp, symbolic_zeros=True)
    def tangent(primals, tangents):
        image, kernel = primals
        image_dot, kernel_dot = tangents
        result = function(image, kernel)
        terms = []
        if not isinstance(image_dot, SymbolicZero):
            terms.append(by_image(image_dot, kernel))
        if not isinstance(kernel_dot, SymbolicZero):
            terms.append(by_kernel(image, kernel_dot))
        return result, functools.reduce(lax.add, terms)

    return function
