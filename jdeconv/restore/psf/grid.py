"""What all point spread functions share: distances from the centre, and checks."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.restore.blur import default_center

Scalar = float | Array


def grid(shape: Sequence[int]) -> list[Array]:
    """Per axis, distances from the centre in pixels, broadcastable to the shape."""
    center = default_center(shape)
    axes = [jnp.arange(n, dtype=float) - float(c) for n, c in zip(shape, center)]
    return list(jnp.meshgrid(*axes, indexing="ij", sparse=True))


def rings(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of a plane are equally far from its centre.

    A function of the radius is computed once per radius and taken by index.

    Returns:
      The radii that occur, ascending, and for each pixel the index of its own.
    """
    down, right = np.indices(shape)
    row, column = default_center(shape)
    squares, index = np.unique(
        (down - row) ** 2 + (right - column) ** 2, return_inverse=True
    )
    return np.sqrt(squares), index.reshape(shape)


def odd(radius: Scalar) -> int:
    """The size of an axis that reaches so far to each side."""
    if traced(radius):
        raise ValueError("shape=None: must be given where parameters are traced")
    return 2 * math.ceil(float(radius)) + 1


def hypot(a: Array, b: Array) -> Array:
    """sqrt(a^2 + b^2), whose derivative at 0 is taken as 0."""
    squares = a**2 + b**2
    return jnp.sqrt(jnp.where(squares > 0, squares, 1.0)) * (squares > 0)


def check_axes(name: str, shape: Sequence[int], *numbers: int) -> None:
    """Refuses a shape of another number of axes, or an empty one."""
    words = {2: "two", 3: "three"}
    if len(shape) not in numbers or not all(n >= 1 for n in shape):
        has = " or ".join(words[n] for n in numbers)
        raise ValueError(
            f"shape={tuple(shape)}: {name} has {has} axes"
            + ("" if all(n >= 1 for n in shape) else ", none empty")
        )


def positive(**values: Scalar) -> None:
    """Refuses plain numbers that are not > 0; a traced value cannot be looked at."""
    for name, value in values.items():
        if isinstance(value, (int, float)) and not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r}: must be > 0")


def traced(*values: Scalar) -> bool:
    """Whether any of the values is known only when the program runs."""
    return any(isinstance(value, jax.core.Tracer) for value in values)
