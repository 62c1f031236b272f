"""How far made images are from real ones, without any trained network.

Both measures are those of Karras et al. 2018, as mmagic computes them: the sliced
Wasserstein distance of patches from a Laplacian pyramid, and the multi-scale structural
similarity of pairs. They compare sets of images that are held in memory.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

_PATCH = 7  # pixels on a side
_PATCHES = 128  # per image
_REPEATS, _DIRECTIONS = 4, 128
_SMALLEST, _MOST_LEVELS = 16, 4
_CHUNK = 512  # images whose pyramid is made at once
_TOGETHER = 8  # directions
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16

# Of Wang, Simoncelli and Bovik 2003.
_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
_WINDOW, _DEVIATION, _K1, _K2 = 11, 1.5, 0.01, 0.03


def pyramid_sizes(size: int) -> tuple[int, ...]:
    """The sides of the levels: halved while they are 16 or more, at most four.

    >>> pyramid_sizes(64), pyramid_sizes(28)
    ((64, 32, 16), (28,))
    """
    sizes = [size]
    while sizes[-1] // 2 >= _SMALLEST and len(sizes) < _MOST_LEVELS:
        sizes.append(-(-sizes[-1] // 2))
    return tuple(sizes)


@functools.lru_cache
def _down_up(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of one axis: blur and take every second; repeat each and blur."""
    half = -(-size // 2)
    places = np.arange(size)[:, None] - np.arange(size)
    blur = np.where(
        abs(places) <= 2, _BINOMIAL[np.clip(places + 2, 0, 4)], 0.0
    )  # zeros beyond the edge
    nearest = np.arange(size)[:, None] // 2 == np.arange(half)
    return blur[::2].astype(np.float32), (blur @ nearest).astype(np.float32)


def laplacian_pyramid(x: Array) -> list[Array]:
    """x_i - up(x_{i + 1}) per level, and the smallest x_n, with x_{i + 1} = down(x_i).

    `down` blurs with the 5x5 binomial window, zeros beyond the edge, and takes every
    second pixel; `up` repeats each pixel twice per axis and blurs.

    Args:
      x: `[B, H, W, C]`, floating.

    Returns:
      A level per entry of `pyramid_sizes(min(H, W))`, each `[B, H_i, W_i, C]`.

    References:
      Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983.
    """
    levels = []
    for _ in pyramid_sizes(min(x.shape[1:3]))[1:]:
        (down_h, up_h), (down_w, up_w) = _down_up(x.shape[1]), _down_up(x.shape[2])
        smaller = jnp.einsum("ih,bhwc,jw->bijc", down_h, x, down_w)
        levels.append(x - jnp.einsum("ih,bhwc,jw->bijc", up_h, smaller, up_w))
        x = smaller
    return [*levels, x]


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, seed: int = 0
) -> dict[int, np.ndarray]:
    """The mean over directions d of W1(<d, patches of x>, <d, patches of y>).

    Per level of the Laplacian pyramid, 128 patches of 7 x 7 pixels are taken from each
    image at random places, and the patches of a set are standardised per channel. In a
    random direction of unit length, the distance W1 of two sets of equal size is the
    mean difference of their sorted projections. Grey images count as three equal
    channels.

    Args:
      x, y: two sets of equally many images, `[N, H, W, C]`, uint8.
      seed: of places and directions.

    Returns:
      By the side of the level, the mean over 128 directions, four times anew: `[4]`.
      They are not multiplied by 1000.

    Raises:
      ValueError: other types or shapes, or images below 7 x 7.

    References:
      Karras et al., "Progressive growing of GANs", 2018, section 5; Rabin et al., 2011.
    """
    x, y = _two_sets(x, y)
    if min(x.shape[1:3]) < _PATCH:
        raise ValueError(f"x has shape {x.shape}: a side is below {_PATCH} pixels")
    rng = np.random.default_rng(seed)
    sizes = pyramid_sizes(min(x.shape[1:3]))
    distances = {}
    for level, size in enumerate(sizes):
        patches_x = _patches(x, level, rng)
        patches_y = _patches(y, level, rng)
        distances[size] = np.array(
            [
                _distance(patches_x, patches_y, _directions(x.shape[-1], rng))
                for _ in range(_REPEATS)
            ]
        )
    return distances


def ms_ssim(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """prod_j cs_j^w_j * ssim_5^w_5 of pairs of images, over five scales.

    ssim and cs are the means of (2 m_x m_y + c1)(2 s_xy + c2) / ((m_x^2 + m_y^2 + c1)
    (s_x^2 + s_y^2 + c2)) and of its second factor, with moments under an 11 x 11
    Gaussian window of deviation 1.5, both smaller where the image is. Scales are
    halved by 2 x 2 means (an odd last row or column is left out). Negative means
    count as 0.

    Args:
      x, y: `[N, H, W, C]`, uint8.

    Returns:
      `[N]`: 1 for equal images.

    Raises:
      ValueError: other types or shapes, or images below 16 x 16, which cannot be
        halved four times.

    References:
      Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality
      assessment", 2003, equation 7.
    """
    x, y = _two_sets(x, y)
    if min(x.shape[1:3]) < 2 ** (len(_WEIGHTS) - 1):
        raise ValueError(f"x has shape {x.shape}: a side is below 16 pixels")
    chunks = range(0, len(x), _CHUNK)
    values = [_ms_ssim(x[i : i + _CHUNK], y[i : i + _CHUNK]) for i in chunks]
    return np.concatenate([np.asarray(v) for v in values])


@jax.jit
def _ms_ssim(x: Array, y: Array) -> Array:
    x, y = x.astype(jnp.float32), y.astype(jnp.float32)
    product = jnp.ones(x.shape[0])
    for scale, weight in enumerate(_WEIGHTS):
        ssim, contrast = _ssim(x, y)
        last = scale == len(_WEIGHTS) - 1
        product *= jnp.maximum(ssim if last else contrast, 0.0) ** weight
        x, y = _halved(x), _halved(y)
    return product


def _ssim(x: Array, y: Array) -> tuple[Array, Array]:
    height, width = x.shape[1:3]
    window = min(_WINDOW, height, width)
    rows, columns = _gaussian(window, height), _gaussian(window, width)

    def mean(image):
        # Float32 throughout: the variance is a small difference of large squares.
        return jnp.einsum("ih,bhwc,jw->bijc", rows, image, columns, precision="highest")

    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    mean_x, mean_y = mean(x), mean(y)
    covariance = mean(x * y) - mean_x * mean_y
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    axes = (1, 2, 3)
    return (luminance * contrast).mean(axes), contrast.mean(axes)


@functools.lru_cache
def _gaussian(window: int, size: int) -> np.ndarray:
    """The matrix of a Gaussian window sliding over the inside of an axis."""
    deviation = window * _DEVIATION / _WINDOW
    places = np.arange(window) - (window - 1) / 2
    taps = np.exp(-(places**2) / (2 * deviation**2))
    matrix = np.zeros((size - window + 1, size), np.float32)
    for i in range(len(matrix)):
        matrix[i, i : i + window] = taps / taps.sum()
    return matrix


def _halved(x: Array) -> Array:
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    if min(height, width) == 0:
        return x  # after the last scale
    x = x[:, :height, :width]
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


@functools.partial(jax.jit, static_argnums=1)
def _level(x: Array, level: int) -> Array:
    return laplacian_pyramid(x.astype(jnp.float32) / 127.5 - 1)[level]


@jax.jit
def _cut(images: Array, rows: Array, columns: Array) -> Array:
    """Patches `[B * 128, C, 49]` at places `[B, 128]`."""
    size = (_PATCH, _PATCH, images.shape[-1])

    def patch(image, row, column):
        return jax.lax.dynamic_slice(image, (row, column, 0), size)

    found = jax.vmap(jax.vmap(patch, (None, 0, 0)))(images, rows, columns)
    return jnp.moveaxis(found, -1, -3).reshape(-1, size[-1], _PATCH * _PATCH)


@functools.partial(jax.jit, static_argnums=2)
def _moment(patches: Array, mean: Array, power: int) -> Array:
    return ((patches - mean[:, None]) ** power).sum((0, 2))


@jax.jit
def _scaled(patches: Array, mean: Array, factor: Array) -> Array:
    patches = (patches - mean[:, None]) * factor[:, None]
    return patches.reshape(len(patches), -1)


def _patches(x: np.ndarray, level: int, rng: np.random.Generator) -> Array:
    """Standardised patches of one level, `[N * 128, 49 * C]`."""
    parts = []
    for start in range(0, len(x), _CHUNK):
        images = _level(x[start : start + _CHUNK], level)
        shape = (len(images), _PATCHES)
        rows = rng.integers(images.shape[1] - _PATCH + 1, size=shape)
        columns = rng.integers(images.shape[2] - _PATCH + 1, size=shape)
        parts.append(_cut(images, rows, columns))
    count = len(x) * _PATCHES * _PATCH * _PATCH

    def moment(mean: np.ndarray, power: int) -> np.ndarray:
        sums = [np.asarray(_moment(part, mean, power), np.float64) for part in parts]
        return np.sum(sums, 0) / count

    first = moment(np.zeros(x.shape[-1], np.float32), 1)
    mean = first.astype(np.float32)
    deviation = np.sqrt(moment(mean, 2))
    # Images that are all the same have no deviation but rounding: their patches are 0.
    constant = deviation <= 1e-6 * np.hypot(mean, deviation)
    factor = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
    factor = factor.astype(np.float32)
    return jnp.concatenate([_scaled(part, mean, factor) for part in parts])


def _directions(channels: int, rng: np.random.Generator) -> np.ndarray:
    """`[49 * channels, 128]`, of unit length in 3 * 49 dimensions at least."""
    shape = (max(channels, 3), _PATCH * _PATCH, _DIRECTIONS)
    directions = rng.standard_normal(shape)
    directions /= np.sqrt(np.square(directions).sum((0, 1), keepdims=True))
    if channels == 1:
        # Three equal channels are projected as one by the sum of their directions.
        directions = directions.sum(0, keepdims=True)
    return directions.reshape(-1, _DIRECTIONS).astype(np.float32)


def _distance(x: Array, y: Array, directions: np.ndarray) -> float:
    """Mean over the directions of the distance of the projections."""
    # Some directions at a time: all projections together would fill the memory. On a
    # CPU sorted by numpy, whose sort is vectorised.
    sort = np.sort if jax.default_backend() == "cpu" else jnp.sort
    total = 0.0
    for some in np.split(directions, directions.shape[1] // _TOGETHER, axis=1):
        first, second = (sort(_project(patches, some)) for patches in (x, y))
        gap = np.abs(np.asarray(first - second))
        total += float(gap.mean(1, dtype=np.float64).sum())
    return total / directions.shape[1]


@jax.jit
def _project(patches: Array, directions: Array) -> Array:
    return jnp.einsum("pn,nd->dp", patches, directions, precision="highest")


def _two_sets(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x), np.asarray(y)
    for name, images in (("x", x), ("y", y)):
        if images.dtype != np.uint8 or images.ndim != 4 or not math.prod(images.shape):
            raise ValueError(
                f"{name} has shape {images.shape} and dtype {images.dtype}: must be "
                "[N, H, W, C], uint8"
            )
    if x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}: must be equal")
    return x, y
