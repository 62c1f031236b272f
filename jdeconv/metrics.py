"""Losses and measures per example, and `Average`, a mean with its standard error.

Every function takes examples on the first axis and returns `[B]`.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0
) -> Array:
    """-sum_k q_k log softmax(logits)_k, q_k = (1 - s) [k = label] + s / K.

    Args:
      logits: `[B, K]`.
      labels: int `[B]`, in 0 .. K - 1.
      label_smoothing: s.

    >>> loss = cross_entropy(jnp.zeros((1, 4)), jnp.array([2]))
    >>> round(float(loss[0]), 4)  # log 4
    1.3863
    """
    log_p = jax.nn.log_softmax(logits)
    loss = -jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * log_p.mean(-1)
    return loss


def accuracy(logits: Array, labels: Array) -> Array:
    """1 where the largest of logits `[B, K]` is at the label, else 0.

    >>> accuracy(jnp.eye(2), jnp.array([0, 0])).tolist()
    [1.0, 0.0]
    """
    return (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)


def binary_cross_entropy(logits: Array, target: Array) -> Array:
    """The mean of -t log sigmoid(l) - (1 - t) log(1 - sigmoid(l)), t in 0 .. 1.

    Args:
      logits: l, `[B, ...]`.
      target: t, of the same shape; grey levels are fine.

    >>> binary_cross_entropy(jnp.array([[-1e4, 1e4]]), jnp.array([[0.0, 1.0]])).tolist()
    [0.0]
    """
    # log(1 + exp(l)) - l t is the same, and does not overflow.
    return _per_example(jax.nn.softplus(logits) - logits * target)


def mean_squared_error(x: Array, y: Array) -> Array:
    """The mean of (x - y)^2 over all axes but the first."""
    return _per_example(jnp.square(x - y))


def mean_absolute_error(x: Array, y: Array) -> Array:
    """The mean of |x - y| over all axes but the first."""
    return _per_example(jnp.abs(x - y))


def psnr(x: Array, y: Array, *, data_range: float = 1.0) -> Array:
    """Peak signal-to-noise ratio, 10 log10(data_range^2 / mean((x - y)^2)), in dB.

    Args:
      x, y: images `[B, ...]`.
      data_range: largest minus smallest possible value.

    Returns:
      `[B]`, at most 100, which stands for equal images: infinity would make the mean
      over a data set infinite.

    >>> x = jnp.zeros((1, 8, 8, 1))
    >>> psnr(x, x + 0.5, data_range=5.0).round(2).tolist()
    [20.0]
    """
    error = mean_squared_error(x, y) / data_range**2
    return -10.0 * jnp.log10(jnp.maximum(error, 1e-10))


def _per_example(x: Array) -> Array:
    return x.reshape(x.shape[0], -1).mean(-1)


@dataclasses.dataclass(frozen=True)
class Average:
    """Mean and standard error of numbers seen so far; two of them can be merged.

    Attributes:
      count: how many, or the sum of their weights.
      mean: of the numbers.
      squares: sum of weight (number - mean)^2.

    >>> Average.of([1.0, 2.0, 3.0]).merge(Average.of([4.0]))
    Average(count=4.0, mean=2.5, squares=5.0)
    """

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: ArrayLike, weights: ArrayLike | None = None) -> "Average":
        """The average of numbers, in float64.

        Args:
          values: of any shape.
          weights: how often each counts, of the same shape; default 1. What has
            weight 0 is not looked at, so it may be NaN.

        Raises:
          ValueError: weights of another shape, or negative ones.
        """
        values = np.asarray(values, np.float64).ravel()
        if weights is None:
            weights = np.ones_like(values)
        weights = np.asarray(weights, np.float64).ravel()
        if weights.shape != values.shape or (weights < 0).any():
            raise ValueError(
                f"weights have shape {weights.shape}: must be >= 0, one for each of "
                f"{values.shape} values"
            )
        values, weights = values[weights > 0], weights[weights > 0]
        count = float(weights.sum())
        if not count:
            return cls()
        mean = float((weights * values).sum() / count)
        return cls(count, mean, float((weights * (values - mean) ** 2).sum()))

    def merge(self, other: "Average") -> "Average":
        """The average of both sets of numbers (Chan et al., 1979)."""
        count = self.count + other.count
        if not count:
            return self
        gap = other.mean - self.mean
        return Average(
            count,
            self.mean + gap * other.count / count,
            self.squares + other.squares + gap**2 * self.count * other.count / count,
        )

    @property
    def standard_error(self) -> float:
        """Of the mean: sqrt(squares / (count (count - 1))); NaN below two numbers."""
        if self.count <= 1:
            return math.nan
        return math.sqrt(self.squares / (self.count * (self.count - 1)))
