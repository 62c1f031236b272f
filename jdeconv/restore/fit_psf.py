"""A PSF of few parameters, told from the blurred image: the likeliest one.

Asking for the likeliest scene and PSF together finds no blur at all; integrating over
all scenes and asking for the likeliest PSF alone does not (Levin, Weiss, Durand and
Freeman 2011, "Efficient marginal likelihood optimization in blind deconvolution",
section 2). For Gaussian scenes whose power falls off as scale / |w|^fall the integral
is known: the power P of the blurred image at each frequency w is exponentially
distributed about

    m = scale |H(w; parameters)|^2 / |w|^fall + noise_std^2

and minus the logarithm of its likelihood is (Whittle 1953, "Estimation and information
in stationary time series")

    sum over w of  log m + P / m

Its minimum is found by Fisher's scoring: with J the derivatives of log m, the expected
Hessian is J'J, so that each step is a small least-squares problem, damped where it
would lead uphill.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.ops import fourier
from jdeconv.restore.deconvolve import deconvolve
from jdeconv.restore.iterate import iterate
from jdeconv.restore.problem import measurement
from jdeconv.restore.spectrum import periodogram, squared_frequency

_LEAST_NOISE = 1e-4  # of the image's range: a tenth of what 8 bits round by
_SCALES = 10.0 ** np.arange(-1.0, 8.1, 0.5)  # tried at each start, in noise powers
_REFINED = 6  # of the starts, the best; likelihoods of motions have several minima
_DAMPING = 1e-3  # of the first step, relative to the diagonal of Fisher's matrix
_LEAST_GAIN = 1e-12  # of the PSF, whose logarithm is taken


class PsfFit(NamedTuple):
    """What `fit_psf` returns.

    Attributes:
      parameters: `[parameters]`, of the PSF.
      psf: the PSF of these.
      image: the scene under this PSF, of the measured image's shape.
      noise_std: of the measured image's noise, as given or found.
      history: `[num_iters]`, the mean over frequencies of what is minimised, before
        each iteration.
    """

    parameters: Array
    psf: Array
    image: Array
    noise_std: Array
    history: Array


def fit_psf(
    y: Array,
    psf_of: Callable[..., Array],
    starts: Sequence[Sequence[float]],
    *,
    noise_std: ArrayLike | None = None,
    fall: float = 2.5,
    num_iters: int = 30,
    boundary: str = "unknown",
    channel_axis: int | None = None,
) -> PsfFit:
    """Finds the parameters of the PSF, and with it the scene.

    Only |H| is told, not its phase: PSFs that differ by a shift or a half turn are
    equally likely. What of the scene is smooth by itself counts as blur.

    Args:
      y: measured image `[*batch, *spatial]`, floating; images of the batch share the
        PSF, the noise and the brightness.
      psf_of: from as many scalars as there are parameters to the PSF, always of the
        same shape, its sum 1; differentiable. Compiled once per function and size.
      starts: per parameter the values tried first, ascending; the parameters found lie
        between the first and the last one. Steps of a quarter to a half of what the
        PSF is wide are fine enough.
      noise_std: standard deviation of white noise; found as one more parameter if None.
      fall: of the scene's power with frequency. The default is what recovers known
        blurs of photographs best; a scene of sharp edges has 2 to 3.
      num_iters: of Fisher's scoring, from each of the six best starts.
      boundary: as of `deconvolve`, which finds the scene; only "circular" matters to
        the fit, which otherwise fades out the image's border.
      channel_axis: of y; channels share the PSF.

    Returns:
      `PsfFit`.

    Raises:
      ValueError: see `problem.measurement`; starts that are empty or do not ascend, a
        fall that is not positive, num_iters below 1.

    >>> import jax
    >>> from jdeconv.restore import Blur, psf
    >>> scene = jax.numpy.cumsum(jax.random.normal(jax.random.key(0), (96, 96)), 0)
    >>> y = Blur(psf.gaussian(2.0), scene.shape, "valid")(scene)
    >>> fit = fit_psf(y, lambda std: psf.gaussian(std, (17, 17)), [[1.0, 4.0]])
    >>> fit.psf.shape, fit.image.shape == y.shape
    ((17, 17), True)
    """
    if num_iters < 1:
        raise ValueError(f"num_iters={num_iters}: must be >= 1")
    if not fall > 0:
        raise ValueError(f"fall={fall}: must be > 0")
    bounds = [np.asarray(values, np.float32) for values in starts]
    if not bounds or not all(v.size and (np.diff(v) > 0).all() for v in bounds):
        raise ValueError(f"starts={starts!r}: must be ascending values per parameter")
    y = jnp.asarray(y)
    grid = jnp.asarray(list(itertools.product(*bounds)), y.dtype)
    measured = measurement(
        y, psf_of(*grid[0]), boundary=boundary, channel_axis=channel_axis
    )
    found = _fit(
        measured.image,
        grid,
        None if noise_std is None else jnp.asarray(noise_std, y.dtype),
        psf_of=psf_of,
        fall=float(fall),
        num_iters=num_iters,
        periodic=boundary == "circular",
    )
    parameters, psf, std, history = found
    image = deconvolve(
        y, psf, noise_std=std, boundary=boundary, channel_axis=channel_axis
    )
    return PsfFit(parameters, psf, jnp.asarray(image), std, history)


class _State(NamedTuple):
    at: Array  # parameters of the PSF, log scale, and log noise power if it is unknown
    cost: Array
    damping: Array


@functools.partial(jax.jit, static_argnames=("psf_of", "fall", "num_iters", "periodic"))
def _fit(
    image: Array,
    grid: Array,
    noise_std: Array | None,
    *,
    psf_of: Callable[..., Array],
    fall: float,
    num_iters: int,
    periodic: bool,
) -> tuple[Array, Array, Array, Array]:
    """Parameters, PSF, noise level and history."""
    num_axes, num = psf_of(*grid[0]).ndim, grid.shape[1]
    shape = image.shape[image.ndim - num_axes :]
    images = image.reshape(-1, *shape)
    power, counts = jax.vmap(functools.partial(periodogram, periodic=periodic))(images)
    power, counts = jnp.mean(power, 0), counts[0]
    # Of the half spectrum, what stands for two frequencies.
    counts = counts.at[..., 1 : (shape[-1] + 1) // 2].multiply(2)
    counts = counts / jnp.sum(counts)
    frequency = jnp.where(counts > 0, squared_frequency(shape, image.dtype), 1)
    log_prior = -fall / 2 * jnp.log(frequency)
    spread = jnp.max(images) - jnp.min(images)
    least = jnp.log((_LEAST_NOISE * spread) ** 2 + jnp.finfo(image.dtype).tiny)
    if noise_std is not None:
        least = jnp.maximum(2 * jnp.log(noise_std), least)
    highest = jnp.where(frequency > jnp.max(frequency) / 4, counts, 0)
    noise_power = jnp.log(jnp.sum(highest * power) / jnp.sum(highest))
    first = least if noise_std is not None else jnp.maximum(noise_power, least)

    def log_model(at: Array) -> Array:
        otf = fourier.transfer_function(psf_of(*at[:num]), shape)
        gain = jnp.log(otf.real**2 + otf.imag**2 + _LEAST_GAIN)
        noise = least if noise_std is not None else at[num + 1]
        return jnp.logaddexp(at[num] + gain + log_prior, noise)

    def cost(at: Array) -> Array:
        log_m = log_model(at)
        return jnp.sum(counts * (log_m + power * jnp.exp(-log_m)))

    def start(parameters: Array) -> tuple[Array, Array]:
        """With the best of the scales."""
        scales = first + jnp.log(jnp.asarray(_SCALES, image.dtype))
        extra = [] if noise_std is not None else [first]

        def tried(scale):
            return jnp.stack([*parameters, scale, *extra])

        costs = jax.lax.map(lambda scale: cost(tried(scale)), scales)
        best = jnp.argmin(costs)
        return tried(scales[best]), costs[best]

    points, costs = jax.lax.map(start, grid)
    _, order = jax.lax.top_k(-costs, min(_REFINED, len(grid)))
    free = jnp.full(points.shape[1] - num, jnp.inf, image.dtype)
    low = jnp.concatenate([grid[0], -free]).at[num + 1 :].set(least)
    high = jnp.concatenate([grid[-1], free])

    def advance(state: _State) -> tuple[_State, Array]:
        log_m = log_model(state.at)
        slopes = jax.jacfwd(log_model)(state.at)
        gradient = jnp.tensordot(
            counts * (1 - power * jnp.exp(-log_m)), slopes, num_axes
        )
        rows = slopes.reshape(-1, slopes.shape[-1])
        fisher = rows.T @ (counts.reshape(-1, 1) * rows)
        # A parameter at its bound that would leave it does not move.
        held = (state.at <= low) & (gradient > 0) | (state.at >= high) & (gradient < 0)
        diagonal = jnp.diag(fisher)
        extra = state.damping * diagonal + jnp.finfo(image.dtype).tiny ** 0.5
        fisher = jnp.where(held[:, None] | held, 0, fisher)
        fisher = fisher + jnp.diag(jnp.where(held, 1, extra))
        step = jnp.linalg.solve(fisher, jnp.where(held, 0, gradient))
        at = jnp.clip(state.at - step, low, high)
        new = cost(at)
        better = new < state.cost
        after = _State(
            jnp.where(better, at, state.at),
            jnp.where(better, new, state.cost),
            jnp.where(better, state.damping / 4, state.damping * 8),
        )
        return after, state.cost

    def refine(begun: tuple[Array, Array]) -> tuple[_State, Array]:
        state = _State(*begun, jnp.asarray(_DAMPING, image.dtype))
        state, _, history = iterate(advance, state, num_iters=num_iters, stop=None)
        return state, history

    ends, histories = jax.lax.map(refine, (points[order], costs[order]))
    best = jnp.argmin(ends.cost)
    at, history = ends.at[best], histories[best]
    noise = least if noise_std is not None else at[num + 1]
    parameters: Any = at[:num]
    return parameters, psf_of(*parameters), jnp.exp(noise / 2), history
