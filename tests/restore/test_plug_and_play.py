"""Plug-and-play."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import (
    Blur,
    denoisers,
    noise,
    plug_and_play,
    psf,
    total_variation,
    wiener,
)
from tests.restore.scores import decibels


@pytest.mark.slow
def test_beats_wiener_and_total_variation(photograph):
    kernel, std = psf.motion(9.0, 30.0), 0.03
    blur = Blur(kernel, photograph.shape, "valid")
    y = noise.gaussian(jax.random.key(0), blur(photograph), std)
    starts = zip(kernel.shape, blur.center, y.shape)
    truth = photograph[tuple(slice(k - 1 - c, k - 1 - c + n) for k, c, n in starts)]
    found = [
        decibels(x, truth, rim=8)
        for x in (
            y,
            wiener(y, kernel, noise_std=std),
            total_variation(y, kernel, noise_std=std).image,
            plug_and_play(y, kernel, noise_std=std).image,
            plug_and_play(y, kernel, noise_std=std, denoiser=denoisers.bm3d).image,
        )
    ]
    assert found == sorted(found)


@pytest.mark.slow
def test_border_under_a_wide_psf_is_as_good_as_solved_to_the_end(monkeypatch):
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    scene = jnp.asarray(data.camera()[100:220, 180:300], jnp.float32) / 255
    kernel = psf.motion(22.0, 20.0)
    blur = Blur(kernel, scene.shape, "valid")
    y = blur(scene)
    y = y + 0.005 * jax.random.normal(jax.random.key(1), y.shape)
    truth = blur.crop(scene)

    def border(steps=None):
        module = sys.modules[plug_and_play.__module__]
        if steps:
            monkeypatch.setattr(module, "_INNER_STEPS", steps)
        module._solve.clear_cache()
        error = (plug_and_play(y, kernel, noise_std=0.005).image - truth) ** 2
        rim = jnp.ones_like(truth).at[12:-12, 12:-12].set(0)
        return float(-10 * jnp.log10(jnp.sum(rim * error) / jnp.sum(rim)))

    ours, solved = border(), border(60)
    sys.modules[plug_and_play.__module__]._solve.clear_cache()
    assert ours > solved - 0.5


def test_any_denoiser_will_do(photograph):
    y = photograph[:40, :40]

    def mean_of_neighbours(x, std):
        assert std.shape == (1, 1)
        return (jnp.roll(x, 1, -1) + x + jnp.roll(x, -1, -1)) / 3

    kernel = psf.gaussian(1.0)
    solution = plug_and_play(y, kernel, denoiser=mean_of_neighbours, num_iters=3)
    assert solution.image.shape == y.shape and solution.history.shape == (3,)


@pytest.mark.slow
def test_gradients(photograph):
    y = photograph[:24, :24].astype(float)
    with jax.enable_x64(True):
        y = jnp.asarray(np.asarray(y), jnp.float64)
        direction = jnp.asarray(np.random.default_rng(0).normal(size=y.shape))

        def loss(t):
            solution = plug_and_play(
                y + t * direction,
                psf.gaussian(1.0 + t, (5, 5)),
                noise_std=0.05,
                num_iters=2,
                denoiser=lambda x, std: x / (1 + std),
            )
            return jnp.sum(solution.image**2)

        step = 1e-5
        slope = (loss(step) - loss(-step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(loss)(0.0), slope, rtol=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_iters": 0}, "num_iters=0: must be >= 1"),
        ({"prior_weight": 0.0}, "prior_weight=0.0: must be > 0"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        plug_and_play(jnp.ones((8, 8)), jnp.ones((3, 3)), **change)


@pytest.mark.slow
def test_counts_are_trusted_by_their_brightness(photograph):
    kernel, peak = psf.gaussian(1.5), 64.0
    blurred = Blur(kernel, photograph.shape, "reflect")(photograph)
    y = noise.poisson(jax.random.key(0), blurred, peak)
    std = float(jnp.sqrt(y.mean() / peak))
    counts, even = (
        decibels(
            plug_and_play(y, kernel, noise_std=std, likelihood=name).image,
            photograph,
            rim=8,
        )
        for name in ("poisson", "gaussian")
    )
    assert counts > even + 0.05
    with pytest.raises(ValueError, match="likelihood='flat': must be one of gaussian"):
        plug_and_play(y, kernel, likelihood="flat")


def test_solves_with_a_network(photograph):
    blurred = Blur(psf.gaussian(1.0), photograph.shape, "valid")(photograph)
    y = noise.gaussian(jax.random.key(0), blurred, 0.02)

    def smooth(x, noise_std):  # a stand-in with a network's signature
        near = sum(jnp.roll(x, s, a) for s in (-1, 1) for a in (1, 2))
        return 0.6 * x + 0.1 * near

    result = plug_and_play(
        y,
        psf.gaussian(1.0),
        noise_std=0.02,
        denoiser=denoisers.network(smooth),
        num_iters=3,
    )
    assert result.image.shape == y.shape and jnp.isfinite(result.image).all()
