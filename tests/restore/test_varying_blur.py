"""Varying and subsampled blur: loops as oracles, adjoints, and Richardson-Lucy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import adjoint_error
from jdeconv.restore import Blur, Subsampled, VaryingBlur, psf, richardson_lucy
from tests.parameters import fast_if
from tests.restore.operators import values_and_adjoint_errors

BOUNDARIES = ("circular", "zero", "reflect", "edge", "valid")
# Image, grid, PSF, centre, nodes: odd and even sizes, one to three axes.
CASES = {
    "2-D": ((13, 12), (3, 2), (3, 4), None, None),
    "nodes": ((11, 12), (2, 3), (5, 2), (4, 0), ((0.0, 7.5), (-30.0, -20.0, 5.5))),
    "uniform": ((9, 8), (1, 1), (4, 3), None, None),
    "1-D": ((17,), (4,), (6,), None, None),
    "3-D": ((5, 6, 7), (1, 2, 3), (3, 2, 4), None, None),
}


def tent(nodes, k, at):
    """Weight of node k at a position: linear between nodes, constant beyond."""
    return np.interp(at, nodes, np.eye(len(nodes))[k])


def source(at, n, boundary):
    """The scene's pixel that lies at a place, if any."""
    if 0 <= at < n:
        return at
    if boundary == "reflect":
        return -at if at < 0 else 2 * (n - 1) - at
    return {"circular": at % n, "edge": min(max(at, 0), n - 1)}.get(boundary)


def varying(x, psfs, boundary, center, nodes):
    """By the definition: each place sends its light through its own PSF."""
    d = x.ndim
    grid, window = psfs.shape[:d], psfs.shape[d:]
    center = center or [(k - 1) // 2 for k in window]
    nodes = nodes or [(np.arange(m) + 0.5) * n / m - 0.5 for m, n in zip(grid, x.shape)]
    first = [c - k + 1 for c, k in zip(center, window)]
    y = np.zeros(x.shape)
    ranges = [range(f, n + c) for f, n, c in zip(first, x.shape, center)]
    for place in itertools.product(*ranges):
        pixel = [source(a, n, boundary) for a, n in zip(place, x.shape)]
        if None in pixel:
            continue
        # What wraps around is the scene's own pixel, and has its PSF.
        seat = pixel if boundary == "circular" else place
        here = 0
        for k in itertools.product(*map(range, grid)):
            weight = np.prod([tent(g, j, a) for g, j, a in zip(nodes, k, seat)])
            here = here + weight * psfs[k]
        for tap in itertools.product(*map(range, window)):
            to = tuple(a + t - c for a, t, c in zip(place, tap, center))
            if all(0 <= i < n for i, n in zip(to, x.shape)):
                y[to] += here[tap] * x[tuple(pixel)]
    if boundary == "valid":
        inside = [slice(k - 1 - c, n - c) for k, n, c in zip(window, x.shape, center)]
        return y[tuple(inside)]
    return y


@pytest.mark.parametrize("case", fast_if(CASES, ("2-D", "nodes")))
def test_equals_the_definition_and_the_adjoint_is_exact(case, rng):
    shape, grid, window, center, nodes = CASES[case]
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    psfs = rng.normal(size=(*grid, *window)).astype(np.float32)
    blurs = {
        boundary: VaryingBlur(psfs, shape, boundary, nodes=nodes, center=center)
        for boundary in BOUNDARIES
    }
    for name, (y, gap) in values_and_adjoint_errors(blurs, x, rng).items():
        expected = varying(x[1].astype(float), psfs, name, center, nodes)
        np.testing.assert_allclose(y[1], expected, atol=2e-5, err_msg=name)
        assert gap < 1e-6, name


def test_equal_psfs_are_a_uniform_blur_and_flux_is_kept(rng):
    x = rng.random((24, 20)).astype(np.float32)
    kernel = psf.gaussian(1.2, (7, 5))
    same = jnp.broadcast_to(kernel, (3, 3, 7, 5))

    @jax.jit
    def both(x):
        blurs = [Blur(kernel, x.shape, boundary) for boundary in BOUNDARIES]
        grids = [VaryingBlur(same, x.shape, boundary) for boundary in BOUNDARIES]
        return [(blur(x), grid(x)) for blur, grid in zip(blurs, grids)]

    for expected, y in both(x):
        np.testing.assert_allclose(y, expected, atol=1e-6)
    widths = (0.5, 1.0, 1.5, 2.0)
    different = jnp.stack([psf.gaussian(w, (9, 9)) for w in widths]).reshape(2, 2, 9, 9)
    flux = VaryingBlur(different, x.shape, "circular")(x).sum()
    np.testing.assert_allclose(flux, x.sum(), rtol=1e-5)


@pytest.mark.slow
def test_float64_and_complex_images(rng):
    with jax.enable_x64(True):
        psfs = rng.normal(size=(2, 2, 4, 3))
        for boundary in ("circular", "reflect"):
            blur = VaryingBlur(psfs, (10, 9), boundary)
            x = rng.normal(size=(10, 9)) + 1j * rng.normal(size=(10, 9))
            y = rng.normal(size=blur.output_shape) + 1j
            assert adjoint_error(blur, blur.adjoint, x, y, hermitian=True) < 1e-13


@pytest.mark.slow
def test_gradient_to_the_psfs_and_strict_types(rng):
    x = jnp.asarray(rng.normal(size=(12, 12)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(12, 12)), jnp.float32)

    def loss(std):
        psfs = jnp.stack([psf.gaussian(std, (5, 5)), psf.gaussian(1.5, (5, 5))])
        return jnp.sum(weights * VaryingBlur(psfs[None], (12, 12))(x))

    with jax.numpy_dtype_promotion("strict"):
        slope = jax.grad(loss)(1.0)
    step = 1e-2
    expected = (loss(1 + step) - loss(1 - step)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-2)


@pytest.mark.parametrize("method", ["area", "stride"])
def test_subsampled(method, rng):
    x = rng.normal(size=(3, 12, 15)).astype(np.float32)
    for boundary in ("zero", "circular"):
        blur = Blur(rng.normal(size=(3, 4)).astype(np.float32), (12, 15), boundary)
        coarse = Subsampled(blur, (2, 5), method=method)
        fine = np.asarray(blur(x))
        expected = fine[:, ::2, ::5]
        if method == "area":
            expected = fine.reshape(3, 6, 2, 3, 5).mean((2, 4))
        assert coarse.output_shape == (6, 3)
        np.testing.assert_allclose(coarse(x), expected, atol=1e-5)
        y = rng.normal(size=(3, 6, 3)).astype(np.float32)
        assert adjoint_error(coarse, coarse.adjoint, x, y) < 1e-6


def test_richardson_lucy_takes_an_operator(rng):
    """The true, varying blur does better than the best uniform one, of two images."""
    x = np.zeros((2, 48, 48), np.float32)
    for image in x:
        image[tuple(rng.integers(4, 44, size=(2, 25)))] = rng.uniform(50, 200, size=25)
    x += 1
    psfs = jnp.stack([psf.gaussian(w, (13, 13)) for w in (0.7, 1.2, 1.7, 2.2)])[None]
    blur = VaryingBlur(psfs, (48, 48), "valid")
    y = blur(x)
    seen = blur.crop(x)
    solution = richardson_lucy(y, blur, num_iters=60)
    assert solution.image.shape == y.shape
    uniform = richardson_lucy(y, psf.gaussian(1.45, (13, 13)), num_iters=60)
    error, other = (np.square(s.image - seen).mean() for s in (solution, uniform))
    assert error < 0.8 * other
    assert np.diff(solution.history[:, 0]).max() <= 0


def test_super_resolution_by_richardson_lucy(rng):
    """Two stars closer than a coarse pixel's blur tells are apart on the fine grid."""
    x = jnp.full((32, 32), 0.1).at[16, 13].set(100.0).at[16, 18].set(100.0)
    coarse = Subsampled(Blur(psf.gaussian(2.0), x.shape, "zero"), 2)
    solution = richardson_lucy(coarse(x), coarse, num_iters=300)
    row = np.asarray(solution.image[16])
    assert solution.image.shape == x.shape
    assert row[15] < 0.3 * min(row[12:15].max(), row[17:20].max())


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: VaryingBlur(np.ones((2, 3, 3)), (8, 8)),
            r"must be \[\*grid, \*window",
        ),
        (lambda: VaryingBlur(np.ones((2, 2, 9, 3)), (8, 8)), "no axis may be longer"),
        (lambda: VaryingBlur(np.ones((2, 3), int), (8,)), "must be real and floating"),
        (lambda: VaryingBlur(np.ones((2, 3)), (8,), "wrap"), "boundary='wrap'"),
        (lambda: VaryingBlur(np.ones((2, 3)), (8,), nodes=[[3, 1]]), "2 positions"),
        (lambda: VaryingBlur(np.ones((2, 3)), (8,), center=(3,)), "must be an index"),
        (lambda: VaryingBlur(np.ones((2, 3)), (8,))(jnp.ones(7)), "its last axes"),
        (lambda: Subsampled(Blur(np.ones(3), (8,)), 3), "must divide"),
        (lambda: Subsampled(Blur(np.ones(3), (8,)), 0), "must be 1 ints >= 1"),
        (lambda: Subsampled(Blur(np.ones(3), (8,)), 2, method="mean"), "one of area"),
        (
            lambda: richardson_lucy(jnp.ones(7), Blur(np.ones(3), (8,))),
            r"must be the operator's \(8,\)",
        ),
        (
            lambda: richardson_lucy(
                jnp.ones(8), Blur(np.ones(3), (8,)), boundary="zero"
            ),
            "an operator has its own",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
