"""Total variation: against another algorithm on dense matrices, and on photographs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, noise, psf, total_variation, weights
from jdeconv.restore.problem import convolution
from jdeconv.restore.total_variation import _solve, _splitting


def dense(function, shape):
    """The matrix of a linear function of images."""
    basis = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    rows = jax.vmap(lambda x: function(x).ravel())(basis)
    return np.asarray(rows, np.float64).T


def primal_dual(a, d, y, weight, likelihood, num_iters=15000):
    """Chambolle and Pock 2011, algorithm 1, on matrices: scene and objective."""
    k = np.vstack([a, d])
    step = 0.99 / np.linalg.norm(k, 2)
    x = bar = np.zeros(k.shape[1])
    dual, half = np.zeros(len(k)), len(a)
    for _ in range(num_iters):
        moved = dual + step * (k @ bar)
        data, slopes = moved[:half], moved[half:].reshape(2, -1)
        if likelihood == "gaussian":
            data = (data - step * y) / (1 + step)
        else:  # the conjugate of u - y log u
            data = (data + 1 - np.sqrt((data - 1) ** 2 + 4 * step * y)) / 2
        length = np.maximum(np.sqrt((slopes**2).sum(0)) / weight, 1)
        dual = np.concatenate([data, (slopes / length).ravel()])
        new = x - step * (k.T @ dual)
        if likelihood == "poisson":
            new = np.maximum(new, 0)
        x, bar = new, 2 * new - x
    model, slopes = a @ x, (d @ x).reshape(2, -1)
    fit = (model - y) ** 2 / 2
    if likelihood == "poisson":
        fit = model - y * np.log(model)
    return x, fit.sum() + weight * np.sqrt((slopes**2).sum(0)).sum()


@pytest.mark.parametrize(
    "likelihood, boundary",
    [
        ("gaussian", "unknown"),
        ("poisson", "circular"),
        pytest.param("gaussian", "circular", marks=pytest.mark.slow),
        pytest.param("poisson", "unknown", marks=pytest.mark.slow),
    ],
)
def test_equals_another_algorithm_on_dense_matrices(boundary, likelihood):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        scene = np.kron(rng.random((3, 3)), np.ones((3, 3))) + 0.2
        y = jnp.asarray(scene + 0.02 * rng.normal(size=scene.shape))
        kernel, weight = psf.gaussian(0.8, (3, 4)).astype(float), 0.02
        blur = convolution(y, kernel, boundary=boundary).blur

        def slopes(x):
            """To the next pixel, of which the last has none unless it wraps around."""
            mode = "wrap" if boundary == "circular" else "edge"
            longer = jnp.pad(x, (0, 1), mode)
            return jnp.stack(
                [jnp.diff(longer[:, :-1], axis=0), jnp.diff(longer[:-1], axis=1)]
            )

        a, d = dense(blur, blur.shape), dense(slopes, blur.shape)
        x, least = primal_dual(a, d, np.asarray(y).ravel(), weight, likelihood)
        solution = total_variation(
            y,
            kernel,
            weight=weight,
            noise_std=0.02,
            likelihood=likelihood,
            boundary=boundary,
            num_iters=3000,
        )
        reached = solution.history[-1] * y.size
        np.testing.assert_allclose(reached, least, rtol=1e-5)
        expected = blur.crop(x.reshape(blur.shape))
        np.testing.assert_allclose(solution.image, expected, atol=2e-3)


@pytest.mark.parametrize("power", [0.5, 0.8, 1.0])
def test_shrinking_minimises_its_scalar_problem(power):
    image = jnp.ones((16, 16))
    blur = convolution(image, jnp.ones((3, 3)), boundary="circular").blur
    splitting = _splitting(
        image,
        blur,
        None,
        jnp.asarray(0.01),
        likelihood="gaussian",
        power=power,
        nonnegative=False,
        boundary="circular",
    )
    slopes = jnp.linspace(0, 0.2, 201)
    found = splitting.shrink([slopes, jnp.zeros_like(slopes)], jnp.asarray(0.02))
    t = np.linspace(0, 0.25, 25001)[:, None]
    cost = 0.02 * t**power + (t - np.asarray(slopes)) ** 2 / 2
    ours = np.asarray(found[0])
    ours_cost = 0.02 * ours**power + (ours - np.asarray(slopes)) ** 2 / 2
    np.testing.assert_allclose(ours_cost, cost.min(0), atol=2e-7)
    np.testing.assert_allclose(found[1], 0)


@pytest.fixture(scope="module")
def photograph():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[60:316, 60:316], jnp.float32) / 255


def rmse(a, b):
    return float(jnp.sqrt(jnp.mean((jnp.asarray(a) - b) ** 2)))


def seen(scene, kernel):
    """The valid blur of a scene, and what of the scene it shows."""
    blur = Blur(kernel, scene.shape, "valid")
    starts = [k - 1 - c for k, c in zip(kernel.shape, blur.center)]
    sizes = zip(starts, blur.output_shape)
    return blur(scene), scene[tuple(slice(a, a + n) for a, n in sizes)]


@pytest.mark.slow
@pytest.mark.parametrize("criterion, power", [("sure", 1), ("gcv", 1), ("sure", 0.8)])
def test_the_weight_chosen_is_nearly_the_best(photograph, criterion, power):
    std = 0.02
    kernel = psf.motion(9.0, 30.0)
    y, truth = seen(photograph, kernel)
    y = noise.gaussian(jax.random.key(0), y, std)

    def decibels(weight):
        solution = total_variation(y, kernel, weight=weight, noise_std=std, power=power)
        return -20 * np.log10(rmse(solution.image, truth))

    tried = [decibels(std ** (2 - power) * w) for w in (0.05, 0.1, 0.2, 0.4)]
    assert decibels(criterion) > max(tried) - 0.3
    assert min(tried) < max(tried) - 0.5


@pytest.mark.slow
def test_counts_are_better_restored_as_counts(photograph):
    kernel, peak = psf.gaussian(1.5), 60.0
    dark = photograph[:96, 64:160] ** 3
    y, truth = seen(dark, kernel)
    y = noise.poisson(jax.random.key(1), y, peak)
    std = float(jnp.sqrt(y.mean() / peak))
    counts, plain = (
        rmse(total_variation(y, kernel, noise_std=std, likelihood=name).image, truth)
        for name in ("poisson", "gaussian")
    )
    assert counts < plain < rmse(y, truth)


SLOW_TWO = [pytest.param(b, marks=pytest.mark.slow) for b in ("zero", "edge")]


@pytest.mark.parametrize("boundary", ["reflect", *SLOW_TWO])
def test_a_boundary_that_is_known_does_no_harm(photograph, boundary):
    kernel = psf.gaussian(2.0)
    scene = photograph[:64, :64]
    y = Blur(kernel, scene.shape, boundary)(scene)
    known, unknown = (
        rmse(total_variation(y, kernel, weight="sure", boundary=b).image, scene)
        for b in (boundary, "unknown")
    )
    # What lies beyond, mirrored or drawn out, is hardly news; that it is dark is.
    assert known < (0.7 if boundary == "zero" else 1.02) * unknown


def test_scenes_can_be_kept_from_being_negative():
    star = jnp.zeros((32, 32)).at[16, 16].set(1.0)
    kernel = psf.gaussian(1.5)
    y = Blur(kernel, star.shape, "circular")(star)
    free, bound = (
        total_variation(y, kernel, weight=1e-5, boundary="circular", nonnegative=n)
        for n in (False, True)
    )
    assert free.image.min() < 0 <= bound.image.min()
    assert rmse(bound.image, star) < rmse(free.image, star)


def test_the_weight_of_a_large_image_is_that_of_its_middle(photograph, monkeypatch):
    kernel = psf.gaussian(1.0)
    y, _ = seen(photograph[:128, :128], kernel)
    y = noise.gaussian(jax.random.key(0), y, 0.02)
    tops = [slice((n - 64) // 2, (n - 64) // 2 + 64) for n in y.shape]
    middle = y[tuple(tops)]
    monkeypatch.setattr("jdeconv.restore.weights._PIXELS", 64 * 64)
    chosen = []
    minimum = weights.minimum

    def watched(tried, values, *, joint):
        chosen.append(minimum(tried, values, joint=joint))
        return chosen[-1]

    monkeypatch.setattr("jdeconv.restore.weights.minimum", watched)
    for image, boundary in ((y, "reflect"), (middle, "unknown")):
        total_variation(image, kernel, noise_std=0.02, boundary=boundary, num_iters=1)
    np.testing.assert_allclose(*chosen, rtol=0.02)


def test_a_second_image_of_the_same_size_compiles_nothing(photograph):
    kernel, image = psf.gaussian(1.0), photograph[:64, :64]
    total_variation(image, kernel, weight=1e-3)
    before = _solve._cache_size()
    total_variation(image[::-1], kernel * 2, weight=2e-3)
    assert _solve._cache_size() == before


def test_gradients(photograph):
    y = photograph[:16, :16]
    direction = jnp.asarray(np.random.default_rng(0).normal(size=y.shape), y.dtype)

    with jax.enable_x64(True):

        def loss(t):
            solution = total_variation(
                y.astype(float) + t * direction,
                psf.gaussian(1.0 + t, (5, 5)).astype(float),
                weight=1e-2 * (1 + t),
                noise_std=0.05,
                num_iters=5,
            )
            return jnp.sum(solution.image**2)

        step = 1e-5
        slope = (loss(step) - loss(-step)) / (2 * step)
        np.testing.assert_allclose(jax.jit(jax.grad(loss))(0.0), slope, rtol=1e-3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"likelihood": "laplace"}, "likelihood='laplace': must be one of gaussian"),
        ({"power": 1.5}, "power=1.5: must be above 0"),
        ({"weight": 0.0}, "weight=0.0: must be > 0"),
        ({"weight": "best"}, "weight='best': must be a number or one of sure"),
        ({"num_iters": 0}, "num_iters=0: must be >= 1"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        total_variation(jnp.ones((8, 8)), jnp.ones((3, 3)), **change)


def test_what_nobody_stated_is_told_by_risk_or_by_whiteness(photograph):
    from jdeconv.restore.weights import criterion

    y = photograph[:64, :64]
    fits = jnp.stack([0.9 * y, jnp.roll(y, 1, -1)])
    ones = jnp.ones_like(y)

    def values(name, image, std):
        fit = lambda z: fits + 0.1 * (z - image)  # noqa: E731
        return criterion(name, fit, image, ones, std * ones, 2)

    noisy = noise.gaussian(jax.random.key(0), y, 0.1)
    for image, std, name in ((noisy, 0.1, "sure"), (y, 0.3, "whiteness")):
        expected = values(name, image, std)
        np.testing.assert_array_equal(values("unstated", image, std), expected)
