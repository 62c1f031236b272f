"""Losses and overlaps against loops over pixels."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import segmentation_metrics as measures

K, IGNORE = 3, measures.IGNORE


@pytest.fixture
def pair(rng):
    """Logits and labels; of the second image a part does not count."""
    logits = rng.normal(size=(2, 4, 5, K)).astype(np.float32)
    labels = rng.integers(0, K, (2, 4, 5)).astype(np.uint8)
    labels[1, :2] = IGNORE
    return logits, labels


def pixels(logits, labels):
    """(probabilities, label) of every pixel that counts."""
    for row in np.ndindex(labels.shape):
        if labels[row] != IGNORE:
            p = np.exp(logits[row].astype(float))
            yield p / p.sum(), int(labels[row])


def counted(logits, labels):
    table = np.zeros((K, K))
    for p, label in pixels(logits, labels):
        table[label, p.argmax()] += 1
    return table


def test_losses_are_those_of_a_loop_over_pixels(pair):
    logits, labels = pair
    for n in range(2):
        seen = list(pixels(logits[n], labels[n]))
        expected = np.mean([-math.log(p[label]) for p, label in seen])
        found = measures.cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
        np.testing.assert_allclose(found[n], expected, rtol=1e-5)
        dice = []
        for k in range(K):
            overlap = sum(p[k] for p, label in seen if label == k)
            total = sum(p[k] for p, _ in seen) + sum(label == k for _, label in seen)
            dice.append((2 * overlap + 1) / (total + 1))
        found = measures.dice_loss(jnp.asarray(logits), jnp.asarray(labels))
        np.testing.assert_allclose(found[n], 1 - np.mean(dice), rtol=1e-5)


def test_confusion_and_accuracy_are_those_of_a_loop_over_pixels(pair):
    logits, labels = pair
    found = measures.confusion(jnp.asarray(logits), jnp.asarray(labels))
    right = measures.pixel_accuracy(jnp.asarray(logits), jnp.asarray(labels))
    for n in range(2):
        table = counted(logits[n], labels[n])
        np.testing.assert_array_equal(found[n], table)
        np.testing.assert_allclose(right[n], np.trace(table) / table.sum(), rtol=1e-6)


def test_what_does_not_count_has_no_gradient(pair):
    logits, labels = map(jnp.asarray, pair)
    for loss in (measures.cross_entropy, measures.dice_loss):
        gradient = np.asarray(jax.grad(lambda x, f=loss: f(x, labels).sum())(logits))
        assert not gradient[1, :2].any()
        assert gradient[1, 2:].all()
        # An image without any pixel that counts is no division by zero.
        nothing = loss(logits, jnp.full_like(labels, IGNORE))
        np.testing.assert_array_equal(nothing, 0)


def test_perfect_and_worst_predictions():
    labels = jnp.asarray([[[0, 1], [1, 1]]])
    right = 50 * jax.nn.one_hot(labels, 2)
    assert float(measures.dice_loss(right, labels)[0]) == pytest.approx(0, abs=1e-6)
    wrong = 50 * jax.nn.one_hot(1 - labels, 2)
    # Each class: (2 * 0 + 1) / (4 + 1).
    assert float(measures.dice_loss(wrong, labels)[0]) == pytest.approx(0.8)


def test_overlaps_are_pooled_over_pixels_and_also_meant_over_images(rng):
    tables = rng.integers(0, 9, (5, K, K))
    tables[0, :, 2] = tables[0, 2] = 0  # class 2 neither there nor claimed
    names = ["sky", "tree", "road"]
    found = measures.scores(tables, names)
    whole = tables.sum(0)
    ious, dices = [], []
    for k, name in enumerate(names):
        tp, claimed, there = whole[k, k], whole[:, k].sum(), whole[k].sum()
        ious.append(tp / (claimed + there - tp))
        dices.append(2 * tp / (claimed + there))
        assert found[f"iou_{name}"].mean == pytest.approx(ious[-1])
        assert found[f"dice_{name}"].mean == pytest.approx(dices[-1])
        own = [
            t[k, k] / (t[:, k].sum() + t[k].sum() - t[k, k])
            for t in tables
            if t[:, k].sum() + t[k].sum()
        ]
        assert found[f"image_iou_{name}"].mean == pytest.approx(np.mean(own))
    assert found["image_iou_road"].count == 4
    assert found["mean_iou"].mean == pytest.approx(np.mean(ious))
    assert found["mean_dice"].mean == pytest.approx(np.mean(dices))
    accuracy = np.trace(whole) / whole.sum()
    assert found["pixel_accuracy"].mean == pytest.approx(accuracy)


def test_standard_error_of_a_pooled_overlap_is_its_spread_over_samples(rng):
    """Against the deviation over many data sets of 40 images drawn anew."""

    def draw():
        size = rng.integers(5, 60, 40)
        quality = rng.uniform(0.6, 0.95, 40)
        hit = rng.binomial(size, quality)
        rest = 100 - size
        zero = np.zeros_like(size)
        return np.stack([rest, zero, size - hit, hit], -1).reshape(-1, 2, 2)

    seen = [measures.scores(draw(), ["a", "b"]) for _ in range(300)]
    for name in ("iou_b", "dice_b", "mean_iou", "pixel_accuracy"):
        spread = np.std([s[name].mean for s in seen], ddof=1)
        told = np.mean([s[name].standard_error for s in seen])
        assert told == pytest.approx(spread, rel=0.15), name


def test_classes_that_are_nowhere_are_left_out():
    tables = np.zeros((2, 3, 3))
    tables[:, 0, 0] = 4
    tables[:, 1, 0] = 4
    found = measures.scores(tables, ["a", "b", "c"])
    assert "iou_c" not in found and "image_iou_c" not in found
    assert found["mean_iou"].mean == pytest.approx((0.5 + 0) / 2)


def test_counts_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\): must be \[N, 2, 2\].*a, b"):
        measures.scores(np.zeros((2, 2)), ["a", "b"])
