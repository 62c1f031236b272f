"""The studies whose page is made from a record, and the yardstick of generation."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks import checkerboard, kernel_size, real_distance, upsampling
from jdeconv import models, nn, ops, train
from jdeconv.train.sweeps import read_sweep


def test_the_page_of_the_checkerboard_study_is_made_from_its_record():
    if not checkerboard.RESULT.exists():
        pytest.skip("the study has no record yet: python -m benchmarks.checkerboard")
    record = json.loads(checkerboard.RESULT.read_text())
    assert checkerboard.PAGE.read_text() == checkerboard.page(record)
    assert [c["variant"] for c in record["cells"]] == list(checkerboard.study.VARIANTS)
    assert checkerboard.PAGE.with_suffix(".png").stat().st_size > 10_000


def test_spectrum_shows_a_pattern_where_the_measure_looks_for_it(rng):
    rows, columns = np.mgrid[:32, :32]
    board = 0.3 * ((rows + columns) % 2)[None, ..., None]
    images = rng.random((4, 32, 32, 1)) + board
    drawn = checkerboard.spectrum(images)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (0, 0)  # -1/2, -1/2
    shares = checkerboard.energies(images.astype(np.float32))
    without = checkerboard.energies((images - board).astype(np.float32))
    assert shares["2"] > 0.1 > 0.05 > without["2"]


def test_real_images_are_near_real_images():
    pytest.importorskip("sklearn")
    config = train.default_config()
    config.data.source = "digits"
    config.data.test_split = "test[:60]"
    config.preprocess.size = (16, 16)
    found = real_distance.distance(config)
    assert 0 < found["swd"] < 60 and 0 < found["ms_ssim"] < 0.6


def test_the_page_of_the_kernels_is_made_from_its_record():
    record = json.loads(kernel_size.RESULT.read_text())
    page = kernel_size.ROOT / "docs" / "kernel_size.md"
    assert page.read_text() == kernel_size.page(record)
    cells, configs = read_sweep(kernel_size.CONFIG)
    found = [f"{c['window']}x{c['stride']}" for c in record["cells"]]
    assert found == [cell.name for cell in cells]
    for n in (0, 8, 17):
        cell, kept = cells[n], record["cells"][n]
        model = models.build(
            configs[cell.name].model,
            image_shape=kernel_size.IMAGE,
            num_classes=10,
            rngs=nnx.Rngs(0),
        )
        assert kernel_size.multiply_adds(model) == kept["multiply_adds"]


def test_ways_to_upsample_cost_what_their_page_says():
    _, configs = read_sweep(upsampling.CONFIG)
    cost = {n: upsampling.counts(upsampling.build(c)) for n, c in configs.items()}
    adds = {name: c["upsampling_multiply_adds"] for name, c in cost.items()}
    # Two layers of 32 channels to 32, on 7 x 7 and 14 x 14 entries.
    assert adds["transposed3"] == (49 + 196) * 9 * 32 * 32
    assert adds["transposed6"] == adds["subpixel3"] == adds["resize3"]
    assert adds["resize3"] == 4 * adds["transposed3"]
    same = {c["parameters"] - c["upsampling_parameters"] for c in cost.values()}
    assert len(same) == 1  # nothing else varies
    if upsampling.RESULT.exists():
        record = json.loads(upsampling.RESULT.read_text())
        assert upsampling.PAGE.read_text() == upsampling.page(record)
        assert [c["variant"] for c in record["cells"]] == list(configs)


def test_sub_pixel_convolution_is_a_transposed_one_of_twice_the_window(rng):
    deep = nn.SubPixelConv(2, 3, (3, 3), 2, use_bias=False, rngs=nnx.Rngs(0))
    x = jnp.asarray(rng.random((1, 4, 5, 2), np.float32))
    # [3, 3, in, (phase, phase, out)], tap t of phase r is tap 2 (1 - t) + r + 2.
    kernel = np.asarray(deep.conv.kernel[...]).reshape(3, 3, 2, 2, 2, 3)
    wide = np.zeros((6, 6, 3, 2), np.float32)
    for r in np.ndindex(2, 2):
        for t in np.ndindex(3, 3):
            place = tuple(2 * (1 - a) + b + 2 for a, b in zip(t, r))
            wide[place] = kernel[t][:, r[0], r[1]].T
    y = ops.conv_transpose(x, jnp.asarray(wide), strides=2)
    np.testing.assert_allclose(y, deep(x), atol=1e-5)
