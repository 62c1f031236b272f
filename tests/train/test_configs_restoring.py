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


@pytest.mark.parametrize(
    "spec, legal",
    [
        ("dncnn_train400.py:abc", "a whole number or blind"),
        ("fsrcnn_t91.py:5", "2, 3 or 4"),
        ("espcn_t91.py:x", "2, 3 or 4"),
        ("vae_gan_mnist.py:64", "32"),
        ("enhance_photos.py:dark", "wide"),
    ],
)
def test_illegal_arguments_say_what_is_legal(spec, legal):
    with pytest.raises(ValueError, match=f"argument .*: must be {legal}"):
        train.read_config(f"configs/{spec}")
