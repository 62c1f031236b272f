"""The mirror image of a transposed conv of stride 1: a conv by the turned kernel.

What a lowering makes of x, it makes of y when it computes the mirrored problem and is
transposed: windows are then cut of y, where that is the thinner of the two.
"""

from collections.abc import Callable

import jax
from jax import Array, lax

from jdeconv.ops.lowering.groups import transposed_kernel
from jdeconv.ops.lowering.problem import Problem


def by_mirror(
    lower: Callable[[Array, Array], Array], asked: Problem, y: Array, kernel: Array
) -> Array:
    """x by the transpose of the mirrored problem's lowering.

    Args:
      lower: (image of x's shape, turned kernel) to an image of y's shape, linear in
        either, of the axes of `asked.mirrored`.
      asked: of stride 1.
      y, kernel: as in `lowering`.
    """
    num_axes = len(asked.axes)
    turned = transposed_kernel(lax.rev(kernel, range(num_axes)), asked.groups)
    sizes = [a.input_size for a in asked.axes]
    x = jax.ShapeDtypeStruct((y.shape[0], *sizes, turned.shape[-1]), y.dtype)
    return jax.linear_transpose(lambda x: lower(x, turned), x)(y)[0]
