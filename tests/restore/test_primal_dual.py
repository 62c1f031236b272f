"""FISTA and the primal-dual method: against dense matrices and the other solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import (
    Blur,
    Subsampled,
    VaryingBlur,
    fista,
    primal_dual,
    psf,
    total_variation,
)
from jdeconv.restore.fista import haar, inverse_haar, l1, l1_haar, nonnegative
from jdeconv.restore.primal_dual import differences, divergence


def dense(function, shape):
    """The matrix of a linear function of images."""
    basis = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.asarray(jax.vmap(lambda x: function(x).ravel())(basis), np.float64).T


@jax.tree_util.register_pytree_node_class
class Halved:
    """Every second pixel of a blurred image: what no Fourier method takes."""

    def __init__(self, blur):
        self.blur, self.shape = blur, blur.shape
        self.output_shape = tuple((n + 1) // 2 for n in blur.output_shape)

    def tree_flatten(self):
        return (self.blur,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        self = object.__new__(cls)
        (self.blur,) = leaves
        self.shape = self.output_shape = ()
        if isinstance(self.blur, Blur):
            self.__init__(self.blur)
        return self

    def __call__(self, x):
        return self.blur(x)[..., ::2, ::2]

    def adjoint(self, y):
        image = jnp.zeros((*y.shape[:-2], *self.blur.output_shape), y.dtype)
        return self.blur.adjoint(image.at[..., ::2, ::2].set(y))


@pytest.mark.parametrize(
    "likelihood", ["gaussian", pytest.param("poisson", marks=pytest.mark.slow)]
)
def test_reaches_the_minimum_of_the_alternating_direction_method(likelihood):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        scene = np.kron(rng.random((4, 4)), np.ones((5, 5))) + 0.2
        kernel = psf.gaussian(0.8, (3, 4)).astype(float)
        blur = Blur(kernel, scene.shape, "circular", method="fft")
        y = blur(jnp.asarray(scene)) + 0.02 * rng.normal(size=scene.shape)
        options = {"weight": 0.01, "noise_std": 0.02, "likelihood": likelihood}
        other = total_variation(
            y, blur.psf, boundary="circular", num_iters=1500, **options
        )
        ours = primal_dual(y, blur, num_iters=4000, **options)
        np.testing.assert_allclose(ours.history[-1], other.history[-1], rtol=1e-7)
        np.testing.assert_allclose(ours.image, other.image, atol=2e-4)
        assert ours.history[10] > ours.history[-1] * (1 + 1e-5)


@pytest.mark.slow
def test_primal_dual_is_optimal_where_pixels_are_missing():
    # At the minimum over scenes >= 0, no small change lowers the objective.
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        kernel = psf.gaussian(1.0, (3, 3)).astype(float)
        operator = Halved(Blur(kernel, (11, 9), "valid", method="fft"))
        y = jnp.asarray(rng.random((2, *operator.output_shape)))
        mask = jnp.ones(operator.output_shape).at[1, 2].set(0)
        weight = jnp.array([0.02, 0.1])
        solution = primal_dual(
            y, operator, weight=weight, mask=mask, nonnegative=True, num_iters=4000
        )
        a = dense(operator, operator.shape)
        d = dense(lambda x: jnp.stack(differences(x, (-2, -1), False)), operator.shape)

        def objective(x, i):
            misfit = np.asarray(mask).ravel() * (a @ x - np.asarray(y[i]).ravel())
            slopes = (d @ x).reshape(2, -1)
            return (misfit**2).sum() / 2 + weight[i] * np.hypot(*slopes).sum()

        for i in range(2):
            x = np.asarray(solution.image[i]).ravel()
            least = objective(x, i)
            np.testing.assert_allclose(
                solution.history[-1, i] * y[i].size, least, rtol=1e-4
            )
            for scale in (1e-1, 1e-2, 1e-3):
                for _ in range(20):
                    other = np.maximum(x + scale * rng.normal(size=x.shape), 0)
                    assert objective(other, i) > least - 1e-9
        # A masked pixel pulls at nothing.
        moved = primal_dual(
            y.at[:, 1, 2].set(9.0),
            operator,
            weight=weight,
            noise_std=0.1,
            mask=mask,
            nonnegative=True,
            num_iters=4000,
        )
        np.testing.assert_allclose(moved.image, solution.image, atol=1e-3)


@pytest.mark.parametrize("wraps", [True, False])
def test_divergence_is_the_transpose(wraps):
    x, *p = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5, 6, 7)), jnp.float32)
    axes = (-3, -2, -1)
    there = sum(jnp.sum(a * b) for a, b in zip(differences(x, axes, wraps), p))
    back = jnp.sum(x * divergence(p, axes, wraps))
    np.testing.assert_allclose(there, back, rtol=1e-5)


def test_fista_is_least_squares_without_and_soft_thresholds_with_a_prior():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        kernel = psf.gaussian(0.7, (3, 3)).astype(float)
        operator = Halved(Blur(kernel, (9, 9), "valid", method="fft"))
        y = jnp.asarray(rng.normal(size=operator.output_shape))
        a = dense(operator, operator.shape)
        for weight in (0.0, 0.01):
            x = np.asarray(fista(y, operator, l1(weight), num_iters=4000).image).ravel()
            # The subdifferential of the objective holds 0.
            gradient = a.T @ (a @ x - np.asarray(y).ravel())
            zero = x == 0
            assert (np.abs(gradient[zero]) <= weight + 1e-8).all()
            np.testing.assert_allclose(
                gradient[~zero], -weight * np.sign(x[~zero]), atol=1e-8
            )
            assert zero.any() == (weight > 0)


def test_fista_keeps_to_bounds_and_restarts():
    star = jnp.zeros((2, 24, 24)).at[:, 12, 11].set(1.0).at[1, 5, 5].set(0.5)
    blur = Blur(psf.gaussian(1.2, (7, 7)), (24, 24), "zero", method="fft")
    y = blur(star)
    solution = fista(y, blur, nonnegative, num_iters=300)
    assert solution.image.min() == 0
    np.testing.assert_allclose(solution.image, star, atol=0.05)
    # Without the restart the momentum makes the misfit swing by orders of magnitude.
    assert (solution.history[-1] < 1e-4 * solution.history[20]).all()
    stopped = fista(y, blur, nonnegative, num_iters=300, stop=1e-3)
    assert 3 < int(stopped.num_iters) < 300
    assert np.isnan(stopped.history[int(stopped.num_iters) :]).all()


@pytest.mark.parametrize(
    "shape", [(13, 8), pytest.param((5, 6, 7), marks=pytest.mark.slow)]
)
def test_haar_is_orthonormal_whatever_the_size(shape):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *shape)), jnp.float32)
    options = {"num_axes": len(shape), "levels": 3}

    @jax.jit
    def both_ways(x):
        transformed, coarse = haar(x, **options)
        assert coarse == tuple(-(-n // 8) for n in shape)
        flat, _ = haar(jnp.ones((8,) * len(shape)), **options)
        return transformed, inverse_haar(transformed, **options), flat

    transformed, back, flat = both_ways(x)
    np.testing.assert_allclose(back, x, atol=1e-5)
    sums = [jnp.sum(v**2, range(1, v.ndim)) for v in (transformed, x)]
    np.testing.assert_allclose(*sums, rtol=1e-5)
    np.testing.assert_allclose(flat.ravel()[1:], 0, atol=1e-5)


def test_a_wavelet_prior_helps_with_noise():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    scene = jnp.asarray(data.camera()[60:188, 60:188], jnp.float32) / 255
    blur = Blur(psf.gaussian(1.5, (11, 11)), scene.shape, "circular", method="fft")
    y = blur(scene) + 0.02 * jax.random.normal(jax.random.key(0), scene.shape)
    restored = fista(y, blur, l1_haar(3e-3), num_iters=100).image
    plain = fista(y, blur, num_iters=100).image

    def rmse(x):
        return float(jnp.sqrt(jnp.mean((x - scene) ** 2)))

    assert rmse(restored) < 0.85 * rmse(y) < rmse(plain)


@pytest.mark.parametrize(
    "solver, change, message",
    [
        (fista, {"y": jnp.ones((8, 8), int)}, "y of int32: must be floating"),
        (fista, {"y": jnp.ones((8, 7))}, "its last axes must be"),
        (fista, {"num_iters": 0}, "num_iters=0: must be >= 1"),
        (fista, {"step": 0.0}, "step=0.0: must be > 0"),
        (primal_dual, {"y": jnp.ones((8, 8)) / 0}, "y has 64 of 64 pixels"),
        (primal_dual, {"weight": 0.0}, "weight=0.0: must be > 0"),
        (primal_dual, {"likelihood": "laplace"}, "likelihood='laplace': must be one"),
    ],
)
def test_bad_input(solver, change, message):
    arguments = {"y": jnp.ones((8, 8))} | change
    if solver is primal_dual:
        arguments = {"weight": 0.1} | arguments
    blur = Blur(jnp.ones((3, 3)) / 9, (8, 8), "zero")
    with pytest.raises(ValueError, match=message):
        solver(arguments.pop("y"), blur, **arguments)


@pytest.mark.parametrize(
    "kind", ["varying", pytest.param("subsampled", marks=pytest.mark.slow)]
)
def test_operators_of_the_package_are_solved(kind):
    scene = jnp.zeros((24, 24)).at[6:18, 8:16].set(1.0)
    if kind == "varying":
        narrow, wide = (psf.gaussian(std, (5, 5)) for std in (0.7, 1.1))
        blur = VaryingBlur(jnp.stack([narrow, wide])[:, None], scene.shape, "zero")
    else:
        blur = Subsampled(Blur(psf.gaussian(0.8, (5, 5)), scene.shape, "zero"), 2)
    y = blur(scene)
    found = primal_dual(y, blur, weight=1e-3, num_iters=200)
    assert found.image.shape == scene.shape
    assert jnp.mean((blur(found.image) - y) ** 2) < 1e-3 * jnp.mean(y**2)
    assert jnp.mean((found.image - scene) ** 2) < 0.02 * jnp.mean(scene**2)
