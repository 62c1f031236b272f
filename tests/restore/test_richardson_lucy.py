"""Richardson-Lucy: against scikit-image where that is right, and soundness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, psf, richardson_lucy
from tests.parameters import fast_if

skimage = pytest.importorskip("skimage", reason="the photograph is scikit-image's")


@pytest.fixture(scope="module")
def scene():
    from skimage import data

    return data.camera()[100:196, 180:276].astype(np.float32) / 255


def kernels():
    square = jnp.ones((4, 4)) / 16
    return {
        "gaussian": psf.gaussian(1.5),
        "motion": psf.motion(9.0, 30.0),
        "even": square,
    }


def rmse(a, b):
    return float(jnp.sqrt(jnp.mean((jnp.asarray(a) - b) ** 2)))


def test_equals_scikit_image_where_that_is_right():
    # Odd PSF, zeros beyond the frame, and nothing near the frame's edge.
    from skimage.restoration import richardson_lucy as peer

    rng = np.random.default_rng(0)
    truth = np.zeros((40, 40))
    truth[14:26, 14:26] = rng.random((12, 12))
    kernel = np.asarray(psf.gaussian(1.2, (7, 7)), np.float64)
    with jax.enable_x64(True):
        y = np.asarray(Blur(kernel, truth.shape, "zero")(truth)).clip(0)
        expected = peer(y, kernel, num_iter=30, clip=False)
        ours = richardson_lucy(y, kernel, boundary="zero", init=0.5, num_iters=30)
        np.testing.assert_allclose(ours.image, expected, atol=1e-4)


def test_a_real_volume_equals_a_float64_reference(shared_data):
    """Thirty iterations on the hollow bars, in float32 against numpy's float64."""
    import tifffile

    folder = shared_data / "microscopy" / "bars"
    truth, y, kernel = (
        np.asarray(tifffile.imread(folder / f"{name}.tif"), np.float64)
        for name in ("actual", "data", "kernel")
    )
    center = (16, 32, 32)
    kernel /= kernel.sum()
    otf = np.fft.fftn(np.roll(kernel, [-c for c in center], (0, 1, 2)))
    expected = np.full_like(y, y.mean())
    for _ in range(30):
        model = np.fft.ifftn(otf * np.fft.fftn(expected)).real
        expected *= np.fft.ifftn(otf.conj() * np.fft.fftn(y / model)).real
    ours = richardson_lucy(
        jnp.asarray(y, jnp.float32),
        jnp.asarray(kernel, jnp.float32),
        boundary="circular",
        center=center,
        num_iters=30,
    )
    np.testing.assert_allclose(ours.image, expected, atol=1e-4 * expected.max())

    def unlike(image):
        return np.linalg.norm(image * (truth * image).sum() / (image**2).sum() - truth)

    assert unlike(np.asarray(ours.image, np.float64)) < 0.9 * unlike(y)


SIZES = [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 6, 7))]


@pytest.mark.parametrize("size", SIZES)
def test_the_peak_stays_and_flux_is_kept(size):
    star = jnp.zeros((32, 32)).at[16, 16].set(100.0)
    kernel = psf.gaussian(1.0, (size, size))
    y = Blur(kernel, star.shape, "zero")(star)
    image = richardson_lucy(y, kernel, num_iters=50).image
    assert jnp.unravel_index(image.argmax(), image.shape) == (16, 16)
    np.testing.assert_allclose(image.sum(), y.sum(), rtol=0.01)


@pytest.mark.parametrize("name", kernels())
def test_a_cropped_scene_is_never_worse_than_its_input(name, scene):
    kernel = kernels()[name]
    blur = Blur(kernel, scene.shape, "valid")
    y = blur(scene)
    starts = [k - 1 - c for k, c in zip(kernel.shape, blur.center)]
    truth = scene[tuple(slice(a, a + n) for a, n in zip(starts, y.shape))]
    before = rmse(y, truth)
    errors = []
    for num_iters in (10, 50, 200):
        image = richardson_lucy(y, kernel, num_iters=num_iters).image
        assert image.shape == y.shape
        errors.append(rmse(image, truth))
    assert before > errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(
    "boundary",
    fast_if(["unknown", "circular", "zero", "reflect", "edge"], ("unknown", "zero")),
)
def test_zeros_and_constants(boundary):
    kernel = psf.gaussian(1.0, (5, 6))
    zeros = richardson_lucy(jnp.zeros((16, 17)), kernel, boundary=boundary)
    np.testing.assert_allclose(zeros.image, 0, atol=1e-20)
    if boundary != "zero":
        ones = richardson_lucy(jnp.ones((16, 17)), kernel, boundary=boundary)
        np.testing.assert_allclose(ones.image, 1, atol=1e-4)
    assert np.isfinite(zeros.history).all()


def test_acceleration_reaches_in_40_iterations_what_takes_200(scene):
    kernel = psf.gaussian(2.0)
    y = Blur(kernel, scene.shape, "valid")(scene)
    plain = richardson_lucy(y, kernel, num_iters=200).history
    fast = richardson_lucy(y, kernel, num_iters=41, acceleration="biggs-andrews")
    assert np.all(np.diff(plain) < 0)
    assert fast.history[40] <= plain[-1]


def test_stops_by_itself(scene):
    kernel = psf.gaussian(1.5)
    y = Blur(kernel, scene.shape, "valid")(scene)
    solution = jax.jit(lambda y: richardson_lucy(y, kernel, num_iters=99, stop=3e-3))(y)
    done = int(solution.num_iters)
    assert 3 < done < 99
    same = richardson_lucy(y, kernel, num_iters=done)
    np.testing.assert_allclose(solution.image, same.image, rtol=1e-4, atol=1e-5)
    assert np.isfinite(solution.history[:done]).all()
    assert np.isnan(solution.history[done:]).all()


def test_total_variation_and_background_help_with_noisy_counts(scene):
    kernel = psf.gaussian(1.5)
    rng = np.random.default_rng(0)
    clean = Blur(kernel, scene.shape, "valid")(scene) * 50
    counts = rng.poisson(clean + 20).astype(np.float32)
    inside = [
        slice((k - 1) // 2, (k - 1) // 2 + n) for k, n in zip((13, 13), clean.shape)
    ]
    truth = scene[tuple(inside)] * 50

    def error(**options):
        solution = richardson_lucy(counts, kernel, num_iters=60, **options)
        return rmse(solution.image, truth)

    plain = error(background=20.0)
    assert error(background=20.0, tv_weight=0.02) < 0.8 * plain
    assert plain < error()


@pytest.mark.parametrize("boundary", ["zero", "unknown"])
@pytest.mark.parametrize("acceleration", [None, "biggs-andrews"])
def test_on_whole_frames_it_is_the_same(boundary, acceleration, scene, monkeypatch):
    """With all that comes in the image's shape: mask, background, first estimate."""
    rng = np.random.default_rng(0)
    y = jnp.stack([scene[:48, :56], scene[48:, :56]]) + 0.2
    options = {
        "boundary": boundary,
        "acceleration": acceleration,
        "mask": rng.random(y.shape) > 0.05,
        "background": rng.uniform(0.1, 0.2, y.shape[1:]),
        "init": y + 0.1 if boundary == "zero" else None,
        "num_iters": 12,
    }
    kernel = psf.motion(12.0, 30.0)
    blur = Blur(kernel, y.shape[1:], "zero" if boundary == "zero" else "valid")
    assert blur.framed(one_thread=True) is not None
    framed = richardson_lucy(y, kernel, **options)
    monkeypatch.setattr(Blur, "framed", lambda *_, **__: None)
    jax.clear_caches()
    cut = richardson_lucy(y, kernel, **options)
    np.testing.assert_allclose(framed.image, cut.image, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(framed.history, cut.history, rtol=1e-3)
    assert framed.image.shape == cut.image.shape == y.shape


def test_masked_pixels_do_not_count(scene):
    kernel = psf.gaussian(1.0)
    y = Blur(kernel, scene.shape, "valid")(scene)
    mask = jnp.ones_like(y).at[30:33, 40].set(0)
    dead = y.at[30:33, 40].set(50.0)
    a = richardson_lucy(y, kernel, mask=mask).image
    b = richardson_lucy(dead, kernel, mask=mask, init=y.mean()).image
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_second_image_of_the_same_size_compiles_nothing(scene, caplog):
    kernel, other = psf.gaussian(1.0), scene[::-1]
    with jax.log_compiles():
        richardson_lucy(scene, kernel, num_iters=7)
        assert "_solve" in caplog.text
        caplog.clear()
        richardson_lucy(other, kernel, num_iters=7)
    assert "_solve" not in caplog.text


def test_batches_and_channels(scene):
    kernel = psf.gaussian(1.0)
    images = jnp.stack([scene[:40, :40], scene[40:80, 40:80], scene[20:60, :40]])
    one_by_one = [richardson_lucy(y, kernel).image for y in images]
    np.testing.assert_allclose(
        richardson_lucy(images, kernel).image, jnp.stack(one_by_one), atol=1e-5
    )
    colour = jnp.moveaxis(images, 0, -1)
    deblurred = richardson_lucy(colour, kernel, channel_axis=-1)
    np.testing.assert_allclose(deblurred.image, jnp.stack(one_by_one, -1), atol=1e-5)
    assert deblurred.history.shape == (30, 3)


def test_gradients(scene):
    y = jnp.asarray(scene[:16, :16]) + 0.1
    direction = jnp.asarray(np.random.default_rng(0).normal(size=y.shape), y.dtype)

    def loss(t):
        solution = richardson_lucy(
            y + t * direction,
            psf.gaussian(1.0 + t, (11, 11)),
            num_iters=5,
            acceleration="biggs-andrews",
            tv_weight=1e-3,
        )
        return jnp.sum(solution.image**2)

    step = 2e-3
    slope = (loss(step) - loss(-step)) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(0.0), slope, rtol=0.02)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": jnp.ones((8, 8), int)}, "y of int32: must be floating"),
        ({"y": jnp.ones((8, 8)).at[1, 2:4].set(jnp.nan)}, "y has 2 of 64 pixels"),
        ({"y": jnp.ones(8)}, "must have 1 to 1 axes"),
        ({"psf": -jnp.ones((3, 3))}, "psf: must be finite, not negative"),
        ({"psf": jnp.zeros((3, 3))}, "psf: must be finite, not negative"),
        ({"psf": jnp.ones((9, 3))}, "nor larger than the image"),
        ({"boundary": "wrap"}, "boundary='wrap': must be one of unknown"),
        ({"num_iters": 0}, "num_iters=0: must be >= 1"),
        ({"acceleration": "fast"}, "acceleration='fast': must be None or one of"),
        ({"tv_weight": -0.1}, "tv_weight=-0.1: must be >= 0"),
        ({"channel_axis": 2}, "channel_axis=2: y has shape"),
    ],
)
def test_bad_input(change, message):
    arguments = {"y": jnp.ones((8, 8)), "psf": jnp.ones((3, 3))} | change
    with pytest.raises(ValueError, match=message):
        richardson_lucy(arguments.pop("y"), arguments.pop("psf"), **arguments)
