"""Wiener's and Tikhonov's linear deblurring: the ridge between data and roughness.

    min over x of  |A x - y|^2 + balance |R x|^2

with R the gradient (Tikhonov 1963; Wiener's filter for scenes whose power falls off as
1 / frequency^2, as photographs' does) or the identity (Wiener's filter for scenes of
even power). On a periodic image it is one product of spectra:

    X = conj(H) Y / (|H|^2 + balance |R|^2)

Elsewhere the same normal equations are solved by conjugate gradients, with that product
as the preconditioner.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.ops import fourier
from jdeconv.restore import noise
from jdeconv.restore.blur import Blur
from jdeconv.restore.frame import Frame, frame, power_spectrum
from jdeconv.restore.problem import check_noise, convolution
from jdeconv.restore.spectrum import periodogram

PRIORS = ("gradient", "white")
_TOLERANCE = 1e-6  # of conjugate gradients, relative
_LEAST_NOISE = 1e-3  # of the image's range, where none is found: 8 bits round by that


def wiener(
    y: Array,
    psf: Array,
    *,
    balance: ArrayLike | None = None,
    noise_std: ArrayLike | None = None,
    prior: str = "gradient",
    boundary: str = "unknown",
    num_iters: int = 100,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> Array:
    """Deblurs linearly.

    Args:
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF.
      psf: point spread function, no negative values; normalised to sum 1.
      balance: > 0, of the prior against the data, broadcast to `[*batch]` (channels
        last among them); if None, the one under which y is most likely, for Gaussian
        noise and scenes of the prior's spectrum.
      noise_std: standard deviation of the noise, which the choice of the balance asks
        for; `noise.unexplained_std` if None.
      prior: what R is: "gradient" or "white".
      boundary: "unknown" estimates the scene on a frame larger by psf - 1 and assumes
        nothing beyond it; or "circular", "zero", "reflect", "edge".
      num_iters: of conjugate gradients, at most; none are needed for "circular".
      center: of the PSF; (n - 1) // 2 on each axis if None.
      channel_axis: of y; channels are deblurred one by one.

    Returns:
      The estimate, of y's shape; it may be negative.

    Raises:
      ValueError: see `problem.convolution`; an unknown prior, a balance that is not
        positive, a negative noise_std, num_iters below 1.
    """
    if prior not in PRIORS:
        raise ValueError(f"prior={prior!r}: must be one of {', '.join(PRIORS)}")
    if isinstance(balance, (int, float)) and not balance > 0:
        raise ValueError(f"balance={balance}: must be > 0")
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters}: must be >= 1")
    check_noise(noise_std)
    measured = convolution(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    image, num_axes = measured.image, measured.blur.psf.ndim
    batch = image.shape[: image.ndim - num_axes]
    if balance is None:
        if noise_std is None:
            noise_std = noise.unexplained_std(image, num_axes=num_axes)
        noise_std = jnp.broadcast_to(jnp.asarray(noise_std, image.dtype), batch)
    else:
        noise_std = None  # has told all it was asked for
        balance = jnp.broadcast_to(jnp.asarray(balance, image.dtype), batch)
    restored = _solve(
        image, measured.blur, balance, noise_std, prior=prior, num_iters=num_iters
    )
    return measured.to_channels(restored)


@functools.partial(jax.jit, static_argnames=("prior", "num_iters"))
def _solve(
    image: Array,
    blur: Blur,
    balance: Array | None,
    noise_std: Array | None,
    *,
    prior: str,
    num_iters: int,
) -> Array:
    num_axes = blur.psf.ndim
    batch = image.shape[: image.ndim - num_axes]

    def one(image, balance, noise_std):
        """Without batch axes, so that each image has its own conjugate gradients."""
        if balance is None:
            balance = likeliest_balance(image, blur.psf, noise_std, prior)
        if blur.boundary in ("valid", "circular"):
            return _on_frame(frame(image, blur), balance, prior, num_iters)
        return _on_image(image, blur, balance, prior, num_iters)

    for _ in batch:
        one = jax.vmap(one)
    return one(image, balance, noise_std)


def _on_frame(on: Frame, balance: Array, prior: str, num_iters: int) -> Array:
    """The scene on its frame, cropped."""
    rough = balance * (on.power if prior == "gradient" else jnp.ones_like(on.power))
    gain = jnp.abs(on.otf) ** 2 + rough

    def forward(x):
        return fourier.transform(x, on.shape)

    def inverse(spectrum):
        return fourier.inverse(spectrum, on.shape, real=True)

    def normal(x):
        spectrum = forward(x)
        seen = forward(on.mask * on.blurred(spectrum))
        if prior == "white":
            return inverse(jnp.conj(on.otf) * seen + rough * spectrum)
        slopes = on.differences(x)
        if counted is not None:
            slopes = [m * s for m, s in zip(counted, slopes)]
        return inverse(jnp.conj(on.otf) * seen) + balance * on.divergence(slopes)

    def back(y):
        return inverse(jnp.conj(on.otf) * forward(y))

    def precondition(x):
        return inverse(forward(x) / gain)

    if on.shape == on.size:
        return precondition(back(on.data))
    counted = on.counted_slopes()
    start = precondition(back(on.begin()[1]))
    return on.crop(
        _conjugate_gradients(normal, back(on.data), start, precondition, num_iters)
    )


def _on_image(
    image: Array, blur: Blur, balance: Array, prior: str, num_iters: int
) -> Array:
    """The scene as large as the image, the rest being what the boundary says."""
    num_axes = image.ndim

    def normal(x):
        terms = blur.adjoint(blur(x))
        if prior == "white":
            return terms + balance * x
        for axis in range(num_axes):
            slope = jnp.diff(x, axis=axis)
            ends = [(1, 1) if a == axis else (0, 0) for a in range(num_axes)]
            terms = terms - balance * jnp.diff(jnp.pad(slope, ends), axis=axis)
        return terms

    periodic = Blur(blur.psf, blur.shape, "circular", center=blur.center)
    on = frame(image, periodic)
    rough = on.power if prior == "gradient" else jnp.ones_like(on.power)
    gain = jnp.abs(on.otf) ** 2 + balance * rough

    def precondition(x):
        spectrum = fourier.transform(x, on.shape) / gain
        return fourier.inverse(spectrum, on.shape, real=True)

    start = precondition(periodic.adjoint(image))
    return _conjugate_gradients(
        normal, blur.adjoint(image), start, precondition, num_iters
    )


def _conjugate_gradients(operator, b, start, precondition, num_iters):
    return jax.scipy.sparse.linalg.cg(
        operator, b, start, tol=_TOLERANCE, maxiter=num_iters, M=precondition
    )[0]


@functools.partial(jax.jit, static_argnames=("prior",))
def likeliest_balances(
    images: Array, psf: Array, noise_std: Array, *, prior: str = "gradient"
) -> Array:
    """`likeliest_balance` of each of `[*batch, *spatial]`; noise_std `[*batch]`."""

    def choose(image, std):
        return likeliest_balance(image, psf, std, prior)

    for _ in noise_std.shape:
        choose = jax.vmap(choose)
    return choose(images, noise_std)


def likeliest_balance(image: Array, psf: Array, noise_std: Array, prior: str) -> Array:
    """The balance that makes an image most likely under its Gaussian model.

    The scene's spectrum is the prior's, s / |R|^2, so that of the image is
    s |H|^2 / |R|^2 + noise_std^2; s is found on a grid (empirical Bayes), and the
    balance is noise_std^2 / s.
    """
    power, counts = periodogram(image)
    noise_power = jnp.maximum(noise_std, _LEAST_NOISE * jnp.max(jnp.abs(image))) ** 2
    rough = power_spectrum(image.shape, image.dtype)
    rough = rough if prior == "gradient" else jnp.ones_like(rough)
    gain = jnp.abs(fourier.transfer_function(psf, image.shape)) ** 2
    gain = jnp.where(counts > 0, gain / jnp.where(counts > 0, rough, 1), 0)

    def unlikelihood(balance):
        model = noise_power * (1 + gain / balance)
        return jnp.sum(counts * (jnp.log(model) + power / model))

    grid = jnp.logspace(-6, 1, 71, dtype=image.dtype)
    return grid[jnp.argmin(jax.lax.map(unlikelihood, grid))]
