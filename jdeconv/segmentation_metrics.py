"""Losses and measures of segmentation: of a class for every pixel.

Labels are integers `[B, H, W]` in 0 .. K - 1; pixels with the label `ignore` count
nowhere. Losses return `[B]`. Overlaps are computed from confusion matrices, which can
be summed: the IoU of a data set is that of all its pixels together ("pooled"), as in
the challenges of Pascal VOC and Cityscapes, and not the mean of its images' IoUs.
`scores` gives both.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jdeconv.metrics import Average

IGNORE = 255


def cross_entropy(logits: Array, labels: Array, *, ignore: int = IGNORE) -> Array:
    """The mean over pixels that count of -log softmax(logits)_label, `[B]`.

    Args:
      logits: `[B, H, W, K]`.
      labels: int `[B, H, W]`.
      ignore: label of pixels that do not count; an image without others has loss 0.

    >>> logits = jnp.zeros((1, 1, 2, 4))
    >>> loss = cross_entropy(logits, jnp.array([[[2, 255]]]))
    >>> round(float(loss[0]), 4)  # log 4
    1.3863
    """
    counts = labels != ignore
    label = jnp.where(counts, labels, 0).astype(jnp.int32)
    log_p = jax.nn.log_softmax(logits)
    loss = -jnp.take_along_axis(log_p, label[..., None], axis=-1)[..., 0]
    return _mean(loss, counts)


def dice_loss(
    logits: Array, labels: Array, *, ignore: int = IGNORE, smooth: float = 1.0
) -> Array:
    """1 - mean_k (2 sum p_k t_k + s) / (sum p_k + sum t_k + s), `[B]`.

    The sums are over the pixels that count, the mean over the K classes; p is
    softmax(logits) and t the label's one-hot vector. Unlike the cross-entropy it
    gives every class the same weight, however few its pixels.

    Args:
      logits, labels, ignore: as in `cross_entropy`.
      smooth: s, in pixels. A class that is neither there nor predicted has loss 0.

    References:
      Milletari, Navab and Ahmadi, "V-Net", 2016, section 3; with their squares in the
      denominator left out, as in Drozdzal et al., 2016.

    >>> logits = 99 * jax.nn.one_hot(jnp.array([[[0, 1, 1]]]), 2)
    >>> loss = dice_loss(logits, jnp.array([[[0, 1, 0]]]), smooth=0)
    >>> round(float(loss[0]), 4)  # each class 2 / 3
    0.3333
    """
    num_classes = logits.shape[-1]
    # One-hot of what is no class, such as `ignore`, is zero.
    counts = (labels != ignore)[..., None]
    t = jax.nn.one_hot(labels, num_classes) * counts
    p = jax.nn.softmax(logits) * counts
    overlap = 2 * jnp.sum(p * t, (1, 2)) + smooth
    total = jnp.sum(p, (1, 2)) + jnp.sum(t, (1, 2)) + smooth
    return 1 - jnp.mean(overlap / total, -1)


def pixel_accuracy(logits: Array, labels: Array, *, ignore: int = IGNORE) -> Array:
    """The share of pixels that count whose largest logit is at the label, `[B]`.

    One minus it is the pixel error.
    """
    right = jnp.argmax(logits, -1) == labels
    return _mean(right.astype(jnp.float32), labels != ignore)


def confusion(logits: Array, labels: Array, *, ignore: int = IGNORE) -> Array:
    """Pixels by label (row) and prediction (column), `[B, K, K]`.

    Args:
      logits, labels, ignore: as in `cross_entropy`.

    Returns:
      float32, exact for images of up to 2^24 pixels.

    >>> logits = jax.nn.one_hot(jnp.array([[[0, 1, 1]]]), 2)
    >>> confusion(logits, jnp.array([[[0, 1, 0]]])).tolist()
    [[[1.0, 1.0], [0.0, 1.0]]]
    """
    num_classes = logits.shape[-1]
    counts = (labels != ignore)[..., None]
    truth = jax.nn.one_hot(labels, num_classes) * counts
    predicted = jax.nn.one_hot(jnp.argmax(logits, -1), num_classes)
    # At full precision: a GPU's default would round counts of large images.
    return jnp.einsum("bhwk,bhwl->bkl", truth, predicted, precision="highest")


def scores(counts: np.ndarray, names: Sequence[str]) -> dict[str, Average]:
    """Accuracy and overlaps of a data set.

    With tp, fp and fn the pixels of a class that are found, wrongly claimed and missed:

    - "pixel_accuracy": the share of right pixels, of all pixels together.
    - "iou_NAME", "dice_NAME": tp / (tp + fp + fn) and 2 tp / (2 tp + fp + fn), of all
      pixels together.
    - "mean_iou", "mean_dice": their means over the classes.
    - "image_iou_NAME": the mean over images of each one's own IoU; images that neither
      have nor claim the class are left out.

    A class that is in no image, neither in truth nor prediction, is left out. The
    standard errors are over images; those of ratios of sums by linearisation.

    Args:
      counts: of each image, `[N, K, K]`, see `confusion`.
      names: of the K classes.

    References:
      Everingham et al., "The Pascal Visual Object Classes challenge", 2010, for the
      pooled IoU; Cochran, "Sampling techniques", 1977, section 2.11, for the error of a
      ratio.

    >>> one = np.array([[[2, 1], [1, 4]]])
    >>> found = scores(one, ["background", "cell"])
    >>> round(found["iou_cell"].mean, 4), round(found["dice_cell"].mean, 4)
    (0.6667, 0.8)
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 3 or counts.shape[1:] != (len(names), len(names)):
        raise ValueError(
            f"counts has shape {counts.shape}: must be [N, {len(names)}, {len(names)}] "
            f"for the classes {', '.join(names)}"
        )
    found = np.einsum("nkk->nk", counts)
    both = counts.sum(1) + counts.sum(2)  # 2 tp + fp + fn
    union = both - found
    report = {"pixel_accuracy": _ratio(found.sum(1), counts.sum((1, 2)))[0]}
    overlaps = {"iou": (found, union), "dice": (2 * found, both)}
    present = [k for k in range(len(names)) if union[:, k].sum() > 0]
    for name, (above, below) in overlaps.items():
        ratios = [_ratio(above[:, k], below[:, k]) for k in present]
        mean = float(np.mean([r.mean for r, _ in ratios])) if ratios else np.nan
        deviation = np.mean([d for _, d in ratios], axis=0) if ratios else np.zeros(1)
        report[f"mean_{name}"] = _average(mean, deviation)
        for k, (ratio, _) in zip(present, ratios):
            report[f"{name}_{names[k]}"] = ratio
    for k in present:
        seen = union[:, k] > 0
        report[f"image_iou_{names[k]}"] = Average.of(found[seen, k] / union[seen, k])
    return report


def _mean(values: Array, counts: Array) -> Array:
    total = jnp.sum(jnp.where(counts, values, 0), (1, 2))
    return total / jnp.maximum(jnp.sum(counts, (1, 2)), 1)


def _ratio(above: np.ndarray, below: np.ndarray) -> tuple[Average, np.ndarray]:
    """sum above / sum below, and each image's deviation from it, linearised."""
    if not below.sum():
        return Average(), np.zeros(len(below))
    ratio = above.sum() / below.sum()
    deviation = (above - ratio * below) / below.mean()
    return _average(ratio, deviation), deviation


def _average(mean: float, deviation: np.ndarray) -> Average:
    return Average(float(len(deviation)), float(mean), float(np.sum(deviation**2)))
