"""Point spread functions: sums, symmetry, moments, and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import psf


def moments(kernel, axis):
    """Mean and variance along an axis, from the centre."""
    center = (kernel.shape[axis] - 1) // 2
    at = np.arange(kernel.shape[axis]) - center
    others = tuple(a for a in range(kernel.ndim) if a != axis)
    weights = np.asarray(kernel, np.float64).sum(others)
    mean = (weights * at).sum()
    return mean, (weights * at**2).sum() - mean**2


def test_gaussian_has_its_standard_deviation():
    kernel = psf.gaussian((1.5, 2.5))
    np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-6)
    for axis, std in enumerate((1.5, 2.5)):
        mean, variance = moments(kernel, axis)
        assert abs(mean) < 1e-5
        np.testing.assert_allclose(variance, std**2, rtol=2e-3)
    assert psf.gaussian(1.0, num_axes=3).shape == (9, 9, 9)
    assert psf.gaussian(1.0, (4, 6)).argmax() == 1 * 6 + 2


def test_disk_has_its_area_and_motion_its_length():
    for radius in (2.0, 4.5):
        kernel = psf.disk(radius)
        np.testing.assert_allclose(kernel.sum(), 1, rtol=1e-6)
        np.testing.assert_allclose(1 / kernel.max(), np.pi * radius**2, rtol=0.05)
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-7)
    flat = psf.motion(9.0, 0.0)
    np.testing.assert_allclose(flat.sum(), 1, rtol=1e-6)
    row = flat[flat.shape[0] // 2]
    np.testing.assert_allclose(row.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(row[row > 1e-4], 1 / 9, rtol=1e-5)
    # Counter-clockwise as the picture is seen: row 0 is at the top.
    steep = psf.motion(9.0, 30.0)
    rows, columns = np.nonzero(np.asarray(steep) > 1e-4)
    assert np.corrcoef(rows, columns)[0, 1] < -0.5
    np.testing.assert_allclose(psf.motion(9.0, 90.0), flat.T, atol=1e-5)


def test_trajectory_keeps_its_length_in_the_frame_and_is_centred():
    keys = jax.random.split(jax.random.key(0), 20)
    paths = jax.vmap(lambda key: psf.trajectory(key, 20.0, (23, 23)))(keys)
    np.testing.assert_allclose(paths.sum((1, 2)), 1, rtol=1e-5)
    for path in paths:
        for axis in (0, 1):
            assert abs(moments(path, axis)[0]) < 1e-3  # nothing was cut off
    assert psf.trajectory(keys[0], 20.0).shape == (23, 23)
    straight = psf.trajectory(keys[1], 12.0, (15, 15), bend=0.0)
    spread = sum(moments(straight, axis)[1] for axis in (0, 1))
    # A segment's variance, and those of the tent in each axis: at most 1 / 4.
    assert 12**2 / 12 < spread < 12**2 / 12 + 0.5


@pytest.mark.parametrize(
    "make, at",
    [
        (lambda v: psf.gaussian(v, (7, 7)), 1.3),
        (lambda v: psf.disk(v, (9, 9)), 2.7),
        pytest.param(
            lambda v: psf.motion(v, 20.0, (9, 9)), 5.3, marks=pytest.mark.slow
        ),
        (lambda v: psf.motion(5.0, v, (9, 9)), 20.0),
        pytest.param(
            lambda v: psf.trajectory(jax.random.key(0), v, (9, 9)),
            5.3,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_derivatives(make, at):
    weights = jnp.asarray(np.random.default_rng(0).normal(size=make(at).shape))

    def loss(v):
        return jnp.sum(make(v) * weights.astype(jnp.float32))

    step = 1e-2
    slope = (loss(at + step) - loss(at - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(loss)(at), slope, rtol=0.05, atol=1e-4)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: psf.gaussian(0.0), "std=0.0: must be > 0"),
        (lambda: psf.gaussian((1.0, 2.0), (3, 3, 3)), "one number or 3"),
        (lambda: psf.trajectory(jax.random.key(0), 0.0), "length=0.0: must be > 0"),
        (lambda: psf.trajectory(jax.random.key(0), 5.0, bend=-1.0), "bend=-1.0"),
        (lambda: psf.trajectory(jax.random.key(0), 5.0, num_points=1), "must be >= 2"),
        (lambda: psf.disk(-1.0), "radius=-1.0: must be > 0"),
        (lambda: psf.disk(1.0, (3,)), "disk has two axes"),
        (lambda: psf.motion(float("nan"), 0.0), "length=nan: must be > 0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
