"""Degrading images on the device: pure functions of (key, image).

Randomness is drawn per example from that example's own key, so the numbers depend
neither on the batch nor on how many devices it lies on.
"""

import dataclasses
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.data.exposure import underexpose

_TRUNCATE = 4.0  # of the Gaussian, in sigma, as in scipy.ndimage


@dataclasses.dataclass(frozen=True)
class Degrade:
    """y = clip(less light(blur(x)) + noise), blur and noise Gaussian.

    Attributes:
      noise_std: standard deviation of the noise, in the units of the image; (low,
        high): drawn for each example, uniformly in between.
      blur_sigma: of the Gaussian blur, in pixels.
      clip: True: to [0, 1]; (low, high): to that range; False: not at all.
      exposure: (low, high), 0 < low < high <= 1: the share of the light that is left,
        drawn for each example with a uniform logarithm; None: all of it.
      photons: that a white pixel catches with all of its light; None: no photon noise.

    Raises:
      ValueError: an attribute that is none of these.

    >>> keys = jax.random.split(jax.random.key(0), 2)
    >>> Degrade(noise_std=0.1)(keys, jnp.zeros((2, 4, 4, 1))).shape
    (2, 4, 4, 1)
    """

    noise_std: float | tuple[float, float] = 0.0
    blur_sigma: float = 0.0
    clip: bool | tuple[float, float] = True
    exposure: tuple[float, float] | None = None
    photons: float | None = None

    def __post_init__(self):
        if isinstance(self.noise_std, Sequence):
            std = tuple(self.noise_std)
            if len(std) != 2 or not 0 <= std[0] < std[1] < math.inf:
                raise ValueError(
                    f"noise_std={self.noise_std!r}: must be a number or (low, high), "
                    "0 <= low < high"
                )
            object.__setattr__(self, "noise_std", std)
        else:
            _check_not_negative("noise_std", self.noise_std)
        _check_not_negative("blur_sigma", self.blur_sigma)
        self._check_exposure()
        if isinstance(self.clip, bool):
            return
        clip = tuple(self.clip)
        if len(clip) != 2 or not clip[0] < clip[1]:
            raise ValueError(
                f"clip={self.clip!r}: must be True, False or (low, high), low < high"
            )
        object.__setattr__(self, "clip", clip)

    def __call__(self, key: Array, x: Array) -> Array:
        """The degraded images.

        Args:
          key: one typed key per example, of shape `x.shape[:-3]`.
          x: `[*batch, height, width, channels]`, floating.

        Returns:
          Like x.

        Raises:
          ValueError: shapes that do not fit, an image too small for the blur.
          TypeError: x is not floating, or key is no typed key.
        """
        _check_images(x)
        if self.blur_sigma:
            x = gaussian_blur(x, sigma=self.blur_sigma)
        if self.exposure is not None:
            x = underexpose(
                _streams(key, 2), x, gain=self.exposures(key), photons=self.photons
            )
        if self.noise_std:
            x = gaussian_noise(key, x, std=self.noise_stds(key))
        if self.clip is False:
            return x
        low, high = (0.0, 1.0) if self.clip is True else self.clip
        return jnp.clip(x, low, high)

    def noise_stds(self, key: Array) -> Array:
        """The standard deviation of each example's noise.

        Args:
          key: as above, `[*batch]` typed keys.

        Returns:
          `[*batch]`, float32.
        """
        if not isinstance(self.noise_std, tuple):
            return jnp.full(key.shape, self.noise_std, jnp.float32)
        low, high = self.noise_std

        return _uniform(_streams(key, 1), low, high)

    def exposures(self, key: Array) -> Array:
        """The share of the light that is left in each example, 1 for all of it.

        Args, Returns: as `noise_stds`.
        """
        if self.exposure is None:
            return jnp.ones(key.shape, jnp.float32)
        low, high = (math.log(e) for e in self.exposure)
        return jnp.exp(_uniform(_streams(key, 3), low, high))

    def _check_exposure(self) -> None:
        if self.exposure is None:
            if self.photons is not None:
                raise ValueError(
                    f"photons={self.photons!r}: needs an exposure, such as (0.1, 0.3)"
                )
            return
        exposure = tuple(self.exposure)
        if len(exposure) != 2 or not 0 < exposure[0] < exposure[1] <= 1:
            raise ValueError(
                f"exposure={self.exposure!r}: must be None or (low, high), "
                "0 < low < high <= 1"
            )
        object.__setattr__(self, "exposure", exposure)
        if self.photons is not None and not self.photons > 0:
            raise ValueError(f"photons={self.photons!r}: must be > 0 or None")


def _streams(key: Array, number: int) -> Array:
    """Keys of their own for one purpose: the noise is drawn from the keys as given."""
    fold = jax.vmap(lambda k: jax.random.fold_in(k, number))
    return fold(key.reshape(-1)).reshape(key.shape)


def _uniform(key: Array, low: float, high: float) -> Array:
    draw = jax.vmap(lambda k: jax.random.uniform(k, (), jnp.float32, low, high))
    return draw(key.reshape(-1)).reshape(key.shape)


def gaussian_noise(key: Array, x: Array, *, std: ArrayLike) -> Array:
    """y = x + std n, n of independent standard normal numbers.

    Args:
      key: one typed key per example, of shape `x.shape[:-3]`.
      x: `[*batch, height, width, channels]`, floating.
      std: standard deviation, in the units of x; one, or one per example.

    Returns:
      Like x, not clipped. The normal numbers are drawn in float32 (float64 for
      float64), so that 16-bit images see the same noise.

    Raises:
      ValueError: std < 0, or shapes that do not fit.
      TypeError: x is not floating, or key is no typed key.
    """
    if isinstance(std, (int, float)):
        _check_not_negative("std", std)
    _check_images(x)
    if not (isinstance(key, Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise TypeError(
            f"key is {getattr(key, 'dtype', type(key).__name__)}: must be typed keys, "
            "e.g. jax.random.split(jax.random.key(0), batch_size)"
        )
    if key.shape != x.shape[:-3]:
        raise ValueError(
            f"key has shape {key.shape}: must be {x.shape[:-3]}, one key per example "
            f"of x {x.shape}"
        )
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    draw = jax.vmap(lambda k: jax.random.normal(k, x.shape[-3:], dtype))
    noise = draw(key.reshape(-1)).reshape(x.shape)
    std = jnp.broadcast_to(jnp.asarray(std, dtype), key.shape)[..., None, None, None]
    return (x.astype(dtype) + std * noise).astype(x.dtype)


def gaussian_blur(x: Array, *, sigma: float) -> Array:
    """y = g_sigma * x, the sampled Gaussian normalised to 1, with mirrored borders.

    Args:
      x: `[*batch, height, width, channels]`, floating.
      sigma: in pixels; the Gaussian is cut off at 4 sigma.

    Returns:
      Like x.

    Raises:
      ValueError: sigma < 0, or images no larger than the cut-off.
      TypeError: x is not floating.
    """
    _check_not_negative("sigma", sigma)
    _check_images(x)
    weights = gaussian_weights(sigma)
    radius = len(weights) // 2
    if radius == 0:
        return x
    if min(x.shape[-3:-1]) <= radius:
        raise ValueError(
            f"sigma={sigma}: the blur reaches {radius} pixels and its mirrored border "
            f"needs images larger than that, x has shape {x.shape}"
        )
    from jdeconv.ops import conv

    channels = x.shape[-1]
    # The Gaussian is separable: one pass per axis, each channel by itself.
    for window in ((-1, 1), (1, -1)):
        kernel = np.repeat(weights.reshape(*window, 1, 1), channels, axis=-1)
        x = conv(
            x,
            jnp.asarray(kernel, x.dtype),
            padding="REFLECT",
            feature_group_count=channels,
        )
    return x


def gaussian_weights(sigma: float) -> np.ndarray:
    """exp(-i^2 / (2 sigma^2)), |i| <= floor(4 sigma + 1/2), normalised to sum 1.

    >>> gaussian_weights(0.25).round(4).tolist()
    [0.0003, 0.9993, 0.0003]
    """
    radius = int(_TRUNCATE * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()


def _check_images(x: Array) -> None:
    if x.ndim < 3:
        raise ValueError(
            f"x has shape {x.shape}: must be [*batch, height, width, channels]"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"x has dtype {x.dtype}: must be floating (use Preprocess.forward first)"
        )


def _check_not_negative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}={value!r}: must be finite and >= 0")
