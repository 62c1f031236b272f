"""The common shapes: Gaussian, linear motion, defocus, and a shaken camera's path."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array

from jdeconv.restore.psf.grid import Scalar, check_axes, grid, hypot, odd, positive

# One program in place of many operations, each of which would be compiled by itself.
_compiled = functools.partial(jax.jit, static_argnames="shape", inline=True)


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
    for value in stds:
        positive(std=value)
    if shape is None:
        shape = [odd(4 * s) for s in stds]
    return _gaussian(stds, tuple(shape))


@_compiled
def _gaussian(stds: list[Scalar], shape: tuple[int, ...]) -> Array:
    factors = [jnp.exp(-((r / s) ** 2) / 2) for r, s in zip(grid(shape), stds)]
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
    positive(length=length)
    if shape is None:
        shape = [odd(length / 2 + 0.5)] * 2
    check_axes("motion", shape, 2)
    return _motion(length, angle, tuple(shape))


@_compiled
def _motion(length: Scalar, angle: Scalar, shape: tuple[int, ...]) -> Array:
    down, right = grid(shape)
    radians = jnp.deg2rad(angle)
    along = right * jnp.cos(radians) - down * jnp.sin(radians)
    across = right * jnp.sin(radians) + down * jnp.cos(radians)
    half = jnp.maximum(length - 1.0, 0.0) / 2
    beyond = jnp.maximum(jnp.abs(along) - half, 0.0)
    psf = jnp.maximum(1 - hypot(beyond, across), 0.0)
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
    positive(radius=radius)
    if shape is None:
        shape = [odd(radius + 0.5)] * 2
    check_axes("disk", shape, 2)
    return _disk(radius, tuple(shape))


@_compiled
def _disk(radius: Scalar, shape: tuple[int, ...]) -> Array:
    down, right = grid(shape)
    psf = jnp.clip(radius + 0.5 - hypot(down, right), 0.0, 1.0)
    return psf / psf.sum()


def trajectory(
    key: Array,
    length: Scalar,
    shape: Sequence[int] | None = None,
    *,
    bend: Scalar = 2.0,
    num_points: int = 256,
) -> Array:
    """The path of a shaken camera: at even speed, in a direction that drifts at random.

    The direction is a Brownian motion, so the path is a worm-like chain: straight for
    bend 0, a tangle for a large one. Its centroid lies in the PSF's centre.

    Args:
      key: random key.
      length: of the path in pixels, > 0.
      shape: of the result, two axes; large enough for any path if None.
      bend: standard deviation in radians of the turn from start to end, >= 0.
      num_points: of the path, of which each is spread over its four pixels.

    Returns:
      Array of the shape that sums to 1.

    Raises:
      ValueError: a length that is not positive, a negative bend, less than two points,
        or a shape of other than two axes.
    """
    positive(length=length)
    if isinstance(bend, (int, float)) and not bend >= 0:
        raise ValueError(f"bend={bend!r}: must be >= 0")
    if num_points < 2:
        raise ValueError(f"num_points={num_points}: must be >= 2")
    if shape is None:
        shape = [odd(length / 2 + 1)] * 2
    check_axes("trajectory", shape, 2)
    return _trajectory(key, length, bend, tuple(shape), num_points)


@functools.partial(jax.jit, static_argnums=(3, 4), inline=True)
def _trajectory(
    key: Array, length: Scalar, bend: Scalar, shape: tuple[int, ...], num_points: int
) -> Array:
    down, right = grid(shape)
    start, turns = jax.random.split(key)
    drift = jnp.cumsum(jax.random.normal(turns, (num_points,))) / num_points**0.5
    heading = jax.random.uniform(start, maxval=2 * jnp.pi) + bend * drift
    steps = jnp.stack([jnp.sin(heading), jnp.cos(heading)])
    path = jnp.cumsum(steps, axis=1) * length / num_points
    path = path - path.mean(axis=1, keepdims=True)
    rows, columns = (
        jnp.maximum(1 - jnp.abs(pixels.reshape(-1, 1) - at), 0.0)
        for pixels, at in zip((down, right), path)
    )
    psf = rows @ columns.T
    return psf / psf.sum()
