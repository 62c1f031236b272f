"""Both measures against plain numpy and scipy, written from the definitions."""

import numpy as np
import pytest
from scipy import ndimage, signal, stats

from jdeconv import generative_metrics as gm

BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


@pytest.fixture
def digits():
    datasets = pytest.importorskip("sklearn.datasets")
    x = datasets.load_digits().images / 16 * 255  # 1797 of 8 x 8
    x = ndimage.zoom(x[:40], (1, 4, 4), order=1)
    return np.clip(np.round(x), 0, 255).astype(np.uint8)[..., None]


def pyramid(image, levels):
    """Of one grey image."""
    made = []
    for _ in range(levels - 1):
        smaller = ndimage.convolve(image, BINOMIAL, mode="constant")[::2, ::2]
        larger = np.kron(smaller, np.ones((2, 2)))[: image.shape[0], : image.shape[1]]
        made.append(image - ndimage.convolve(larger, BINOMIAL, mode="constant"))
        image = smaller
    return [*made, image]


def oracle_swd(x, y, sizes, seed):
    """Patch by patch and direction by direction, in three channels."""
    rng = np.random.default_rng(seed)
    result = {}
    for level, size in enumerate(sizes):
        sets = []
        for images in (x, y):
            levels = [
                pyramid(im[..., 0] / 127.5 - 1, len(sizes))[level] for im in images
            ]
            places = levels[0].shape[0] - 6, levels[0].shape[1] - 6
            rows = rng.integers(places[0], size=(len(images), 128))
            columns = rng.integers(places[1], size=(len(images), 128))
            patches = np.array(
                [
                    levels[n][r : r + 7, c : c + 7]
                    for n in range(len(images))
                    for r, c in zip(rows[n], columns[n])
                ]
            )
            patches = (patches - patches.mean()) / patches.std()
            sets.append(np.repeat(patches.reshape(-1, 1, 49), 3, axis=1))
        result[size] = []
        for _ in range(4):
            directions = rng.standard_normal((3, 49, 128))
            distances = []
            for d in range(128):
                unit = directions[..., d] / np.linalg.norm(directions[..., d])
                projected = [(patches * unit).sum((1, 2)) for patches in sets]
                distances.append(stats.wasserstein_distance(*projected))
            result[size].append(np.mean(distances))
    return result


def test_swd_is_that_of_the_definition(digits):
    x, y = digits[:4], digits[4:8, ::-1]
    found = gm.sliced_wasserstein(x, y, seed=3)
    expected = oracle_swd(x, y, (32, 16), seed=3)
    assert list(found) == [32, 16]
    for size, values in expected.items():
        np.testing.assert_allclose(found[size], values, rtol=1e-4)


def test_pyramid_of_odd_sizes_and_its_inverse(rng):
    x = rng.random((2, 70, 65, 1)).astype(np.float32)
    levels = gm.laplacian_pyramid(x)
    assert [level.shape[1:3] for level in levels] == [(70, 65), (35, 33), (18, 17)]
    for n in range(2):
        for ours, expected in zip(levels, pyramid(x[n, ..., 0], 3)):
            np.testing.assert_allclose(ours[n, ..., 0], expected, atol=1e-6)


def test_grey_is_three_equal_channels(digits):
    x, y = digits[:20], digits[20:]
    grey = gm.sliced_wasserstein(x, y)
    colour = gm.sliced_wasserstein(np.repeat(x, 3, -1), np.repeat(y, 3, -1))
    for size, values in grey.items():
        np.testing.assert_allclose(colour[size], values, rtol=1e-4)


def test_swd_grows_with_what_is_wrong(digits):
    x, y = digits[:20], digits[20:]

    def swd(z):
        return np.mean(list(gm.sliced_wasserstein(x, z).values()))

    noisy = np.random.default_rng(0).normal(y.astype(float), 40).clip(0, 255)
    blurred = ndimage.gaussian_filter(y.astype(float), (0, 2, 2, 0))
    assert swd(y) < 0.6 * min(
        swd(noisy.astype(np.uint8)), swd(blurred.astype(np.uint8))
    )
    assert swd(x) < swd(y)


def test_blank_images_give_a_finite_distance():
    blank = np.zeros((2, 16, 16, 1), np.uint8)
    assert gm.sliced_wasserstein(blank, blank)[16].tolist() == [0] * 4


def oracle_ms_ssim(x, y):
    """Of two grey images, in float64, by scipy."""
    weights = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]
    product = 1.0
    for scale, weight in enumerate(weights):
        size = min(11, *x.shape)
        at = np.arange(size) - (size - 1) / 2
        taps = np.exp(-(at**2) / (2 * (size * 1.5 / 11) ** 2))
        window = np.outer(taps, taps) / taps.sum() ** 2

        def mean(image, window=window):
            return signal.convolve2d(image, window, mode="valid")

        mx, my = mean(x), mean(y)
        contrast = (2 * (mean(x * y) - mx * my) + 58.5225) / (
            mean(x * x) - mx**2 + mean(y * y) - my**2 + 58.5225
        )
        ssim = contrast * (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)
        value = ssim.mean() if scale == 4 else contrast.mean()
        product *= max(value, 0) ** weight
        height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
        if scale < 4:
            x, y = (
                z[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
                for z in (x, y)
            )
    return product


def test_ms_ssim_is_that_of_the_definition(digits):
    x, y = digits[:6], digits[6:12]
    y = y.copy()
    y[0] = x[0] // 2 + 60
    for crop in (32, 28):
        a, b = x[:, :crop, :crop], y[:, :crop, :crop]
        expected = [
            oracle_ms_ssim(*(z[n, ..., 0] / 1.0 for z in (a, b))) for n in range(6)
        ]
        np.testing.assert_allclose(gm.ms_ssim(a, b), expected, rtol=2e-3, atol=2e-4)
    assert max(expected) > 0.8 and min(expected) == 0
    np.testing.assert_allclose(gm.ms_ssim(x, x), 1, rtol=1e-4)


@pytest.mark.parametrize(
    "shape, dtype, message",
    [
        ((3, 16, 16, 1), np.uint8, r"\(4, 16, 16, 1\) and y \(3, 16, 16, 1\)"),
        ((4, 16, 16, 1), np.float32, "y has .*float32: must be"),
        ((4, 16, 16), np.uint8, r"must be \[N, H, W, C\]"),
    ],
)
def test_other_sets_are_refused(shape, dtype, message):
    x = np.zeros((4, 16, 16, 1), np.uint8)
    for measure in (gm.sliced_wasserstein, gm.ms_ssim):
        with pytest.raises(ValueError, match=message):
            measure(x, np.zeros(shape, dtype))


def test_images_too_small_for_patches_or_scales_are_refused():
    with pytest.raises(ValueError, match="below 7 pixels"):
        gm.sliced_wasserstein(*np.zeros((2, 1, 6, 16, 1), np.uint8))
    with pytest.raises(ValueError, match="below 16 pixels"):
        gm.ms_ssim(*np.zeros((2, 1, 15, 16, 1), np.uint8))
