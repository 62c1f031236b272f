"""Luma and MATLAB's bicubic against pairs that MATLAB made, and the published rows."""

import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import data, ops
from jdeconv.data import colors
from jdeconv.ops.resample import resize_matrix

# Set5, luma, cropped by the scale: Dong et al. 2016 and all since.
PUBLISHED = {2: 33.65, 3: 30.39, 4: 28.42}


def bicubic(image, size, border="mirror"):
    """imresize of 8-bit pixels `[H, W, C]`, rounded to 8 bits after each axis.

    So does MATLAB: it resizes uint8 one axis after the other, rows first.
    """
    for axis, new in enumerate(size):
        # The matrices of `resize`, in float64 and without compiling 60 shapes.
        weights = resize_matrix(
            image.shape[axis],
            new,
            method="cubic",
            align_corners=False,
            antialias=True,
            border=border,
        )
        y = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
        image = np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8)
    return image


def test_colors_there_and_back(rng):
    rgb = rng.random((5, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(
        colors.ycbcr_to_rgb(colors.rgb_to_ycbcr(rgb)), rgb, atol=2e-6
    )
    pixels = rng.integers(0, 256, (50, 50, 3), dtype=np.uint8)
    y = 255 * np.asarray(colors.rgb_to_ycbcr(pixels / np.float32(255)))[..., :1]
    assert np.abs(colors.luma(pixels) - y).max() <= 0.5 + 1e-3
    with pytest.raises(ValueError, match="must be 3"):
        colors.rgb_to_ycbcr(np.zeros((4, 1), np.float32))
    with pytest.raises(TypeError, match="uint8"):
        colors.luma(np.zeros((4, 3)))


@pytest.mark.parametrize("scale", PUBLISHED)
def test_bicubic_is_that_of_matlab(shared_data, scale):
    folder = shared_data / "sr_pairs" / "Set5" / f"image_SRF_{scale}"
    psnr = []
    for file in sorted(folder.glob("*_HR.png")):
        high = data.read_image(file)
        low = data.read_image(file.with_name(file.name.replace("_HR", "_LR")))
        size = low.shape[:2]
        # The pairs were made by a version that continued the edges.
        np.testing.assert_array_equal(bicubic(high, size, "edge"), low)
        luma = colors.luma(high)
        back = bicubic(bicubic(luma, size), luma.shape[:2]).astype(float)
        error = (back - luma)[scale:-scale, scale:-scale]
        psnr.append(10 * np.log10(255**2 / (error**2).mean()))
    assert len(psnr) == 5
    assert np.mean(psnr) == pytest.approx(PUBLISHED[scale], abs=0.02)


def test_mirrored_border_of_resize():
    x = jnp.arange(6.0)[:, None] ** 2
    once = {"method": "cubic", "antialias": True, "border": "mirror"}
    wide = jnp.concatenate([x[::-1], x, x[::-1]])
    whole = ops.resize(wide, (9,), **once)
    np.testing.assert_allclose(ops.resize(x, (3,), **once), whole[3:6], rtol=1e-5)
    with pytest.raises(ValueError, match="border='wrap': must be one of"):
        ops.resize(x, (3,), border="wrap")
