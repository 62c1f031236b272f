import numpy as np
import pytest

from jdeconv import figures


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_grid_has_every_image_in_its_place(rng, gap, channels):
    images = rng.integers(0, 256, (2, 3, 5, 4, channels), dtype=np.uint8)
    sheet = figures.grid(images, gap=gap)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * 5 + gap, 3 * 4 + 2 * gap, 3)
    seen = np.zeros(sheet.shape, bool)
    for r in range(2):
        for c in range(3):
            y, x = r * (5 + gap), c * (4 + gap)
            np.testing.assert_array_equal(
                sheet[y : y + 5, x : x + 4], np.broadcast_to(images[r, c], (5, 4, 3))
            )
            seen[y : y + 5, x : x + 4] = True
    assert (sheet[~seen] == 255).all()


def test_grid_of_floats_is_clipped():
    sheet = figures.grid(np.array([-1.0, 0.5, 2.0]).reshape(1, 3, 1, 1, 1), gap=0)
    assert sheet[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("shape", [(2, 5, 4, 1), (0, 3, 5, 4, 1), (1, 1, 5, 4, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        figures.grid(np.zeros(shape))


def test_left_over_is_grey_and_cut_at_three_levels():
    residual = np.array([0.0, 1.0, -1.0, 0.0]).reshape(2, 2, 1)
    shown = figures.left_over(residual)[..., 0]
    level = 1 / (6 * residual.std())
    np.testing.assert_allclose(shown, [[0.5, 0.5 + level], [0.5 - level, 0.5]])
    assert (figures.left_over(np.zeros((2, 2, 1))) == 0.5).all()


def test_spectra_show_white_noise_flat_and_a_wave_where_it_is(rng):
    noise = 3 * rng.standard_normal((64, 96))
    wave = 50 * np.cos(2 * np.pi * 0.25 * np.arange(96)) * np.ones((64, 1))
    figure = figures.spectra({"noise": noise, "wave": wave})
    plain, peaked = figure.axes[0].lines
    frequencies, power = plain.get_data()
    assert frequencies[0] > 0 and frequencies[-1] == 0.5
    # The mean over a ring of n frequencies is known to 1 / sqrt(n), fading correlates.
    np.testing.assert_allclose(power[4:], 9.0, rtol=0.6)
    assert power[4:].mean() == pytest.approx(9.0, rel=0.1)
    assert frequencies[np.argmax(peaked.get_ydata())] == pytest.approx(0.25, abs=0.02)
    with pytest.raises(ValueError, match=r"cube has shape \(2, 2, 2\): must be"):
        figures.spectra({"cube": np.zeros((2, 2, 2))})


def test_convergence_draws_the_mean_of_a_batch(tmp_path):
    history = np.array([[4.0, 2.0], [2.0, 1.0], [np.nan, np.nan]])
    figure = figures.convergence({"plain": history, "one": np.array([3.0, 1.0])})
    axis = figure.axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [3.0, 1.5, np.nan])
    assert axis.get_yscale() == "log"
    figures.save_plot(figure, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_overlay_colours_areas_and_leaves_the_background():
    image = np.full((4, 6, 1), 100, np.uint8)
    labels = np.zeros((4, 6), int)
    labels[:3, 2:5] = 1
    labels[0, 0] = 255
    drawn = figures.overlay(image, labels, ignore=255)
    assert (drawn[labels == 0] == 100).all()
    color = np.array(figures.label_color(1))
    outline = [(0, 2), (1, 2), (2, 2), (2, 3), (2, 4), (1, 4), (0, 4)]
    for place in outline:
        np.testing.assert_array_equal(drawn[place], color)
    for place in [(0, 3), (1, 3)]:
        np.testing.assert_allclose(drawn[place], 55 + 0.45 * color, atol=1)
    assert drawn[0, 0].max() < 80
    with pytest.raises(ValueError, match=r"\(4, 5\): must be \(4, 6\)"):
        figures.overlay(image, labels[:, :5])


def test_colours_of_classes_differ():
    colors = [figures.label_color(k) for k in range(1, 34)]
    assert len(set(colors)) == 33


def test_segmentation_has_a_row_per_picture():
    image = np.zeros((3, 160, 170, 3), np.float32)
    truth = np.ones((3, 160, 170), np.uint8)
    sheet = figures.segmentation(image, truth, 0 * truth)
    assert sheet.shape == (8 + 23 + 3 * 168, 8 + 3 * 178, 3)


def test_top_patches_stand_beside_their_projections(rng):
    patches = rng.uniform(size=(3, 4, 5, 6, 3))
    projections = rng.normal(size=patches.shape)
    patches[0, 0, 0] = projections[0, 0, 0] = np.nan  # beyond the image
    sheet = figures.top_patches(patches, projections, columns=2, scale=2)
    assert sheet.shape == (2 * (2 * 11 + 8), 2 * (2 * (13 + 3 + 13) + 8), 3)
    small = sheet[::2, ::2]
    for start in (0, 16):
        assert (small[0, start : start + 6] == (204, 224, 255)).all()
    np.testing.assert_array_equal(small[1:5, :6], figures.to_uint8(patches[0, 0, 1:]))
    largest = np.nanmax(abs(projections[1]))
    expected = figures.to_uint8(0.5 + 0.5 * projections[1, 3] / largest)
    np.testing.assert_array_equal(small[6:11, 37 + 16 + 7 : 37 + 16 + 13], expected)
    assert (small[19:, 37:] == 255).all()  # no fourth feature map
    with pytest.raises(ValueError, match="patches has shape"):
        figures.top_patches(patches, projections[:2])
