"""Wiener and Tikhonov: against the normal equations and scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, noise, psf, wiener
from jdeconv.restore.problem import convolution


def matrix(function, shape):
    """Of a linear function of images."""
    basis = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.asarray(jax.vmap(lambda x: function(x).ravel())(basis)).T


@pytest.mark.parametrize("boundary", ["circular", "zero", "unknown"])
@pytest.mark.parametrize("prior", ["gradient", "white"])
def test_solves_the_normal_equations(boundary, prior):
    with jax.enable_x64(True):
        y = jnp.asarray(np.random.default_rng(0).random((9, 8)))
        kernel, balance = psf.gaussian(0.8, (3, 4)).astype(float), 0.05
        blur = convolution(y, kernel, boundary=boundary).blur
        a, (rows, columns) = matrix(blur, blur.shape), blur.shape
        down, right = (
            np.roll(np.eye(n), 1, 1) - np.eye(n) for n in (rows, columns)
        )  # to the next pixel; from the last one to the first
        if boundary != "circular":
            down, right = down[:-1], right[:-1]
        r = [np.kron(down, np.eye(columns)), np.kron(np.eye(rows), right)]
        r = np.eye(a.shape[1]) if prior == "white" else np.vstack(r)
        x = np.linalg.solve(a.T @ a + balance * r.T @ r, a.T @ np.asarray(y).ravel())
        ours = wiener(
            y, kernel, balance=balance, prior=prior, boundary=boundary, num_iters=200
        )
        np.testing.assert_allclose(ours, blur.crop(x.reshape(blur.shape)), atol=2e-4)


def test_equals_scikit_image_on_periodic_images():
    peer = pytest.importorskip("skimage.restoration", reason="the peer").wiener
    with jax.enable_x64(True):
        y = np.random.default_rng(0).random((24, 30))
        kernel = np.asarray(psf.motion(5.0, 20.0), float)
        white = np.ones(y.shape, complex)  # a spectrum
        expected = peer(y, kernel, 0.02, reg=white, is_real=False, clip=False).real
        ours = wiener(y, kernel, balance=0.02, prior="white", boundary="circular")
        np.testing.assert_allclose(ours, expected, atol=1e-10)


@pytest.mark.parametrize("std", [0.01, 0.05])
def test_the_balance_chosen_is_nearly_the_best(std):
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    scene = jnp.asarray(data.camera()[60:252, 60:252], jnp.float32) / 255
    kernel = psf.motion(9.0, 30.0)
    y = Blur(kernel, scene.shape, "circular")(scene)
    y = noise.gaussian(jax.random.key(0), y, std)

    def decibels(**options):
        x = wiener(y, kernel, boundary="circular", **options)
        return float(-10 * jnp.log10(jnp.mean((x - scene) ** 2)))

    tried = [decibels(balance=10.0**e) for e in np.arange(-4, 1.1, 0.25)]
    assert decibels(noise_std=std) > max(tried) - 0.3


def test_gradients_to_the_psf_and_the_balance():
    with jax.enable_x64(True):
        y = jnp.asarray(np.random.default_rng(0).random((12, 12)))

        def loss(t):
            kernel = psf.gaussian(1.0 + t, (5, 5))
            x = wiener(y, kernel, balance=0.05 + t, boundary="circular")
            return jnp.sum(x**2)

        step = 1e-5
        slope = (loss(step) - loss(-step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(loss)(0.0), slope, rtol=1e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"prior": "smooth"}, "prior='smooth': must be one of gradient, white"),
        ({"balance": -1.0}, "balance=-1.0: must be > 0"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        wiener(jnp.ones((8, 8)), jnp.ones((3, 3)), **change)
