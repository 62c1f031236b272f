import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.data import Preprocess
from jdeconv.tasks import Classify

LOGITS = jnp.array([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0]])
KEYS = jax.random.split(jax.random.key(0), 2)
BATCH = {
    "image": np.full((2, 4, 4, 1), 51, np.uint8),
    "label": np.array([0, 2], np.int32),
}


def model(x, key=None):
    """Logits, and the image's level added, which softmax takes out again."""
    assert (key is not None) == model.training
    return LOGITS + x.mean((1, 2))


def loss(task, training):
    model.training = training
    return task.loss(model, BATCH, KEYS, training=training)


def test_cross_entropy_and_accuracy():
    values, reported = loss(Classify(num_classes=3), training=False)
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    np.testing.assert_allclose(values, -np.log([p[0, 0], p[1, 2]]), rtol=1e-6)
    assert reported["accuracy"].tolist() == [1, 0]


def test_smoothing_is_for_training():
    task = Classify(num_classes=3, label_smoothing=0.3)
    log_p = np.asarray(jax.nn.log_softmax(LOGITS))
    target = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(
        loss(task, training=True)[0], -(target * log_p).sum(-1), rtol=1e-6
    )
    plain = loss(Classify(num_classes=3), training=False)[0]
    np.testing.assert_array_equal(loss(task, training=False)[0], plain)


def test_predictions_are_probabilities():
    model.training = False
    task = Classify(Preprocess(range=(-1, 1)), num_classes=3)
    p = task.predict(model, jnp.zeros((2, 4, 4, 1)))
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-6)
    assert task.output == "logits"


def test_figure_shows_labels_and_predictions():
    model.training = False
    task = Classify(num_classes=3)
    shown = jax.device_get(task.images(model, BATCH, KEYS))
    assert shown["prediction"].tolist() == [0, 1]
    np.testing.assert_allclose(shown["input"], 0.2, rtol=1e-6)
    figure = task.figure(shown)
    assert figure.dtype == np.uint8 and figure.ndim == 3


def test_augmentation_is_for_training():
    seen = []

    def spy(x, key=None):
        seen.append(x)
        return jnp.zeros((2, 3))

    task = Classify(augment="shift", num_classes=3)
    batch = BATCH | {"image": np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1) * 8}
    for training in (True, False):
        task.loss(spy, batch, KEYS, training=training)
    plain = batch["image"].astype(np.float32) / 255
    np.testing.assert_allclose(seen[1], plain, rtol=1e-6)
    assert not np.allclose(seen[0], plain)


def test_illegal_arguments_are_refused():
    with pytest.raises(ValueError, match=r"label_smoothing=1\.0"):
        Classify(label_smoothing=1.0)
    with pytest.raises(ValueError, match=r"data.augment='zoom'.*shift_flip"):
        Classify(augment="zoom")
    model.training = False
    with pytest.raises(
        ValueError, match=r"\(2, 3\).*'classify' needs logits \(2, 10\)"
    ):
        loss(Classify(), training=False)
