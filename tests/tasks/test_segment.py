"""The task of segmentation: what it minimises, reports and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import segmentation_metrics, tasks, train
from jdeconv.data import Preprocess
from jdeconv.data.sources.masks import IGNORE
from jdeconv.tasks import Segment

KEYS = jax.random.split(jax.random.key(0), 3)


@pytest.fixture
def batch(rng):
    mask = rng.integers(0, 2, (3, 8, 8)).astype(np.uint8)
    mask[0, :2] = IGNORE
    image = rng.integers(0, 256, (3, 8, 8, 1)).astype(np.uint8)
    return {"image": image, "mask": mask}


def model(x, key=None):
    """Claims class 1 where the pixel is brighter than the middle."""
    del key
    return jnp.concatenate([jnp.zeros_like(x), x - 0.5], -1)


def loss(batch, training=False, **options):
    return Segment(**options).loss(model, batch, KEYS, training=training)


def test_losses_are_cross_entropy_dice_and_their_sum(batch):
    logits = model(jnp.asarray(batch["image"]) / 255)
    mask = jnp.asarray(batch["mask"])
    entropy = segmentation_metrics.cross_entropy(logits, mask)
    dice = segmentation_metrics.dice_loss(logits, mask)
    for name, expected in [
        ("cross_entropy", entropy),
        ("dice", dice),
        ("cross_entropy_dice", entropy + dice),
    ]:
        np.testing.assert_allclose(loss(batch, loss_name=name)[0], expected, rtol=1e-5)


def test_evaluation_collects_what_overlaps_are_made_of(batch):
    _, reported = loss(batch)
    assert set(reported) == set(Segment.collected)
    task = Segment(class_names=("sky", "bird"))
    found = task.measure({k: np.asarray(v) for k, v in reported.items()})
    claimed = batch["image"][..., 0] > 127
    counts = batch["mask"] != IGNORE
    there = batch["mask"] == 1
    expected = (claimed & there).sum() / ((claimed & counts) | there).sum()
    assert found["iou_bird"].mean == pytest.approx(expected)
    assert task.criterion in found
    assert "iou_1" in Segment().measure(
        {"confusion": np.asarray(reported["confusion"])}
    )


def test_training_sees_windows_of_image_and_mask_alike(batch):
    batch["image"] = np.where(batch["mask"] == 1, 255, 0).astype(np.uint8)[..., None]
    task = Segment(augment="dihedral", crop=4)
    x, mask = task.pair(batch, KEYS, training=True)
    assert x.shape == (3, 4, 4, 1) and mask.shape == (3, 4, 4)
    np.testing.assert_array_equal(np.asarray(mask) == 1, np.asarray(x[..., 0]) == 1)
    x, mask = task.pair(batch, KEYS, training=False)
    np.testing.assert_array_equal(mask, batch["mask"])
    _, reported = loss(batch, training=True, crop=(4, 5))
    assert reported["pixel_accuracy"].tolist() == [1, 1, 1]


def test_windows_are_standardised_as_their_whole_image(batch):
    task = Segment(Preprocess(standardize="image"), crop=4)
    whole, _ = task.pair(batch, KEYS, training=False)
    window, _ = task.pair(batch, KEYS, training=True)
    for n in range(3):
        assert np.isin(np.asarray(window[n]), np.asarray(whole[n])).all()


def test_labels_are_the_likeliest_classes_at_the_size_wanted():
    probabilities = jax.nn.one_hot(jnp.array([[[0, 2], [0, 2]]]), 3)
    task = Segment(num_classes=3)
    found = task.labels(probabilities, (4, 4))
    assert found.dtype == jnp.uint8
    assert found[0].tolist() == [[0, 0, 2, 2]] * 4


def test_predictions_are_probabilities_and_the_figure_shows_them(batch):
    task = Segment()
    p = task.predict(model, jnp.asarray(batch["image"]) / 255)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-6)
    shown = jax.device_get(task.images(model, batch, KEYS))
    np.testing.assert_allclose(shown["image"], batch["image"] / 255, rtol=1e-6)
    np.testing.assert_array_equal(shown["prediction"], batch["image"][..., 0] > 127)
    figure = task.figure(shown)
    assert figure.dtype == np.uint8 and figure.shape[1] > 3 * 64


def config(**fields):
    config = train.default_config()
    config.task = "segment"
    config.data.mask, config.data.mask_values = "mask", (0, 255)
    config.update(**fields)
    return config


def test_fields_of_the_config_arrive():
    fields = config(loss="dice")
    fields.segment.crop = (4, 8)
    fields.data.augment = "flip"
    fields.data.mask_names = ("sky", "bird")
    task = tasks.build(fields, (16, 16, 3), 2)
    assert task == Segment(Preprocess(), "flip", 2, "dice", ("sky", "bird"), (4, 8))
    assert hash(task) == hash(tasks.build(fields, (16, 16, 3), 2))


def test_what_does_not_fit_is_refused(batch):
    with pytest.raises(ValueError, match="'segment' has cross_entropy, dice"):
        tasks.build(config(loss="mse"), (8, 8, 1), 2)
    with pytest.raises(ValueError, match="'segment' needs masks.*data.mask"):
        tasks.build(config(data={"mask": None}), (8, 8, 1), 10)
    with pytest.raises(ValueError, match="'classify' needs labels.* has masks"):
        tasks.build(config(task="classify"), (8, 8, 1), 2)
    with pytest.raises(ValueError, match="segment.crop=0"):
        Segment(crop=0)
    with pytest.raises(ValueError, match=r"preprocess.size=\(8, 8\).*data.resize"):
        Segment(Preprocess(size=8))
    with pytest.raises(ValueError, match="needs masks"):
        loss({"image": batch["image"]})
    with pytest.raises(
        ValueError, match=r"\(3, 8, 8, 2\).*needs logits \(3, 8, 8, 5\)"
    ):
        loss(batch, num_classes=5)
