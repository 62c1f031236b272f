"""Underexposed photographs: too little light, the sensor's noise, and sRGB's curve.

    x linear light of the image, by sRGB's curve (IEC 61966-2-1)
    y = gain x + sqrt(gain x / photons) n,    n standard normal
    back to sRGB's curve, cut to 0 .. 1

`photons` is what a white pixel catches at full exposure: photon noise grows with the
square root of the light, so a short exposure is noisy where it is dark. For the counts
that it is used for, tens and above in all but black pixels, the normal distribution
stands for Poisson's (Foi, Trimeche, Katkovnik and Egiazarian, "Practical
Poissonian-Gaussian noise modeling and fitting for single-image raw-data", 2008).
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

_KNEE = 0.0031308  # of linear light, below which the curve is a straight line


def to_linear(x: Array) -> Array:
    """Linear light of sRGB values, both 0 to 1.

    >>> [round(float(v), 4) for v in to_linear(jnp.array([0.0, 0.5, 1.0]))]
    [0.0, 0.214, 1.0]
    """
    line = x / 12.92
    power = ((jnp.maximum(x, 12.92 * _KNEE) + 0.055) / 1.055) ** 2.4
    return jnp.where(x <= 12.92 * _KNEE, line, power)


def from_linear(x: Array) -> Array:
    """The inverse of `to_linear`; values below 0 stay on the straight line."""
    power = 1.055 * jnp.maximum(x, _KNEE) ** (1 / 2.4) - 0.055
    return jnp.where(x <= _KNEE, 12.92 * x, power)


def underexpose(
    key: Array, x: Array, *, gain: ArrayLike, photons: float | None = None
) -> Array:
    """Photographs as they would have been with less light.

    Args:
      key: one typed key per example, of shape `x.shape[:-3]`; for the noise.
      x: `[*batch, height, width, channels]`, sRGB values, 0 to 1, floating.
      gain: > 0, the share of the light, one or one per example `[*batch]`.
      photons: that a white pixel of x catches; None: no noise.

    Returns:
      Like x, 0 to 1.

    Raises:
      ValueError: shapes that do not fit, photons that are not positive.
    """
    if photons is not None and not photons > 0:
        raise ValueError(f"photons={photons!r}: must be > 0, or None for no noise")
    batch = x.shape[:-3]
    if key.shape != batch:
        raise ValueError(
            f"key has shape {key.shape}: must be {batch}, one key per example of x "
            f"{x.shape}"
        )
    gain = jnp.broadcast_to(jnp.asarray(gain, x.dtype), batch)[..., None, None, None]
    light = gain * to_linear(x)
    if photons is not None:
        draw = jax.vmap(lambda k: jax.random.normal(k, x.shape[-3:], x.dtype))
        noise = draw(key.reshape(-1)).reshape(x.shape)
        light = light + jnp.sqrt(jnp.maximum(light, 0) / photons) * noise
    return jnp.clip(from_linear(light), 0, 1)
