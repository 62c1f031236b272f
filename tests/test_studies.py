"""The studies whose page is made from a record, and the yardstick of generation."""

import json

import numpy as np
import pytest

from benchmarks import checkerboard, real_distance
from jdeconv import train


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
