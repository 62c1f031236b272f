"""Measured PSFs: drawn beads and a real volume; regridding; PSFs by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import Blur, psf

BEADS = ((20.3, 25.7), (60.8, 30.1), (40.5, 70.5))
PAIR = ((75.2, 76.4), (80.0, 80.0))  # too near to each other


def beads(shape, places, std, heights=None, background=10.0):
    axes = [np.arange(n, dtype=float) for n in shape]
    image = np.full(shape, background)
    for place, height in zip(places, heights or [1000.0] * len(places)):
        lines = [np.exp(-((a - p) ** 2) / 2 / std**2) for a, p in zip(axes, place)]
        image += height * np.multiply.reduce(np.meshgrid(*lines, indexing="ij"))
    return image


def test_beads_that_stand_alone_are_found(rng):
    image = beads((96, 96), BEADS + PAIR, 1.4, [800.0, 1000.0, 900.0, 700.0, 650.0])
    image[1, 50] = 900  # at the border
    found = psf.find_beads(rng.poisson(image), (15, 15))
    near = [np.abs(found - b).max(axis=1).argmin() for b in BEADS]
    assert len(found) == 3 and near == [2, 0, 1]
    np.testing.assert_allclose(found[near], BEADS, atol=0.8)


@pytest.mark.parametrize("shape", [(15, 15), (16, 13)])
def test_a_bead_between_pixels_comes_to_the_centre(shape):
    image = beads((96, 96), BEADS, 1.4)
    kernel = psf.from_beads(image, shape)
    expected = psf.gaussian(1.4, shape)
    assert kernel.shape == shape and kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel, expected, atol=1e-3 * expected.max())
    again = psf.from_beads(image, shape, positions=[(20, 26)], background=10.0)
    np.testing.assert_allclose(again, expected, atol=1e-3 * expected.max())


def test_more_beads_and_the_radial_average_take_noise_away(rng):
    places = [
        (12 + 20 * i + 0.3 * j, 12 + 20 * j + 0.4) for i in range(5) for j in range(5)
    ]
    image = rng.poisson(beads((112, 112), places, 1.6, [150.0] * 25)).astype("f4")
    expected = psf.gaussian(1.6, (13, 13))

    def error(kernel):
        return float(jnp.linalg.norm(kernel - expected) / jnp.linalg.norm(expected))

    one = error(psf.from_beads(image, (13, 13), positions=[(12, 12)]))
    all_ = error(psf.from_beads(image, (13, 13)))
    round_ = error(psf.from_beads(image, (13, 13), radial=True))
    assert all_ < 0.4 * one
    assert round_ < 0.7 * all_


def test_a_volume_of_beads():
    image = beads((21, 40, 42), [(10.3, 12.6, 13.2), (9.8, 28.4, 30.0)], 1.5)
    kernel = psf.from_beads(image, (9, 11, 11))
    expected = psf.gaussian(1.5, (9, 11, 11))
    np.testing.assert_allclose(kernel, expected, atol=5e-3 * expected.max())


def test_radial_average_is_a_projection_that_keeps_round_ones_and_sums(rng):
    for kernel in (psf.gaussian(1.5, (17, 17)), psf.airy(0.52, 1.4, 0.06, (25, 24))):
        np.testing.assert_allclose(
            psf.radial_average(kernel), kernel, atol=3e-3 * kernel.max()
        )
    noisy = jnp.asarray(rng.random((3, 14, 15)), jnp.float32)
    once = psf.radial_average(noisy)
    np.testing.assert_allclose(once.sum((1, 2)), noisy.sum((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(psf.radial_average(once), once, atol=1e-4)
    np.testing.assert_allclose(once[:, 6, 4], once[:, 9, 7], rtol=1e-5)


def test_resampled():
    fine = psf.resample(psf.gaussian(2.0, (17, 17)), 0.2, 0.1)
    expected = psf.gaussian(4.0, (33, 33))
    np.testing.assert_allclose(fine, expected, atol=0.01 * expected.max())
    coarse = psf.resample(psf.gaussian((3.0, 4.0)), (0.1, 0.1), (0.1, 0.2))
    expected = psf.gaussian((3.0, 2.0), coarse.shape)
    np.testing.assert_allclose(coarse, expected, atol=0.01 * expected.max())
    # An even size, its centre given, onto a grid that has it in the middle.
    shifted = jnp.roll(psf.gaussian(2.0, (20, 20)), (1, 1), (0, 1))
    same = psf.resample(shifted, 1.0, 1.0, (17, 17), center=(10, 10))
    np.testing.assert_allclose(same, psf.gaussian(2.0, (17, 17)), atol=1e-4)


def test_cropped():
    kernel = psf.gaussian((1.0, 3.0), (31, 41))
    small = psf.crop(kernel, 0.99)
    rows, columns = small.shape
    kept = kernel[
        15 - rows // 2 : 16 + rows // 2, 20 - columns // 2 : 21 + columns // 2
    ]
    assert kept.sum() >= 0.99 and kept.size < 0.2 * kernel.size
    assert columns > 2 * rows
    np.testing.assert_allclose(small, kept / kept.sum(), rtol=1e-5)
    # No smaller box has the light: either pair of faces is needed.
    assert kept[1:-1].sum() < 0.99 and kept[:, 1:-1].sum() < 0.99
    one = jnp.zeros((4, 4)).at[3, 0].set(2.0)
    assert psf.crop(one, 1.0, center=(3, 0)).tolist() == [[1.0]]


def test_the_bars_psf_cropped_about_its_centre_explains_the_data(shared_data):
    """Real file: its PSF has its centre at n // 2, which is not the default."""
    import tifffile

    folder = shared_data / "microscopy" / "bars"
    scene, data, kernel = (
        jnp.asarray(tifffile.imread(folder / f"{name}.tif"), jnp.float32)
        for name in ("actual", "data", "kernel")
    )

    def unexplained(small):
        model = Blur(small, scene.shape, "circular")(scene)
        model = model * jnp.sum(model * data) / jnp.sum(model**2)
        return float(jnp.linalg.norm(model - data) / jnp.linalg.norm(data))

    # The frame is 32 planes; a box about plane 16 that reaches both ends has 33.
    whole = psf.crop(kernel, 1.0, center=(16, 32, 32))
    assert whole.shape[0] == 33
    right = unexplained(psf.crop(kernel, 0.99, center=(16, 32, 32))[1:-1])
    wrong = unexplained(psf.crop(kernel, 0.99)[1:-1])
    # The rest is noise, and what the scene has beyond the frame.
    assert right < 0.16 and wrong > 1.5 * right


def test_by_name():
    for text, expected in {
        "gaussian:2.5": psf.gaussian(2.5),
        "Gaussian:1,2,shape=9x11": psf.gaussian((1.0, 2.0), (9, 11)),
        "gaussian:1,num-axes=3": psf.gaussian(1.0, num_axes=3),
        "motion:15,30": psf.motion(15.0, 30.0),
        "disk: radius = 4": psf.disk(4.0),
        "airy:0.52,1.4,pixel_size=0.1": psf.airy(0.52, 1.4, 0.1),
        "born_wolf:wavelength=.5,na=.8,pixel-size=.2,z-step=1,ni=1,shape=3x9x9": (
            psf.born_wolf(
                (3, 9, 9), wavelength=0.5, na=0.8, pixel_size=0.2, z_step=1.0, ni=1.0
            )
        ),
        "zernike:wavelength=0.5,na=1,pixel_size=0.1,z5=0.1,shape=9x9": psf.aberrated(
            {5: 0.1}, (9, 9), wavelength=0.5, na=1.0, pixel_size=0.1
        ),
    }.items():
        np.testing.assert_array_equal(psf.parse(text), expected, err_msg=text)


@pytest.mark.parametrize(
    "text, message",
    [
        ("gauss:1", "must be one of gaussian, motion, disk, airy, telescope"),
        ("gaussian", "std must be given"),
        ("gaussian:a", "'a': must be a finite number"),
        ("gaussian:1,num_axes=2.5", "num_axes is '2.5': must be an integer"),
        ("motion:1", "angle must be given"),
        ("disk:1,2", r"at most 1 values without a name \(radius\)"),
        ("disk:1,radius=2", "radius is given twice"),
        ("disk:-1", "radius=-1.0: must be > 0"),
        ("disk:4,shape=3by3", "must be sizes such as 33x33"),
        ("airy:size=1", "must be one of wavelength, na, pixel_size, shape"),
        ("gibson-lanni:1", "write KEY=VALUE"),
        ("gibson-lanni:na=1.4", "wavelength, pixel_size, z_step must be given"),
        ("zernike:z5=1,z5=2", "z5 is given twice"),
    ],
)
def test_bad_names(text, message):
    with pytest.raises(ValueError, match=message):
        psf.parse(text)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: psf.find_beads(np.ones((9, 9)), (7, 7)), "by at least 4 smaller"),
        (lambda: psf.find_beads(np.ones((9, 9)), (3,)), "must have 2 axes"),
        (lambda: psf.find_beads(np.ones((9, 9)), (3, 3), threshold=1.0), "in .0, 1."),
        (lambda: psf.find_beads(np.full((9, 9), np.nan), (3, 3)), "81 pixels that are"),
        (lambda: psf.from_beads(np.ones((9, 9)), (3, 3)), "no bead that stands alone"),
        (
            lambda: psf.from_beads(np.ones((9, 9)), (5, 5), positions=[(1, 4)]),
            "must lie within the image",
        ),
        (
            lambda: psf.from_beads(np.ones((9, 9)), (3, 3), positions=[(4, 4)]),
            "no light above the background",
        ),
        (lambda: psf.radial_average(jnp.ones(3)), "two axes or more"),
        (lambda: psf.resample(jnp.ones((3, 3)), 0.0, 1.0), "spacing=0.0: must be > 0"),
        (lambda: psf.resample(jnp.ones((3, 3)), 1.0, (1.0,)), "one number or 2"),
        (lambda: psf.crop(jnp.ones((3, 3)), 1.1), r"energy=1.1: must be in \(0, 1\]"),
        (lambda: psf.crop(jnp.ones((3, 3)), center=(3, 0)), "must be an index into"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
