"""The benchmarks on whole images: what they add, how they score, their tables."""

import types

import numpy as np
import pytest

from benchmarks import denoising, enhancement, tiles
from jdeconv.restore import psf


def test_noise_and_score_of_denoising(rng):
    clean = rng.integers(60, 200, (64, 80)).astype(np.uint8)
    y = denoising.noisy(clean, 25, 3)
    np.testing.assert_array_equal(y, denoising.noisy(clean, 25, 3))
    assert not np.allclose(y, denoising.noisy(clean, 25, 4))
    assert (255 * y - clean).std() == pytest.approx(25, rel=0.03)
    metrics = pytest.importorskip("skimage.metrics")
    shown = np.uint8(np.clip(np.floor(255 * y + 0.5), 0, 255))
    expected = metrics.peak_signal_noise_ratio(clean, shown)
    assert denoising.psnr(y, clean) == pytest.approx(expected)


def test_a_network_is_judged_at_the_levels_it_was_trained_for():
    def trained(noise_std):
        degrade = types.SimpleNamespace(noise_std=noise_std)
        return types.SimpleNamespace(config=types.SimpleNamespace(degrade=degrade))

    assert denoising.suits(trained(25 / 255), 25)
    assert not denoising.suits(trained(25 / 255), 15)
    found = [denoising.suits(trained((0.0, 0.1)), level) for level in (15, 25, 50)]
    assert found == [True, True, False]


def test_denoising_of_a_folder(tmp_path, rng):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "images" / "set12").mkdir(parents=True)
    for i in range(2):
        flat = np.full((32, 32), 80 + 60 * i, np.uint8)
        image.fromarray(flat).save(tmp_path / "images" / "set12" / f"{i}.png")
    found = denoising.run(["set12"], tmp_path, {})
    levels = [found["set12"][str(level)]["dct"]["0"] for level in denoising.LEVELS]
    assert levels == sorted(levels, reverse=True) and levels[-1] > 25
    lines = denoising.table({"sets": found}).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[-1].count("|") == 5
    with pytest.raises(FileNotFoundError, match="there are no images"):
        denoising.run(["bsd68"], tmp_path, {})


def test_networks_alone_keep_the_rows_of_the_others():
    assert set(denoising.methods({})) == {"total_variation", "dct", "bm3d"}
    assert not denoising.methods({}, networks_alone=True)
    old = {"set12": {"25": {"dct": {"0": 30.0}, "net": {"0": 29.0}}}}
    new = {"set12": {"25": {"net": {"0": 31.0}}}, "bsd68": {"25": {"net": {"0": 28.0}}}}
    found = denoising.merged(old, new)
    assert found["set12"]["25"] == {"dct": {"0": 30.0}, "net": {"0": 31.0}}
    assert found["bsd68"]["25"] == {"net": {"0": 28.0}}
    assert "| net |  | 31.00 |  |  | 28.00 |  |" in denoising.table({"sets": found})


def test_brightening_without_learning(rng):
    pytest.importorskip("skimage")
    clean = rng.uniform(0.2, 0.9, (48, 48, 3)).astype(np.float32)
    dark = clean**3
    assert enhancement.gamma(dark, 1.0).mean() == pytest.approx(0.45, abs=1e-4)
    # All values of the brightest channel are then equally frequent.
    flat = np.sort(enhancement.equalisation(dark, 1.0).max(-1).ravel())
    np.testing.assert_allclose(flat, np.linspace(0, 1, flat.size), atol=0.02)
    assert enhancement.clahe(dark / 4, 1.0).std() > 1.3 * (dark / 4).std()
    light = np.asarray(enhancement.to_linear(clean)) / 8
    given = np.asarray(enhancement.from_linear(light))
    np.testing.assert_allclose(enhancement.true_gain(given, 1 / 8), clean, atol=1e-5)
    shown = np.uint8(np.floor(clean * 255 + 0.5))
    off = np.float32(clean + 2 / 255)
    found = enhancement.scores(off, shown)
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 2), abs=0.1)
    assert 0.99 < found["ssim"] < 1
    score = {"psnr": 20.0, "ssim": 0.5}
    record = {"exposures": {"1/4": {"dark": {"a": score, "b": score}}}}
    assert enhancement.table(record).splitlines()[-1] == "| 1/4 | 20.00 (0.500) |"


@pytest.mark.slow
def test_blocks_are_compared_with_the_whole():
    pytest.importorskip("skimage")
    y = tiles.blurred(600, np.asarray(psf.gaussian(2.0)))
    assert y.shape == (600, 600) and y.dtype == np.float32
    found = tiles.difference("wiener", "gaussian", 256)
    assert found["blocks"] >= 4
    assert 0 < found["inside"] <= found["everywhere"] < 0.05
    assert found["rms"] < found["everywhere"]
    gap = {"inside": 1e-4, "everywhere": 1e-3, "border": 9}
    memory = {"bytes": 5e8, "seconds": 12.0}
    method = {"memory": memory, "difference": dict.fromkeys(tiles.KERNELS, gap)}
    record = {"size": 4096, "compared": 1024, "methods": {"wiener": method}}
    assert "| wiener | 0.50 | 12 | 1.0e-04 (1.0e-03; 9 px) |" in tiles.table(record)
