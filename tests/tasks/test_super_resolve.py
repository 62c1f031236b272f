"""Super-resolution: the degradation, the numbers, and a run from config to colours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import data, tasks, train
from jdeconv.cli.process import process_images
from jdeconv.tasks.super_resolve import enlarge, shrink

KEYS = jax.random.split(jax.random.key(0), 2)


def test_bicubic_as_the_network_gains_nothing(rng):
    image = rng.integers(0, 256, (2, 18, 15, 1), dtype=np.uint8)
    task = tasks.SuperResolve(scale=3)

    def network(x):
        return enlarge(x, 3)

    loss, reported = task.loss(network, {"image": image}, KEYS, training=False)
    large = image / np.float32(255)
    small = shrink(jnp.asarray(large), 3)
    assert small.shape == (2, 6, 5, 1)
    np.testing.assert_allclose(255 * small, np.round(255 * small), atol=1e-4)
    error = (np.asarray(enlarge(small, 3)) - large)[:, 3:-3, 3:-3]
    np.testing.assert_allclose(loss, (error**2).mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(reported["psnr"], reported["bicubic_psnr"], rtol=1e-6)


def test_the_margin_is_left_out_of_training_alone(rng):
    image = rng.integers(0, 256, (2, 18, 18, 1), dtype=np.uint8)
    task = tasks.SuperResolve(scale=3, margin=2)

    def spoilt(x, key=None):
        y = enlarge(x, 3)
        return y.at[:, :6].add(1.0).at[..., -6:, :].add(1.0)

    for training in (True, False):
        ours, _ = task.loss(spoilt, {"image": image}, KEYS, training=training)
        clean, _ = task.loss(
            lambda x, key=None: enlarge(x, 3),
            {"image": image},
            KEYS,
            training=training,
        )
        assert np.allclose(ours, clean) == training
    task = tasks.SuperResolve(scale=3, margin=3)
    with pytest.raises(ValueError, match="margin=3 of patches of 6 x 6 small pixels"):
        task.loss(spoilt, {"image": image}, KEYS, training=True)
    with pytest.raises(ValueError, match="margin=0: must be >= 1"):
        tasks.SuperResolve(margin=0)


def test_refusals():
    with pytest.raises(ValueError, match="must be multiples of the scale, 3"):
        shrink(jnp.zeros((1, 8, 9, 1)), 3)
    with pytest.raises(ValueError, match="has mse, l1"):
        tasks.SuperResolve(loss_name="bce")
    config = train.default_config()
    config.task = "super_resolve"
    with pytest.raises(ValueError, match=r"needs a network with model.scale"):
        tasks.build(config, (12, 12, 1))
    task = tasks.SuperResolve(scale=2)
    with pytest.raises(ValueError, match="2 times its input"):
        task.loss(lambda x: x, {"image": np.zeros((2, 8, 8, 1))}, KEYS, training=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fsrcnn", "espcn"])
def test_a_run_of_the_config_enlarges_colours(name, tmp_path, rng):
    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
        picture = rng.integers(0, 256, (32, 32, 1), dtype=np.uint8)
        data.write_image(tmp_path / "set" / split / "a.png", picture)
    fields = {"data.source": f"folder:{tmp_path / 'set'}", "batch_size": "2"}
    fields |= {"duration": "1 steps", "eval_every": "1 steps"}
    config = train.read_config(f"configs/{name}_t91.py:2", fields)
    done = train.train_and_evaluate(config, tmp_path / "run")
    assert done["step"] == 1
    assert np.isfinite(done["test/psnr"])
    assert done["test/bicubic_psnr"] > 0
    photo = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    data.write_image(tmp_path / "photo.png", photo)
    written, failed = process_images(
        tmp_path / "photo.png", tmp_path / "run", tmp_path / "out"
    )
    assert not failed
    assert data.read_image(written[0]).shape == (18, 14, 3)
