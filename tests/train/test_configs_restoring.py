"""The configs of denoising: what they ask for, as numbers."""

import pytest
from flax import nnx

from jdeconv import models, tasks, train


def test_one_network_for_all_levels():
    for name, condition in (("dncnn_train400.py:blind", False), ("ffdnet", True)):
        spec = name if ".py" in name else f"{name}_train400.py"
        config = train.read_config(f"configs/{spec}")
        task = tasks.build(config, (40, 40, 1))
        assert task.degrade.noise_std == pytest.approx((0, 55 / 255))
        model = models.build(config.model, image_shape=(8, 8, 1), rngs=nnx.Rngs(0))
        assert hasattr(model, "condition") == condition


@pytest.mark.parametrize("level", [15, 25, 50])
def test_dncnn_sees_unclipped_noise_of_its_level(level):
    config = train.read_config(f"configs/dncnn_train400.py:{level}")
    task = tasks.build(config, (40, 40, 1))
    assert task.degrade.noise_std == pytest.approx(level / 255)
    assert task.degrade.clip is False
    assert task.is_degraded
    assert config.model.depth == 17
