"""Denoisers for `plug_and_play` and on their own: three that learned nothing, networks.

A denoiser is a function of an image and the standard deviation of its noise.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jdeconv.restore.blocks import blend, coefficients, cosines
from jdeconv.restore.bm3d import bm3d
from jdeconv.restore.total_variation import total_variation as _total_variation

__all__ = ["Denoiser", "bm3d", "dct", "network", "total_variation"]

Denoiser = Callable[[Array, Array], Array]

_BLOCK = {1: 16, 2: 8, 3: 4}  # by the number of axes
_THRESHOLD = 2.7  # noise levels; of pure noise one coefficient in 140 is above
_TV_WEIGHT = 0.9  # in noise levels, of denoising; of photographs about the best
_TV_ITERS = 30


def dct(x: Array, std: ArrayLike, *, num_axes: int = 2) -> Array:
    """Denoises by the cosine transforms of all overlapping blocks, twice.

    First the coefficients below 2.7 std are set to 0 and blocks are averaged, each with
    the inverse of its number of coefficients left as its weight; the result tells the
    power p of each coefficient, by which those of the noisy image are multiplied with
    p / (p + std^2). Blocks have 16, 8 x 8 or 4 x 4 x 4 pixels and wrap around. (Yu and
    Sapiro 2011, "DCT image denoising"; the second step and the weights are those of
    Dabov et al. 2007, "Image denoising by sparse 3-D transform-domain collaborative
    filtering", without its search for similar blocks, which `bm3d` has.)

    Args:
      x: noisy image `[*batch, *spatial]`, floating.
      std: of its white Gaussian noise, broadcast to `[*batch, 1, ...]`.
      num_axes: number of spatial axes, 1 to 3.

    Returns:
      The estimate, of x's shape. It takes 64 numbers per pixel of one image meanwhile.

    Raises:
      ValueError: another number of axes, or an axis shorter than a block.
    """
    block = _BLOCK.get(num_axes)
    shape = x.shape[x.ndim - num_axes :]
    if block is None or x.ndim < num_axes or min(shape) < block:
        raise ValueError(
            f"x of shape {x.shape} and num_axes={num_axes}: must have 1 to 3 spatial "
            f"axes of at least {block or 4} pixels each"
        )
    batch = x.shape[: x.ndim - num_axes]
    std = jnp.asarray(std, x.dtype)
    if std.ndim:
        std = jnp.broadcast_to(std, (*batch, *[1] * num_axes))
    std = jnp.broadcast_to(std.reshape(std.shape[: len(batch)]), batch)
    denoised = _each(x.reshape(-1, *shape), std.reshape(-1), block)
    return denoised.reshape(x.shape)


@functools.partial(jax.jit, static_argnums=2, inline=True)
def _each(images: Array, levels: Array, block: int) -> Array:
    return lax.map(lambda pair: _dct(pair[0], pair[1], block), (images, levels))


def _dct(x: Array, std: Array, block: int) -> Array:
    matrix = jnp.asarray(cosines(block), x.dtype)
    blocks = tuple(range(x.ndim))  # axes of the coefficients, in front
    noisy = coefficients(x, matrix)
    mean = (0,) * x.ndim
    kept = (jnp.abs(noisy) > _THRESHOLD * std).at[mean].set(True)
    count = jnp.sum(kept, blocks, dtype=x.dtype)
    pilot = blend(jnp.where(kept, noisy, 0) / count, 1 / count, matrix)
    power = coefficients(pilot, matrix) ** 2
    least = jnp.finfo(x.dtype).tiny
    share = (power / (power + jnp.maximum(std**2, least))).at[mean].set(1)
    left = jnp.sum(share**2, blocks)
    return blend(share * noisy / left, 1 / left, matrix)


def total_variation(x: Array, std: ArrayLike, *, num_axes: int = 2) -> Array:
    """Denoises by `restore.total_variation` without a blur.

    Args, Returns: as `dct`, for any number of axes.
    """
    batch = x.shape[: x.ndim - num_axes]
    std = jnp.asarray(std, x.dtype)
    if std.ndim:
        std = jnp.broadcast_to(std, (*batch, *[1] * num_axes)).reshape(batch)
    return _total_variation(
        x,
        jnp.ones([1] * num_axes, x.dtype),
        weight=_TV_WEIGHT * std,
        noise_std=std,
        num_iters=_TV_ITERS,
        boundary="circular",
    ).image


def network(
    model: Callable[..., Array], *, white: ArrayLike = 1.0, num_axes: int = 2
) -> Denoiser:
    """A denoiser made of a network that is told the noise, such as `models.FFDNet`.

    Args:
      model: from images `[B, *spatial, 1]` and `noise_std=` `[B]` to images; networks
        are trained on images of 0 .. 1.
      white: value of white in the images to be denoised, broadcast to `[*batch]`; for
        counts of photons about the brightest pixel.
      num_axes: number of spatial axes.

    Returns:
      A function of x `[*batch, *spatial]` and std, broadcast to `[*batch, 1, ...]`.

    >>> half = network(lambda x, noise_std: x / 2, white=255.0)
    >>> half(jnp.full((8, 8), 255.0), 10.0)[0, 0].tolist()
    127.5
    """

    def denoise(x: Array, std: ArrayLike) -> Array:
        batch = x.shape[: x.ndim - num_axes]
        std = jnp.asarray(std, x.dtype)
        if std.ndim:
            std = jnp.broadcast_to(std, (*batch, *[1] * num_axes)).reshape(batch)
        scale = jnp.broadcast_to(jnp.asarray(white, x.dtype), batch)
        std = (jnp.broadcast_to(std, batch) / scale).reshape(-1)
        scale = scale.reshape(*batch, *[1] * num_axes)
        images = (x / scale).reshape(-1, *x.shape[len(batch) :], 1)
        denoised = model(images, noise_std=std).astype(x.dtype)
        return denoised.reshape(x.shape) * scale

    return denoise
