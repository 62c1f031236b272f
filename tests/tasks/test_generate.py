import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models, nn
from jdeconv.data import Preprocess
from jdeconv.tasks import Generate
from jdeconv.tasks.generate import discriminator_loss, generator_loss

RANGE = Preprocess(range=(-1.0, 1.0))
KEYS = jax.random.split(jax.random.key(0), 4)


class Linear(nnx.Module):
    """Images that are the latent vector, and scores that are <w, image>."""

    def __init__(self, scale: float = 0.5):
        w = jax.random.normal(jax.random.key(9), (16, 16, 1))
        self.w = nnx.Param(scale * w / jnp.linalg.norm(w))
        self.latent, self.num_labels, self.couples_examples = 256, None, False

    def generator(self, z, label):
        return z.reshape(-1, 16, 16, 1) / 4

    @property
    def discriminator(self):
        return self

    def __call__(self, x, label=None):
        return (x * self.w[...]).sum((1, 2, 3))


@pytest.fixture
def batch(rng):
    image = rng.integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)
    return {"image": image, "label": np.arange(4)}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_losses_against_numpy(rng):
    real, fake = rng.normal(0, 2, (2, 50))
    expected = {
        "non_saturating": (
            -np.log(sigmoid(real)) - np.log(1 - sigmoid(fake)),
            -np.log(sigmoid(fake)),
        ),
        "wasserstein": (fake - real, -fake),
        "hinge": (np.maximum(0, 1 - real) + np.maximum(0, 1 + fake), -fake),
    }
    for name, (of_discriminator, of_generator) in expected.items():
        found = discriminator_loss(name, jnp.asarray(real), jnp.asarray(fake))
        np.testing.assert_allclose(found, of_discriminator, rtol=2e-5, atol=1e-6)
        found = generator_loss(name, jnp.asarray(fake))
        np.testing.assert_allclose(found, of_generator, rtol=2e-5, atol=1e-6)


def test_turns_give_the_losses_of_the_scores(batch):
    model = Linear(0.5)
    task = Generate(RANGE, loss_name="wasserstein", gradient_penalty=10.0)
    loss, reported = task.turn_loss("discriminator", model, batch, KEYS)
    # The gradient of <w, x> is w, wherever it is taken.
    np.testing.assert_allclose(reported["penalty"], (0.5 - 1) ** 2, rtol=1e-4)
    real = batch["image"] / 127.5 - 1
    scores = (real * np.asarray(model.w[...])).sum((1, 2, 3))
    np.testing.assert_allclose(reported["real_score"], scores, rtol=1e-4, atol=1e-5)
    expected = reported["fake_score"] - reported["real_score"] + 2.5
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    of_generator, nothing = task.turn_loss("generator", model, batch, KEYS)
    np.testing.assert_allclose(of_generator, -reported["fake_score"], rtol=1e-5)
    assert nothing == {}


class Smooth(nnx.Module):
    """A strided convolution and a score without kinks, for finite differences."""

    def __init__(self):
        self.conv = nn.Conv(1, 3, (4, 4), 2, rngs=nnx.Rngs(0))
        self.couples_examples = False

    def __call__(self, x, label=None):
        return jnp.tanh(self.conv(x)).sum((1, 2, 3))


def test_gradient_of_the_penalty_through_a_convolution(batch):
    task, fixed = Generate(RANGE, loss_name="wasserstein"), Linear()
    graphdef, params = nnx.split(Smooth())

    @jax.jit
    def penalty(params):
        class Both:
            latent, num_labels = fixed.latent, None
            generator, discriminator = fixed.generator, nnx.merge(graphdef, params)

        return task.turn_loss("discriminator", Both, batch, KEYS)[1]["penalty"].mean()

    grads = jax.jit(jax.grad(penalty))(params)
    # Along the gradient the slope is its norm.
    norm = float(jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(grads))))
    step = 1e-2
    plus, minus = (
        penalty(jax.tree.map(lambda p, g, s=s: p + s * step / norm * g, params, grads))
        for s in (1, -1)
    )
    assert norm > 0.1
    assert float(plus - minus) / (2 * step) == pytest.approx(norm, rel=0.01)


def test_penalty_with_batch_norm_is_refused(batch):
    model = nnx.eval_shape(lambda: models.DCGAN((16, 16, 1), width=4, rngs=nnx.Rngs(0)))
    task = Generate(RANGE, loss_name="wasserstein")
    with pytest.raises(ValueError, match="model.norm='batch'.*'layer' or 'none'"):
        nnx.eval_shape(lambda m: task.turn_loss("discriminator", m, batch, KEYS), model)


def test_evaluation_reports_images_and_their_measures(batch):
    loss, reported = Generate(RANGE).loss(Linear(), batch, KEYS)
    assert loss.shape == (4,)
    np.testing.assert_allclose(
        loss, reported["discriminator_loss"] + reported["generator_loss"], rtol=1e-6
    )
    np.testing.assert_array_equal(reported["real"], batch["image"])
    made = Linear().generator(Generate(RANGE)._latent(Linear(), KEYS), None)
    gap = np.asarray(reported["made"]) - (np.clip(made, -1, 1) + 1) * 127.5
    assert abs(gap).max() <= 0.5 + 1e-3
    assert (reported["checkerboard"] > 0).all()
    with pytest.raises(ValueError, match="training=True.*turn_loss"):
        Generate(RANGE).loss(Linear(), batch, KEYS, training=True)


def test_measures_of_the_whole_set(rng):
    real = rng.integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)
    same = Generate(RANGE).measure({"real": real, "made": real})
    assert set(same) == {"swd", "swd_32", "swd_16", "ms_ssim"}
    means = (same["swd_32"].mean + same["swd_16"].mean) / 2
    assert same["swd"].mean == pytest.approx(means)
    alike = np.repeat(real[:1], 8, axis=0)
    collapsed = Generate(RANGE).measure({"real": real, "made": alike})
    assert collapsed["ms_ssim"].mean == pytest.approx(1, abs=1e-3)
    assert collapsed["swd"].mean > 1.5 * same["swd"].mean
    assert same["ms_ssim"].mean < 0.2


def test_samples_and_pictures_belong_to_their_keys(batch):
    task, model = Generate(RANGE), Linear()
    images = np.asarray(task.sample(model, KEYS))
    again = np.asarray(task.sample(model, KEYS[::-1]))
    np.testing.assert_array_equal(images, again[::-1])
    assert images.mean() == pytest.approx(0.5, abs=0.05)
    pictures = task.images(model, batch, KEYS)
    assert {n: p.shape for n, p in pictures.items()} == {
        "real": (4, 16, 16, 1),
        "made": (4, 8, 16, 16, 1),
    }
    figure = task.figure({name: np.asarray(x) for name, x in pictures.items()})
    assert figure.dtype == np.uint8 and figure.std() > 10
    with pytest.raises(ValueError, match="makes images from noise"):
        task.predict(model, images)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss_name": "bce"}, "loss='bce'.*non_saturating, wasserstein, hinge"),
        ({"discriminator_steps": 0}, "discriminator_steps=0"),
        ({"learning_rate_factor": 0.0}, "learning_rate_factor=0"),
        ({"gradient_penalty": -1.0}, "gradient_penalty=-1"),
        ({"preprocess": Preprocess()}, r"preprocess.range must be \(-1, 1\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Generate(**{"preprocess": RANGE} | options)


def test_generator_of_another_size_is_refused(batch):
    batch = batch | {"image": batch["image"][:, :14]}
    with pytest.raises(ValueError, match=r"shape \(4, 16, 16, 1\): the real.*14"):
        Generate(RANGE).turn_loss("discriminator", Linear(), batch, KEYS)
