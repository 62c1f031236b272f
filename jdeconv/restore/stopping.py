"""When to stop an iteration that fits noise in the end, told from photon counts.

    held-out     some photons are kept from the fit, and it ends when they become less
                 likely: noise in the ones tells nothing of noise in the others
    discrepancy  the fit ends when its misfit is what photons have (Bertero, Boccacci,
                 Talenti, Zanella and Zanni 2010, "A discrepancy principle for Poisson
                 data")

A Poisson count, each photon of which is thrown with the same odds to one side or the
other, makes two independent Poisson counts.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

RULES = ("held-out", "discrepancy")
PATIENCE = 3  # iterations that the held-out photons may become less likely in a row
_FITTED = 0.8  # of the photons
_FEW = 0.5 * 1.25 ** np.arange(-40, 22)  # photons, up to 54; more are Gaussian enough


def split(y: Array, peak: Array) -> tuple[Array, Array]:
    """Two independent images of the same scene, the one to fit and the one to check.

    Args:
      y: counts over `peak`, >= 0; rounded to whole counts.
      peak: photons in a pixel of value 1, broadcast to y.

    Returns:
      Two arrays in the units of y.
    """
    counts = jnp.round(y * peak)
    # Always the same draw, so that the same image stops at the same iteration.
    key = jax.random.key(19810602)
    share = jnp.asarray(_FITTED, y.dtype)
    fitted = jax.random.binomial(key, counts, share, y.shape, y.dtype)
    return fitted / (share * peak), (counts - fitted) / ((1 - share) * peak)


def expected_divergence(mean: Array) -> Array:
    """E[n log(n / mean) - n + mean] of a Poisson count n: 1/2 where there are many.

    Of few it is more and of next to none less: the misfit of dark pixels says little.
    """
    tabled = jnp.asarray([_divergence(m) for m in _FEW], mean.dtype)
    few = jnp.interp(mean, jnp.asarray(_FEW, mean.dtype), tabled)
    many = 0.5 + 1 / (12 * jnp.maximum(mean, 1))
    return jnp.where(mean > _FEW[-1], many, few)


def _divergence(mean: float) -> float:
    """The expectation, summed over the counts that occur."""
    total = mean * math.exp(-mean)
    for n in range(1, int(mean + 12 * math.sqrt(mean) + 20)):
        odds = math.exp(n * math.log(mean) - mean - math.lgamma(n + 1))
        total += odds * (n * math.log(n / mean) - n + mean)
    return total
