import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import metrics
from jdeconv.metrics import Average


def test_cross_entropy_with_smoothed_labels(rng):
    logits = rng.normal(size=(5, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 5)
    target = 0.8 * np.eye(4)[labels] + 0.2 / 4
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(
        metrics.cross_entropy(jnp.array(logits), labels, label_smoothing=0.2),
        -(target * log_p).sum(-1),
        rtol=1e-5,
    )


def test_binary_cross_entropy_and_its_gradient_do_not_overflow():
    logits = jnp.array([[-200.0, 200.0, 0.0]])
    target = jnp.array([[1.0, 0.5, 0.25]])
    loss, grad = jax.value_and_grad(
        lambda x: metrics.binary_cross_entropy(x, target).sum()
    )(logits)
    assert float(loss) == pytest.approx((200 + 100 + np.log(2)) / 3, rel=1e-6)
    np.testing.assert_allclose(grad[0] * 3, [-1, 0.5, 0.25], atol=1e-6)


def test_psnr_is_that_of_scikit_image(rng):
    skimage_metrics = pytest.importorskip("skimage.metrics")
    x, y = rng.random((2, 3, 9, 7, 3)).astype(np.float32)
    expected = [
        skimage_metrics.peak_signal_noise_ratio(a, b, data_range=1.0)
        for a, b in zip(x, y)
    ]
    np.testing.assert_allclose(metrics.psnr(x, y), expected, rtol=1e-5)


def test_equal_images_have_a_finite_psnr():
    x = jnp.ones((2, 4, 4, 1))
    assert metrics.psnr(x, x).tolist() == [100, 100]


def test_errors_are_per_example(rng):
    x, y = rng.random((2, 3, 5, 4, 2)).astype(np.float32)
    gap = (x - y).reshape(3, -1)
    np.testing.assert_allclose(
        metrics.mean_squared_error(x, y), (gap**2).mean(1), rtol=1e-5
    )
    np.testing.assert_allclose(
        metrics.mean_absolute_error(x, y), np.abs(gap).mean(1), rtol=1e-5
    )


def test_average_of_parts_is_that_of_the_whole(rng):
    values = rng.normal(3.0, 2.0, 1000) + 1e6  # a sum of squares would lose all digits
    merged = Average()
    for part in np.split(values, [1, 10, 300, 300]):
        merged = merged.merge(Average.of(part))
    assert merged.count == 1000
    assert merged.mean == pytest.approx(values.mean(), rel=1e-14)
    sem = values.std(ddof=1) / np.sqrt(1000)
    assert merged.standard_error == pytest.approx(sem, rel=1e-9)


def test_weights_drop_padding_even_if_it_is_nan():
    average = Average.of([1.0, 3.0, np.nan], [1.0, 1.0, 0.0])
    assert (average.count, average.mean) == (2, 2)
    assert average.standard_error == pytest.approx(1.0)


def test_too_few_numbers_have_no_standard_error():
    assert np.isnan(Average.of([1.0]).standard_error)
    assert np.isnan(Average().merge(Average()).standard_error)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0]])
def test_illegal_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights have shape"):
        Average.of([1.0, 2.0], weights)
