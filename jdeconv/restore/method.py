"""A method with all its numbers: chosen once, from the image, then applied to parts.

The strength of a prior and the number of iterations are told from the image. What is
cut from it, or drawn anew from its model, must be solved with the numbers of the image,
not with its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jdeconv.restore import denoisers, noise
from jdeconv.restore.blur import Blur, Operator
from jdeconv.restore.plug_and_play import START, plug_and_play
from jdeconv.restore.problem import (
    LIKELIHOODS,
    Measurement,
    Solution,
    check,
    check_noise,
    convolution,
)
from jdeconv.restore.richardson_lucy import (
    best_tv_weight,
    record_shares,
    richardson_lucy,
)
from jdeconv.restore.total_variation import best_weight, total_variation
from jdeconv.restore.weights import middle
from jdeconv.restore.wiener import likeliest_balances, wiener

_MOST_ITERATIONS = 200  # of Richardson-Lucy, which stops by itself
_STOP = 1e-3  # when an iteration changes the scene by less
_HYPER_LAPLACIAN = 0.8  # power of slopes; of photographs 0.5 to 0.8
PIXELS = 2**20  # of larger images the middle tells the numbers

Solver = Callable[[Array, str], Array]
Choice = tuple[Callable[..., Any], dict[str, Any]]  # a solver and its options


def _check(method: str, likelihood: str, weight: ArrayLike | None) -> None:
    """Raises ValueError for what is no method, or does not go with it."""
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")
    if likelihood not in LIKELIHOODS:
        raise ValueError(
            f"likelihood={likelihood!r}: must be one of {', '.join(LIKELIHOODS)}"
        )
    if likelihood == "poisson" and method == "wiener":
        raise ValueError("likelihood='poisson': wiener is for Gaussian noise only")
    if weight is not None and method in ("plug_and_play", "bm3d", "combined"):
        raise ValueError(f"weight={weight!r}: {method} has none; leave it out")


class _Problem(NamedTuple):
    """What the numbers are told from, channels last among the batch axes."""

    image: Array  # of a large one the middle
    psf: Any  # array or operator
    boundary: str
    center: Sequence[int] | None
    noise_std: ArrayLike | None
    weight: ArrayLike | None
    num_iters: int | None
    likelihood: str
    joint: bool
    fixed: bool

    @property
    def num_axes(self) -> int:
        return self.psf.num_axes if isinstance(self.psf, Operator) else self.psf.ndim

    @property
    def spatial(self) -> tuple[int, ...]:
        return tuple(range(-self.num_axes, 0))

    @property
    def std(self) -> Array:
        """Of the noise, `[*batch]`."""
        std = self.noise_std
        if std is None:
            std = noise.unexplained_std(self.image, num_axes=self.num_axes)
        return self.per_image(std)

    def per_image(self, number: ArrayLike) -> Array:
        """`[*batch]`."""
        batch = self.image.shape[: self.image.ndim - self.num_axes]
        return jnp.broadcast_to(jnp.asarray(number, self.image.dtype), batch)

    def measured(self) -> Measurement[Blur]:
        return convolution(
            self.image,
            self.psf,
            boundary=self.boundary,
            center=self.center,
            channel_axis=-self.num_axes - 1 if self.joint else None,
        )


def settle(
    image: Array,
    psf: Array | Operator,
    *,
    method: str = "auto",
    noise_std: ArrayLike | None = None,
    likelihood: str = "gaussian",
    weight: ArrayLike | None = None,
    num_iters: int | None = None,
    boundary: str = "unknown",
    center: Sequence[int] | None = None,
    joint: bool = False,
    fixed: bool = False,
) -> Solver:
    """Chooses the numbers of a method.

    Args:
      image: `[*batch, *spatial]`, floating, channels last among the batch axes.
      psf, method, noise_std, likelihood, weight, num_iters, boundary, center: as of
        `deconvolve`.
      joint: whether the last batch axis is of channels, with a common weight.
      fixed: whether that is also to hold for what a solver finds out on its way: how
        far Richardson-Lucy's steps go, and when it stops.

    Returns:
      A function of an image and its boundary, with the same batch axes, that solves it
      with these numbers.

    Raises:
      ValueError: as `deconvolve`.
    """
    _check(method, likelihood, weight)
    check_noise(noise_std)
    part, around = image, boundary
    if not isinstance(psf, Operator):
        check(image, psf, boundary)
        part, around = _middle(image, psf, boundary)
    chosen = _CHOICES[method](
        _Problem(
            part,
            psf,
            around,
            center,
            noise_std,
            weight,
            num_iters,
            likelihood,
            joint,
            fixed,
        )
    )
    solver, options = chosen
    if num_iters is not None:
        options["num_iters"] = num_iters

    def solve(image: Array, boundary: str) -> Array:
        result = solver(image, psf, boundary=boundary, center=center, **options)
        return result.image if isinstance(result, Solution) else result

    return solve


def _wiener(problem: _Problem) -> Choice:
    balance = problem.weight
    if balance is None:
        image, blur, _ = problem.measured()
        balance = likeliest_balances(image, blur.psf, problem.std)
    return wiener, {"balance": balance}


def _total_variation(problem: _Problem, power: float = 1.0) -> Choice:
    weight = problem.weight
    if weight is None:
        weight = best_weight(
            problem.measured(),
            None,
            problem.std,
            "unstated" if problem.noise_std is None else "sure",
            likelihood=problem.likelihood,
            power=power,
            nonnegative=problem.likelihood == "poisson",
            boundary=problem.boundary,
        )
    return total_variation, {
        "likelihood": problem.likelihood,
        "noise_std": problem.std,
        "brightness": jnp.mean(problem.image, problem.spatial),
        "weight": weight,
        "power": power,
    }


def _plug_and_play(problem: _Problem) -> Choice:
    start = START * jnp.std(problem.image, problem.spatial)
    return plug_and_play, {
        "likelihood": problem.likelihood,
        "noise_std": problem.std,
        "brightness": jnp.mean(problem.image, problem.spatial),
        "start_std": start,
    }


def _bm3d(problem: _Problem) -> Choice:
    if problem.num_axes < 2:
        raise ValueError(
            f"method='bm3d': is for images and volumes; the psf has {problem.num_axes} "
            "axis"
        )
    solver, options = _plug_and_play(problem)
    return solver, options | {"denoiser": denoisers.bm3d}


def _combined(problem: _Problem) -> Choice:
    """The mean under three priors, which do not err alike, at equal shares."""
    members = [
        _total_variation(problem),
        _total_variation(problem, _HYPER_LAPLACIAN),
        _plug_and_play(problem),
    ]

    def mean(image: Array, psf: Array, **options) -> Array:
        total = jnp.zeros_like(image)
        for solver, numbers in members:
            total = total + solver(image, psf, **numbers, **options).image
        return total / len(members)

    return mean, {}


def _richardson_lucy(problem: _Problem) -> Choice:
    weight = problem.weight
    if weight is None and isinstance(problem.psf, Operator):
        weight = 0.0
    elif weight is None:
        weight = best_tv_weight(problem.measured(), problem.std, problem.boundary)
    brightness = jnp.mean(jnp.maximum(problem.image, 0), problem.spatial, keepdims=True)
    options: dict[str, Any] = {
        "acceleration": "biggs-andrews",
        "tv_weight": weight,
        "init": brightness,
    }
    if problem.num_iters is None:
        options.update(num_iters=_MOST_ITERATIONS, stop=_STOP)
    if problem.fixed and not isinstance(problem.psf, Operator):
        shares = record_shares(
            problem.measured(),
            tv_weight=weight,
            init=brightness,
            num_iters=problem.num_iters or _MOST_ITERATIONS,
            stop=None if problem.num_iters else _STOP,
        )
        options.update(acceleration=shares, num_iters=len(shares), stop=None)
    return richardson_lucy, options


_CHOICES: dict[str, Callable[[_Problem], Choice]] = {
    "auto": _total_variation,
    "wiener": _wiener,
    "richardson_lucy": _richardson_lucy,
    "total_variation": _total_variation,
    "plug_and_play": _plug_and_play,
    "bm3d": _bm3d,
    "combined": _combined,
}
METHODS = tuple(_CHOICES)


def _middle(image: Array, psf: Array, boundary: str) -> tuple[Array, str]:
    """At most 2^20 pixels, from the middle; what lies beyond a part is unknown."""
    shape = image.shape[image.ndim - psf.ndim :]
    inside = middle(shape, psf.shape, PIXELS)
    if inside is None:
        return image, boundary
    return image[(..., *inside)], "unknown"
