import jax
import numpy as np
import pytest

from jdeconv.data import Degrade, Preprocess
from jdeconv.tasks import Reconstruct

KEYS = jax.random.split(jax.random.key(0), 3)


@pytest.fixture
def batch(rng):
    return {"image": rng.integers(0, 256, (3, 12, 12, 1), dtype=np.uint8)}


def unit(batch):
    return batch["image"].astype(np.float32) / 255


def identity(x, key=None):
    return x


@pytest.mark.parametrize("name, difference", [("mse", lambda d: d**2), ("l1", np.abs)])
def test_losses_against_numpy(batch, name, difference):
    loss, reported = Reconstruct(loss_name=name).loss(
        lambda x, key: 0.5 * x, batch, KEYS
    )
    expected = difference(0.5 * unit(batch)).mean((1, 2, 3))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    mse = ((0.5 * unit(batch)) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(reported["psnr"], -10 * np.log10(mse), rtol=1e-5)
    assert "input_psnr" not in reported


def test_checkerboard_is_looked_for_in_evaluation_if_asked(batch):
    rows, columns = np.mgrid[:12, :12]
    pattern = 0.5 + 0.1 * ((rows + columns) % 2)[..., None]
    task = Reconstruct(checkerboard=2)

    def network(x, key=None):
        return 0 * x + pattern

    _, reported = task.loss(network, batch, KEYS, training=False)
    assert (reported["checkerboard"] > 0.99).all()
    assert (reported["real_checkerboard"] < 0.5).all()
    assert "checkerboard" not in task.loss(network, batch, KEYS)[1]


def test_bce_takes_logits(batch):
    task = Reconstruct(loss_name="bce")
    logits = np.float32(1.5)
    loss, reported = task.loss(lambda x, key: 0 * x + logits, batch, KEYS)
    p, x = 1 / (1 + np.exp(-logits)), unit(batch)
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).mean((1, 2, 3))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(
        reported["psnr"], -10 * np.log10(((p - x) ** 2).mean((1, 2, 3))), rtol=1e-5
    )
    np.testing.assert_allclose(task.predict(lambda x: 0 * x + logits, x), p, rtol=1e-6)


def test_network_sees_the_degraded_and_is_compared_with_the_clean(batch):
    degrade = Degrade(blur_sigma=1.0, noise_std=0.1, clip=False)
    task = Reconstruct(loss_name="mse", degrade=degrade)
    loss, reported = task.loss(identity, batch, KEYS)
    again, _ = task.loss(identity, batch, KEYS, training=False)
    np.testing.assert_array_equal(loss, again)
    np.testing.assert_allclose(reported["psnr"], reported["input_psnr"], rtol=1e-5)
    assert (loss > 0.01).all()
    other, _ = task.loss(identity, batch, KEYS[::-1])
    assert (other != loss)[::2].all() and other[1] == loss[1]


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess(range=(-1, 1)),
        Preprocess(standardize="image"),
        Preprocess(standardize=(0.3, 0.2)),
        Preprocess(standardize="image", size=24),
    ],
)
def test_perfect_network_has_no_loss_in_any_units(batch, preprocess):
    task = Reconstruct(preprocess, loss_name="mse")
    loss, reported = task.loss(identity, batch, KEYS)
    np.testing.assert_allclose(loss, 0, atol=1e-10)
    if preprocess.size is None:
        assert (reported["psnr"] > 80).all()


def test_target_is_in_the_units_of_the_input(batch):
    # The clean image, standardised by the degraded one's statistics: the inverse of
    # the preprocessing then gives the clean image itself.
    task = Reconstruct(
        Preprocess(standardize="image"), loss_name="mse", degrade=Degrade(0.2)
    )
    degraded = task.images(identity, batch, KEYS)["input"]
    _, info = task.preprocess.forward(degraded)
    target = (unit(batch) - info.mean) / info.std
    loss, reported = task.loss(lambda x, key: target, batch, KEYS)
    np.testing.assert_allclose(loss, 0, atol=1e-9)
    assert (reported["psnr"] > 80).all()


def test_images_by_title(batch):
    shown = Reconstruct().images(identity, batch, KEYS)
    assert list(shown) == ["input", "result"]
    task = Reconstruct(degrade=Degrade(noise_std=0.5, clip=False))
    shown = jax.device_get(task.images(lambda x: 2 * x, batch, KEYS))
    assert list(shown) == ["input", "result", "target"]
    np.testing.assert_allclose(shown["target"], unit(batch), rtol=1e-6)
    assert all(image.min() >= 0 and image.max() <= 1 for image in shown.values())
    assert task.figure(shown).ndim == 3


def test_illegal_arguments_are_refused(batch):
    with pytest.raises(ValueError, match=r"loss='huber'.*bce, mse, l1"):
        Reconstruct(loss_name="huber")
    with pytest.raises(ValueError, match=r"'bce' needs images in 0 .. 1"):
        Reconstruct(Preprocess(range=(-1, 1)), loss_name="bce")
    with pytest.raises(ValueError, match=r"\(3, 6, 6, 1\).*\(3, 12, 12, 1\)"):
        Reconstruct().loss(lambda x, key: x[:, ::2, ::2], batch, KEYS)


def test_tasks_are_static_parts_of_a_state():
    one, same = (Reconstruct(degrade=Degrade(noise_std=0.1)) for _ in range(2))
    assert one == same and hash(one) == hash(same)
    assert one != Reconstruct(degrade=Degrade(noise_std=0.2))


@pytest.mark.parametrize(
    "preprocess",
    [Preprocess(range=(-1, 1)), Preprocess(standardize=(0.3, 0.2)), Preprocess()],
)
def test_network_is_told_the_noise_in_its_own_units(preprocess):
    class Told:
        condition = "noise_std"

        def __call__(self, x, *, noise_std, key=None):
            told.append(noise_std)
            return x

    told, flat = [], {"image": np.full((3, 64, 64, 1), 128, np.uint8)}
    degrade = Degrade(noise_std=(0.05, 0.3), clip=False)
    task = Reconstruct(preprocess, degrade=degrade)
    loss, _ = task.loss(Told(), flat, KEYS)
    assert len(set(np.asarray(told[0]).tolist())) == 3
    # Of a flat image all that differs from the target is the noise.
    np.testing.assert_allclose(np.sqrt(loss), told[0], rtol=6 / (2 * 4096) ** 0.5)
    task.images(Told(), flat, KEYS)
    np.testing.assert_array_equal(told[0], told[1])
