"""Blur: a numpy loop as the oracle, the inner-product test, and bad arguments."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import adjoint_error, fourier
from jdeconv.restore import Blur, bands, psf
from tests.parameters import fast_if
from tests.restore.operators import values_and_adjoint_errors

NUMPY_MODE = {
    "circular": "wrap",
    "zero": "constant",
    "reflect": "reflect",
    "edge": "edge",
}
BOUNDARIES = (*NUMPY_MODE, "valid")
# Image, PSF, centre: odd and even sizes, one to three axes, a centre in a corner.
CASES = {
    "odd": ((9, 8), (3, 5), None),
    "even": ((7, 8), (4, 2), None),
    "corner": ((8, 9), (3, 4), (0, 3)),
    "1-D": ((17,), (6,), None),
    "3-D": ((5, 6, 7), (3, 2, 4), None),
}

SLOWLY_DIRECT = [pytest.param("direct", marks=pytest.mark.slow), "fft"]


def blurred(x, kernel, boundary, center):
    """By the definition, one tap after the other."""
    if center is None:
        center = tuple((k - 1) // 2 for k in kernel.shape)
    sizes = x.shape
    if boundary == "valid":
        sizes = tuple(n - k + 1 for n, k in zip(x.shape, kernel.shape))
    else:
        margins = [(k - 1 - c, c) for k, c in zip(kernel.shape, center)]
        x = np.pad(x, margins, mode=NUMPY_MODE[boundary])
    y = np.zeros(sizes, np.result_type(x, kernel))
    for tap in itertools.product(*map(range, kernel.shape)):
        starts = [k - 1 - t for k, t in zip(kernel.shape, tap)]
        y += kernel[tap] * x[tuple(slice(a, a + n) for a, n in zip(starts, sizes))]
    return y


@pytest.mark.parametrize("case", fast_if(CASES, ("odd", "even", "1-D")))
def test_equals_the_definition_and_the_adjoint_is_exact(case, rng):
    shape, window, center = CASES[case]
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    kernel = rng.normal(size=window).astype(np.float32)
    blurs = {
        (boundary, method): Blur(kernel, shape, boundary, center=center, method=method)
        for boundary, method in itertools.product(BOUNDARIES, ("direct", "fft"))
    }
    for name, (y, gap) in values_and_adjoint_errors(blurs, x, rng).items():
        expected = [blurred(image, kernel, name[0], center) for image in x]
        np.testing.assert_allclose(y, expected, atol=2e-5, err_msg=str(name))
        assert gap < 1e-6, name


@pytest.mark.parametrize("center", [None, (0, 4)])
def test_large_images_go_by_bands_that_no_one_sees(center, rng, monkeypatch):
    limits = bands._ALWAYS._replace(height=16, pixels=1, overlaps=2)
    monkeypatch.setattr(bands, "_ALWAYS", limits)
    shape = (101, 14)
    x = rng.normal(size=(2, *shape)).astype(np.float32)
    kernel = rng.normal(size=(6, 5)).astype(np.float32)
    blurs = {
        boundary: Blur(kernel, shape, boundary, center=center, method="fft")
        for boundary in BOUNDARIES
    }
    for boundary, (y, gap) in values_and_adjoint_errors(blurs, x, rng).items():
        assert len(blurs[boundary]._ends) > 4, boundary
        expected = [blurred(image, kernel, boundary, center) for image in x]
        np.testing.assert_allclose(y, expected, atol=2e-5, err_msg=boundary)
        assert gap < 1e-6, boundary


@pytest.mark.parametrize(("size", "center"), [((9, 8), None), ((8, 9), (0, 7))])
def test_what_is_seen_of_each_pixel_is_the_adjoint_of_ones(size, center, rng):
    kernel = rng.normal(size=size).astype(np.float32)
    for boundary, method in itertools.product(BOUNDARIES, ("direct", "fft")):
        blur = Blur(kernel, (13, 18), boundary, center=center, method=method)
        expected = blur.adjoint(jnp.ones(blur.output_shape))
        np.testing.assert_allclose(blur.seen(), expected, atol=2e-5, err_msg=boundary)


@pytest.mark.parametrize("boundary", ["zero", "valid"])
@pytest.mark.parametrize(("size", "center"), [((9, 8), None), ((8, 9), (0, 7))])
def test_on_whole_frames_with_zeros_around_it_is_the_same(boundary, size, center, rng):
    kernel = rng.normal(size=size).astype(np.float32)
    blur = Blur(kernel, (23, 31), boundary, center=center, method="fft")
    frame = blur.framed(one_thread=True)
    assert isinstance(frame, Blur)

    def filled_up(image, shape):
        margins = [(0, m - n) for n, m in zip(image.shape[1:], shape)]
        return np.pad(image, [(0, 0), *margins])

    def start(image, shape):
        return image[:, : shape[0], : shape[1]]

    x = rng.normal(size=(2, *blur.shape)).astype(np.float32)
    found = start(frame(filled_up(x, frame.shape)), blur.output_shape)
    np.testing.assert_allclose(found, blur(x), atol=2e-5)
    y = rng.normal(size=(2, *blur.output_shape)).astype(np.float32)
    found = start(frame.adjoint(filled_up(y, frame.shape)), blur.shape)
    np.testing.assert_allclose(found, blur.adjoint(y), atol=2e-5)


def test_no_frame_where_it_is_none_or_slower():
    kernel = np.ones((9, 9), np.float32)
    for boundary in ("circular", "reflect", "edge"):
        assert Blur(kernel, (32, 32), boundary).framed(one_thread=False) is None
    direct = Blur(kernel, (32, 32), "zero", method="direct")
    assert direct.framed(one_thread=False) is None
    large = Blur(kernel, (1100, 1100), "valid")
    assert large._ends and large.framed(one_thread=False) is None
    middle = Blur(kernel, (384, 384), "zero")  # bands for one thread, by jax 0.10
    assert middle.framed(one_thread=False) is not None
    assert (middle.framed(one_thread=True) is None) == bool(middle._ends)


def test_the_rows_of_bands():
    shapes = [(1024, 1024), (1999, 1200), (4096, 4096), (1500, 100_000)]
    for (num_rows, width), window in itertools.product(shapes, (2, 9, 32)):
        ends = bands.bands((num_rows, width), window, "valid")
        heights = np.diff(ends)
        assert ends[0] == 0 and ends[-1] == num_rows, ends
        assert min(heights) >= window - 1, ends
        frames = [fourier.fast_size(int(n) + window - 1) for n in heights]
        assert frames[0] != frames[1], ends
        assert sum(frames) < 1.2 * num_rows, ends
    for small in ((512, 512), (1023, 1023), (10_000, 64)):
        assert bands.bands(small, 9, "valid") == ()


@pytest.mark.skipif(jax.__version_info__ >= (0, 11), reason="of older jax")
def test_images_with_zeros_beyond_go_by_two_bands(rng):
    for shape, window in itertools.product([(384, 384), (512, 700)], (9, 25)):
        ends = bands.bands(shape, window, "zero")
        low, high = (fourier.fast_size(int(n) + window - 1) for n in np.diff(ends))
        assert low < high and ends[-1] == shape[0], ends
    assert bands.bands((256, 256), 9, "zero") == ()
    x, y = rng.random((2, 384, 384)).astype(np.float32)
    kernel = rng.random((9, 9)).astype(np.float32)
    cut = Blur(kernel, x.shape, "zero")
    assert len(cut._ends) == 3
    whole = Blur(kernel, (392, 392), "valid")  # of an image with zeros around
    assert not whole._ends
    np.testing.assert_allclose(cut(x), whole(np.pad(x, 4)), atol=1e-4)
    expected = whole.adjoint(y)[4:-4, 4:-4]
    np.testing.assert_allclose(cut.adjoint(y), expected, atol=1e-4)


@pytest.mark.parametrize("method", SLOWLY_DIRECT)
def test_float64(method, rng):
    with jax.enable_x64(True):
        x, kernel = rng.normal(size=(9, 8)), rng.normal(size=(4, 3))
        for boundary in BOUNDARIES:
            blur = Blur(kernel, x.shape, boundary, method=method)
            y = rng.normal(size=blur.output_shape)
            assert adjoint_error(blur, blur.adjoint, x, y) < 1e-13
            expected = blurred(x, kernel, boundary, None)
            np.testing.assert_allclose(blur(x), expected, atol=1e-12)


@pytest.mark.parametrize("method", SLOWLY_DIRECT)
@pytest.mark.parametrize("complex_psf", [True, False])
def test_complex_images_and_psfs(method, complex_psf, rng):
    def draw(shape):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype("c8")

    x, kernel = draw((2, 8, 9)), draw((3, 4))
    if not complex_psf:
        kernel = kernel.real
    for boundary in BOUNDARIES:
        blur = Blur(kernel, (8, 9), boundary, method=method)
        y = blur(x)
        expected = [blurred(image, kernel, boundary, None) for image in x]
        np.testing.assert_allclose(y, expected, atol=5e-5)
        other = draw(y.shape)
        assert adjoint_error(blur, blur.adjoint, x, other, hermitian=True) < 1e-6


def test_a_pytree_with_a_gradient_to_the_psf(rng):
    x = jnp.asarray(rng.normal(size=(16, 16)), jnp.float32)
    target = Blur(psf.gaussian(1.5, (9, 9)), x.shape)(x)

    def loss(std):
        return jnp.sum((Blur(psf.gaussian(std, (9, 9)), x.shape)(x) - target) ** 2)

    step = 1e-2
    slope = (loss(1.2 + step) - loss(1.2 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(loss)(1.2), slope, rtol=1e-2)
    blur = Blur(psf.gaussian(1.5), x.shape)
    leaves, tree = jax.tree.flatten(blur)
    again = jax.tree.unflatten(tree, leaves)
    np.testing.assert_array_equal(again(x), blur(x))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"boundary": "wrap"}, "boundary='wrap': must be one of circular"),
        ({"method": "fast"}, "method='fast': must be one of auto"),
        ({"psf": np.ones((3, 3), int)}, "psf of int"),
        ({"psf": np.ones(3)}, "must have 2 axes"),
        ({"psf": np.ones((9, 3))}, "none longer than in the image's"),
        ({"psf": np.ones((0, 3))}, "none empty"),
        ({"center": (3, 0)}, "must be an index into the psf"),
    ],
)
def test_bad_arguments(change, message):
    arguments = {"psf": np.ones((3, 3)), "shape": (8, 8)} | change
    with pytest.raises(ValueError, match=message):
        Blur(arguments.pop("psf"), arguments.pop("shape"), **arguments)


def test_bad_images():
    blur = Blur(np.ones((3, 3)), (8, 8))
    with pytest.raises(ValueError, match=r"its last axes must be \(8, 8\)"):
        blur(jnp.ones((8, 7)))
    with pytest.raises(ValueError, match="image of int32: must be floating"):
        blur(jnp.ones((8, 8), int))
    with pytest.raises(ValueError, match="its last axes must be"):
        Blur(np.ones((3, 3)), (8, 8), "valid").adjoint(jnp.ones((8, 8)))
