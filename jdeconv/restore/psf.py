"""Point spread functions: what a point of light becomes. Each sums to 1.

All are differentiable in their parameters where their shape is given; without one it is
chosen large enough from the parameters, which must then be plain numbers. The centre is
`blur.default_center`: (n - 1) // 2.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jdeconv.restore.blur import default_center

Scalar = float | Array


def _grid(shape: Sequence[int]) -> list[Array]:
    """Per axis, distances from the centre in pixels, broadcastable to the shape."""
    center = default_center(shape)
    axes = [jnp.arange(n) - float(c) for n, c in zip(shape, center)]
    return list(jnp.meshgrid(*axes, indexing="ij", sparse=True))


def _odd(radius: Scalar) -> int:
    if isinstance(radius, jax.core.Tracer):
        raise ValueError("shape=None: must be given where parameters are traced")
    return 2 * math.ceil(float(radius)) + 1


def gaussian(
    std: Scalar | Sequence[Scalar],
    shape: Sequence[int] | None = None,
    *,
    num_axes: int = 2,
) -> Array:
    """Normal density sampled at the pixels' middles.

    Args:
      std: standard deviation in pixels, > 0, one for all axes or one for each.
      shape: of the result; 4 standard deviations to each side if None.
      num_axes: of the result, where neither std nor shape says it.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a std that is not positive, or not one per axis.

    >>> [round(v, 3) for v in gaussian(1.0, (3,)).tolist()]
    [0.274, 0.452, 0.274]
    """
    if shape is not None:
        num_axes = len(shape)
    elif isinstance(std, Sequence):
        num_axes = len(std)
    stds = list(std) if isinstance(std, Sequence) else [std] * num_axes
    if len(stds) != num_axes:
        raise ValueError(f"std={std!r}: must be one number or {num_axes}")
    _positive("std", *stds)
    if shape is None:
        shape = [_odd(4 * s) for s in stds]
    factors = [jnp.exp(-((r / s) ** 2) / 2) for r, s in zip(_grid(shape), stds)]
    psf = math.prod(factors[1:], start=factors[0])
    return psf / psf.sum()


def motion(length: Scalar, angle: Scalar, shape: Sequence[int] | None = None) -> Array:
    """A straight path at even speed, one pixel wide, with soft edges.

    Args:
      length: of the path in pixels, > 0.
      angle: in degrees against the horizontal axis, counter-clockwise in the picture.
      shape: of the result, two axes; just large enough for any angle if None.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a length that is not positive, or a shape of other than two axes.
    """
    _positive("length", length)
    if shape is None:
        shape = [_odd(length / 2 + 0.5)] * 2
    down, right = _two("motion", shape)
    radians = jnp.deg2rad(angle)
    along = right * jnp.cos(radians) - down * jnp.sin(radians)
    across = right * jnp.sin(radians) + down * jnp.cos(radians)
    half = jnp.maximum(length - 1.0, 0.0) / 2
    beyond = jnp.maximum(jnp.abs(along) - half, 0.0)
    psf = jnp.maximum(1 - _length(beyond, across), 0.0)
    return psf / psf.sum()


def disk(radius: Scalar, shape: Sequence[int] | None = None) -> Array:
    """Defocus of an ideal lens: an even disk, whose edge pixels count in part.

    Args:
      radius: in pixels, > 0.
      shape: of the result, two axes; just large enough if None.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a radius that is not positive, or a shape of other than two axes.
    """
    _positive("radius", radius)
    if shape is None:
        shape = [_odd(radius + 0.5)] * 2
    down, right = _two("disk", shape)
    psf = jnp.clip(radius + 0.5 - _length(down, right), 0.0, 1.0)
    return psf / psf.sum()


def _length(a: Array, b: Array) -> Array:
    """sqrt(a^2 + b^2), whose derivative at 0 is taken as 0."""
    squares = a**2 + b**2
    return jnp.sqrt(jnp.where(squares > 0, squares, 1.0)) * (squares > 0)


def _two(name: str, shape: Sequence[int]) -> list[Array]:
    if len(shape) != 2:
        raise ValueError(f"shape={tuple(shape)}: {name} has two axes")
    return _grid(shape)


def _positive(name: str, *values: Scalar) -> None:
    """Of plain numbers; a traced value cannot be looked at."""
    for value in values:
        if isinstance(value, (int, float)) and not value > 0:
            raise ValueError(f"{name}={value!r}: must be > 0")
