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
