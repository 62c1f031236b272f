"""The VAE-GAN's three losses, term by term, and whose gradient each is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models, tasks, train
from jdeconv.data import Preprocess
from jdeconv.models.vae import reparameterize
from jdeconv.tasks import VaeGan

RANGE = Preprocess(range=(-1.0, 1.0))
KEYS = jax.random.split(jax.random.key(0), 4)
OPTIONS = {"latent": 3, "width": 4, "encoder_features": (4, 4), "norm": "layer"}


@pytest.fixture(scope="module")
def model():
    config = {"name": "vae_gan", **OPTIONS}
    return models.build(config, image_shape=(16, 16, 1), rngs=nnx.Rngs(0))


@pytest.fixture
def batch(rng):
    return {"image": rng.integers(0, 256, (4, 16, 16, 1), dtype=np.uint8)}


def by_hand(model, real, z, z_prior, gamma, beta):
    """Equations 5 to 9 and Algorithm 1 of the paper."""
    mean, log_var = model.encode(real)
    again, made = model.generator(z), model.generator(z_prior)
    d = model.discriminator
    hidden = d.features(real) - d.features(again)
    likeness = 0.5 * (hidden**2).sum((1, 2, 3))
    kl = 0.5 * (jnp.exp(log_var) + mean**2 - 1 - log_var).sum(-1)
    p = [jax.nn.sigmoid(d(x)) for x in (real, again, made)]
    return {
        "discriminator": -jnp.log(p[0]) - jnp.log(1 - p[1]) - jnp.log(1 - p[2]),
        "encoder": beta * kl + likeness,
        # Not log(1 - p), which has no slope where the discriminator is sure.
        "generator": gamma * likeness - jnp.log(p[1]) - jnp.log(p[2]),
    }


def test_losses_are_the_papers(model, batch):
    task = VaeGan(RANGE, gamma=0.3, beta=2.0)
    graph, state = nnx.split(model)

    @jax.jit
    def both(state, batch):
        model = nnx.merge(graph, state)
        real = task._real(batch, KEYS, training=True)
        fold = jax.vmap(jax.random.fold_in, (0, None))
        z = reparameterize(*model.encode(real), fold(KEYS, 5))
        expected = by_hand(model, real, z, task._latent(model, KEYS), 0.3, 2.0)
        assert task.turns == tuple(expected)
        found = {p: task.turn_loss(p, model, batch, KEYS)[0] for p in task.turns}
        return found, expected

    found, expected = both(state, batch)
    for part in task.turns:
        np.testing.assert_allclose(found[part], expected[part], rtol=1e-4, err_msg=part)


@pytest.mark.slow
def test_the_encoder_learns_through_the_draw(model, batch):
    task = VaeGan(RANGE)
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(part):
        def of(params):
            merged = nnx.merge(graph, params, rest, copy=True)
            return task.turn_loss(part, merged, batch, KEYS)[0].mean()

        return of

    value = jax.jit(loss("encoder"))
    slopes = jax.jit(jax.grad(value))(params)
    kernel = slopes["encoder"]["convs"][0]["kernel"][...]
    step = 1e-2
    moved = jax.tree.map(lambda p: p, params)
    direction = kernel / jnp.linalg.norm(kernel)

    def at(shift):
        moved["encoder"]["convs"][0]["kernel"][...] = (
            params["encoder"]["convs"][0]["kernel"][...] + shift * direction
        )
        return float(value(moved))

    numeric = (at(step) - at(-step)) / (2 * step)
    assert numeric == pytest.approx(float(jnp.linalg.norm(kernel)), rel=0.02)


def test_evaluation_and_pictures(model, batch):
    task = VaeGan(RANGE)
    model.eval()
    loss, reported = task.loss(model, batch, KEYS)
    assert loss.shape == (4,)
    for name in ("kl", "psnr", "distance", "generator_loss", "real_checkerboard"):
        assert reported[name].shape == (4,), name
    real = task._real(batch, KEYS, training=False)
    error = np.square(np.asarray(task.predict(model, real) - real) / 2).mean((1, 2, 3))
    np.testing.assert_allclose(reported["psnr"], -10 * np.log10(error), rtol=1e-4)
    shown = jax.device_get(task.images(model, batch, KEYS))
    assert set(shown) == {"real", "reconstruction", "made"}
    assert shown["made"].shape == (4, 8, 16, 16, 1)
    assert all(x.min() >= 0 and x.max() <= 1 for x in shown.values())
    assert task.figure(shown).ndim == 3
    assert task.takes_images and not tasks.Generate.takes_images


@pytest.mark.slow
def test_a_run_of_two_steps(tmp_path, rng):
    config = train.read_config("configs/vae_gan_mnist.py:32")
    with config.unlocked():
        config.data.source = "digits"
        config.preprocess.size = (16, 16)
        config.model.update(OPTIONS)
        config.update({"batch_size": 8, "duration": "2 steps", "eval_every": "2 steps"})
        config.data.test_split = "test[:16]"
    pytest.importorskip("sklearn")
    train.train_and_evaluate(config, tmp_path / "run")
    last = train.read_metrics(tmp_path / "run")[-1]
    for name in ("swd", "ms_ssim", "psnr", "kl", "distance"):
        assert np.isfinite(last[f"test/{name}"]), name


def test_illegal_options(model):
    for options, message in [
        ({"gamma": 0.0}, r"vae_gan.gamma=0.0: must be > 0"),
        ({"loss_name": "wasserstein"}, "has 'non_saturating' or 'hinge'"),
        ({"discriminator_steps": 2}, "discriminator_steps=2"),
    ]:
        with pytest.raises(ValueError, match=message):
            VaeGan(RANGE, **options)
    with pytest.raises(ValueError, match="takes the size it was made for"):
        model(jnp.zeros((1, 32, 16, 1)))
