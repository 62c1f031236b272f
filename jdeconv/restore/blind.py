"""Blind Richardson-Lucy: scene and PSF, each likeliest in turn while the other stays.

    x   <- x   * A'(m y / (A x + b)) / A'(m)      A the blur with the present PSF
    psf <- psf * X'(m y / (X psf + b)) / X'(m)    X the blur of the present scene

b the background and m the mask. Ayers and Dainty 1988, "Iterative blind deconvolution
method and its applications"; in this form, several steps on one before the other's
turn, Fish, Brinicombe, Pike and Walker 1995, "Blind deconvolution by means of the
Richardson-Lucy algorithm".

The likelihood alone does not tell the scene's blur from the camera's: no blur at all
explains every image best, and that is where turns without end lead. Some turns from a
PSF that is too wide make it better; many steps for the PSF in each, few for the scene
and a weak total variation of it (Perrone and Favaro 2014, "Total variation blind
deconvolution: the devil is in the details") keep it from narrowing further. Where a few
numbers describe the PSF, `fit_psf` finds them with no such care.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore.blur import Blur
from jdeconv.restore.iterate import iterate, relative_change
from jdeconv.restore.problem import convolution
from jdeconv.restore.richardson_lucy import curvature

SYMMETRIES = ("point", "radial")
_SEEN = 1e-3  # share of a pixel's light within the frame below which it stays as it was


class BlindSolution(NamedTuple):
    """What blind deconvolution returns.

    Attributes:
      image: the scene, of the measured image's shape.
      psf: of the shape it was begun with; its sum is 1.
      num_iters: turns done, an integer scalar.
      history: `[num_iters, *batch]`, the mean I-divergence of y from the model before
        each turn; NaN beyond the last one.
    """

    image: Array
    psf: Array
    num_iters: Array
    history: Array


class _State(NamedTuple):
    x: Array
    psf: Array


def blind_richardson_lucy(
    y: Array,
    psf: Array,
    *,
    num_iters: int = 30,
    scene_steps: int = 1,
    psf_steps: int = 20,
    boundary: str = "unknown",
    symmetry: str | None = None,
    tv_weight: ArrayLike = 0.01,
    background: ArrayLike = 0.0,
    mask: Array | None = None,
    stop: float | None = None,
    center: Sequence[int] | None = None,
    channel_axis: int | None = None,
) -> BlindSolution:
    """Deblurs an image whose PSF is known roughly.

    Args:
      y: measured image `[*batch, *spatial]`, floating, as many spatial axes as the PSF;
        values below 0 count as 0. Images of the batch share the PSF.
      psf: to begin with, no negative values: wider than what is sought. Its shape is
        the result's, and where it is 0 the result is, but for the symmetry.
      num_iters: turns, the most if `stop` is given.
      scene_steps, psf_steps: iterations in each turn. The defaults are for photographs;
        for a few stars or beads take 20 and 1, no total variation, and a symmetry.
      boundary: "unknown" estimates the scene on a frame larger by psf - 1 and assumes
        nothing beyond it; or "circular", "zero", "reflect", "edge".
      symmetry: of the PSF about its centre, which is then in the middle of odd sizes:
        "point" for psf(t) = psf(-t), "radial" for psf(t) = psf(|t|), None for neither.
      tv_weight: >= 0, of the scene's total variation, as of `richardson_lucy`.
      background: counts per pixel that are not of the scene, broadcast to y.
      mask: broadcast to y; 0 for pixels to leave out (dead or saturated), 1 for others.
      stop: ends when a turn changes the PSF, in relative norm, by less.
      center: of the PSF; (n - 1) // 2 on each axis if None. The PSF's centre of mass is
        kept within half a pixel of it, which a shifted scene would be free to leave.
      channel_axis: of y; channels share the PSF.

    Returns:
      `BlindSolution`.

    Raises:
      ValueError: see `problem.convolution`; an unknown symmetry, or one of a PSF whose
        centre is not in its middle; numbers of iterations below 1, a negative
        tv_weight.

    >>> from jdeconv.restore import psf
    >>> y = jnp.zeros((32, 32)).at[9:25, 9:25].set(1.0)
    >>> found = blind_richardson_lucy(y, psf.gaussian(2.0, (7, 7)), symmetry="radial")
    >>> round(float(found.psf.sum()), 3), bool((found.psf == found.psf.T).all())
    (1.0, True)
    """
    steps = {"num_iters": num_iters, "scene_steps": scene_steps, "psf_steps": psf_steps}
    for name, value in steps.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be >= 1")
    if isinstance(tv_weight, (int, float)) and not tv_weight >= 0:
        raise ValueError(f"tv_weight={tv_weight}: must be >= 0")
    measured = convolution(
        y, psf, boundary=boundary, center=center, channel_axis=channel_axis
    )
    start = measured.blur
    alike = None
    if symmetry is not None:
        alike = _alike(symmetry, start.psf.shape, start.center)
    image = jnp.maximum(measured.image, 0)
    counted = jnp.ones_like(image)
    if mask is not None:
        if channel_axis is not None and jnp.ndim(mask) == image.ndim:
            mask = jnp.moveaxis(jnp.asarray(mask), channel_axis, -start.psf.ndim - 1)
        counted = counted * jnp.asarray(mask, image.dtype)
    solution = _solve(
        image,
        Blur(start.psf, start.shape, start.boundary, center=start.center, method="fft"),
        counted,
        jnp.asarray(background, image.dtype),
        jnp.asarray(tv_weight, image.dtype),
        alike,
        stop,
        **steps,
    )
    return solution._replace(image=measured.to_image(solution.image))


@functools.partial(jax.jit, static_argnames=("num_iters", "scene_steps", "psf_steps"))
def _solve(
    image: Array,
    start: Blur,
    counted: Array,
    background: Array,
    tv_weight: Array,
    alike: Array | None,
    stop: float | None,
    *,
    num_iters: int,
    scene_steps: int,
    psf_steps: int,
) -> BlindSolution:
    num_axes = start.psf.ndim
    spatial = tuple(range(-num_axes, 0))
    tiny = jnp.finfo(image.dtype).tiny
    least = jnp.finfo(image.dtype).eps * jnp.max(image, spatial, keepdims=True) + tiny

    def blur(psf: Array) -> Blur:
        return Blur(psf, start.shape, start.boundary, center=start.center, method="fft")

    def model(blurred: Array) -> Array:
        return jnp.maximum(blurred + background, least)

    def scene_step(psf: Array, x: Array) -> Array:
        by = blur(psf)
        seen = by.adjoint(counted)
        sees = seen > _SEEN * jnp.max(seen, spatial, keepdims=True)
        back = by.adjoint(counted * image / model(by(x)))
        factor = jnp.where(sees, jnp.maximum(back, 0) / jnp.where(sees, seen, 1), 1)
        return x * factor / jnp.maximum(1 - tv_weight * curvature(x, spatial), 0.1)

    def psf_step(x: Array, psf: Array) -> Array:
        blurred, back = jax.vjp(lambda psf: blur(psf)(x), psf)
        (fit,), (flat,) = back(counted * image / model(blurred)), back(counted)
        psf = psf * jnp.maximum(fit, 0) / jnp.maximum(flat, tiny)
        if alike is not None:
            sums = jnp.zeros(alike.size, psf.dtype).at[alike].add(psf)
            numbers = jnp.zeros(alike.size, psf.dtype).at[alike].add(1)
            psf = (sums / jnp.maximum(numbers, 1))[alike]
        return psf / jnp.maximum(jnp.sum(psf), tiny)

    def advance(state: _State) -> tuple[_State, Array]:
        x, psf = state
        logs = jnp.log(jnp.where(image > 0, image, 1))
        expected = model(blur(psf)(x))
        logs = jnp.where(image > 0, logs - jnp.log(expected), 0)
        divergence = counted * (image * logs - image + expected)
        x = _repeat(functools.partial(scene_step, psf), x, scene_steps)
        psf = _repeat(functools.partial(psf_step, x), psf, psf_steps)
        return _centred(_State(x, psf), start.center), jnp.mean(divergence, spatial)

    x = jnp.mean(image, spatial, keepdims=True) * jnp.ones(start.shape, image.dtype)
    state, done, history = iterate(
        advance,
        _State(jnp.maximum(x, least), start.psf),
        num_iters=num_iters,
        stop=stop,
        change=lambda a, b: relative_change(a.psf, b.psf, num_axes),
    )
    return BlindSolution(state.x, state.psf, done, history)


def _repeat(step, value: Array, times: int) -> Array:
    return jax.lax.scan(lambda v, _: (step(v), None), value, length=times)[0]


def _centred(state: _State, center: Sequence[int]) -> _State:
    """Both moved by whole pixels, against each other: the blurred image stays."""
    num_axes = state.psf.ndim
    axes = tuple(range(-num_axes, 0))
    pixels = [jnp.arange(n).astype(state.psf.dtype) for n in state.psf.shape]
    places = jnp.meshgrid(*pixels, indexing="ij", sparse=True)
    off = [jnp.sum(state.psf * at) - c for at, c in zip(places, center)]
    shifts = jnp.round(jnp.stack(off)).astype(int)
    psf = jnp.roll(state.psf, tuple(-shifts), axes)
    return _State(jnp.roll(state.x, tuple(shifts), axes), psf)


def _alike(symmetry: str, shape: Sequence[int], center: Sequence[int]) -> Array:
    """For each pixel of the PSF the number of its class, of which all are equal."""
    if symmetry not in SYMMETRIES:
        raise ValueError(
            f"symmetry={symmetry!r}: must be None or one of {', '.join(SYMMETRIES)}"
        )
    if any(n != 2 * c + 1 for n, c in zip(shape, center)):
        raise ValueError(
            f"symmetry={symmetry!r} of a PSF of shape {tuple(shape)} with its centre "
            f"at {tuple(center)}: the sizes must be odd, the centre in the middle"
        )
    index = np.arange(int(np.prod(shape))).reshape(shape)
    if symmetry == "point":
        return jnp.asarray(np.minimum(index, np.flip(index)))
    offsets = [(np.arange(n) - c) ** 2 for n, c in zip(shape, center)]
    squared = sum(np.meshgrid(*offsets, indexing="ij", sparse=True))
    return jnp.asarray(np.unique(squared, return_inverse=True)[1].reshape(shape))
