"""The configs of denoising: what they ask for, as numbers."""

import pytest

from jdeconv import tasks, train


@pytest.mark.parametrize("level", [15, 25, 50])
def test_dncnn_sees_unclipped_noise_of_its_level(level):
    config = train.read_config(f"configs/dncnn_train400.py:{level}")
    task = tasks.build(config, (40, 40, 1))
    assert task.degrade.noise_std == pytest.approx(level / 255)
    assert task.degrade.clip is False
    assert task.is_degraded
    assert config.model.depth == 17
