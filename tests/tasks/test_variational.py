"""The bound, the draws it is made of, and the pictures."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jdeconv.data import Preprocess
from jdeconv.tasks import Variational
from jdeconv.tasks import variational as v

KEYS = jax.random.split(jax.random.key(0), 3)


class Linear:
    """mean = a x, constant variance, logits = c + b z: everything by hand."""

    def __init__(self, size=2, latent=3, seed=0):
        rng = np.random.default_rng(seed)
        pixels = size * size
        self.size, self.latent = size, latent
        self.a = rng.normal(size=(pixels, latent)).astype(np.float32)
        self.b = rng.normal(size=(latent, pixels)).astype(np.float32)
        self.c = rng.normal(size=pixels).astype(np.float32)

    def encode(self, x):
        mean = x.reshape(len(x), -1) @ self.a
        return mean, jnp.full_like(mean, -0.7)

    def decode(self, z):
        return (self.c + z @ self.b).reshape(-1, self.size, self.size, 1)


@pytest.fixture
def batch(rng):
    return {"image": rng.integers(0, 256, (3, 2, 2, 1), dtype=np.uint8)}


def test_kl_against_torch():
    torch = pytest.importorskip("torch")
    from torch.distributions import Normal, kl_divergence

    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 5, 4))
    q = Normal(torch.tensor(mean), torch.tensor(np.exp(log_var / 2)))
    expected = kl_divergence(q, Normal(0.0, 1.0)).sum(-1)
    found = v.gaussian_kl(jnp.asarray(mean), jnp.asarray(log_var))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_kl_against_quadrature():
    mean, sigma = 0.7, 0.4
    q, p = scipy.stats.norm(mean, sigma), scipy.stats.norm()
    expected, _ = scipy.integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 4, mean + 4
    )
    found = v.gaussian_kl(jnp.array([mean]), jnp.array([2 * np.log(sigma)]))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_bernoulli_against_scipy(rng):
    logits = rng.normal(size=(4, 3, 3, 1)).astype(np.float32)
    target = rng.integers(0, 2, logits.shape).astype(np.float32)
    p = scipy.stats.bernoulli(1 / (1 + np.exp(-logits.astype(np.float64))))
    expected = p.logpmf(target).sum((1, 2, 3))
    found = v.bernoulli_log_likelihood(jnp.asarray(logits), jnp.asarray(target))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    extreme = v.bernoulli_log_likelihood(jnp.array([[1e4, -1e4]]), jnp.eye(2)[:1])
    assert float(extreme[0]) == 0


def test_loss_is_keras_summed_cross_entropy_of_grey_levels(batch):
    model, task = Linear(), Variational(beta=3.0)
    loss, reported = jax.jit(lambda b, k: task.loss(model, b, k))(batch, KEYS)
    x = batch["image"].astype(np.float64) / 255
    keys = [jax.random.fold_in(key, 1) for key in KEYS]
    eps = np.stack([jax.random.normal(key, (3,)) for key in keys])
    z = x.reshape(3, 4) @ model.a + np.exp(-0.35) * eps
    p = 1 / (1 + np.exp(-(model.c + z @ model.b)))
    x = x.reshape(3, 4)
    bce = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1)
    mean = x @ model.a
    kl = -0.5 * (1 - 0.7 - mean**2 - np.exp(-0.7)).sum(1)  # Keras' formula
    np.testing.assert_allclose(reported["reconstruction"], bce, rtol=1e-4)
    np.testing.assert_allclose(reported["kl"], kl, rtol=1e-4)
    np.testing.assert_allclose(reported["elbo"], -(bce + kl), rtol=1e-4)
    np.testing.assert_allclose(loss, bce + 3 * kl, rtol=1e-4)


def test_dynamic_draws_belong_to_key_and_example(rng):
    image = np.broadcast_to(np.uint8([0, 64, 128, 255])[:, None], (3, 4, 200))
    batch = {"image": image[..., None]}
    task = Variational(binarize="dynamic")
    x = np.asarray(task.observed(batch, KEYS))
    assert set(np.unique(x)) == {0, 1}
    np.testing.assert_array_equal(task.observed(batch, KEYS), x)
    np.testing.assert_array_equal(task.observed(batch, KEYS[::-1])[::-1], x)
    other = np.asarray(task.observed(batch, jax.random.split(jax.random.key(1), 3)))
    assert (x != x[[1, 2, 0]]).any() and (x != other).any()
    # Each pixel is 1 as often as its grey level says: 600 draws, five deviations.
    share = x.mean((0, 2, 3))
    assert share[0] == 0 and share[3] == 1
    for level, found in ((64, share[1]), (128, share[2])):
        p = level / 255
        assert abs(found - p) < 5 * np.sqrt(p * (1 - p) / 600)


def test_step_draws_anew_and_repeats_itself():
    from jdeconv import train
    from tests.train import tiny

    task = Variational(binarize="dynamic")
    state = tiny.make_state(make_vae(), task)
    batch = tiny.make_batch(4)
    step = jax.jit(train.train_step)
    _, metrics = step(state, batch)
    again = step(state, batch)[1]
    later = step(dataclasses.replace(state, step=state.step + 1), batch)[1]
    assert float(metrics["loss"]) == float(again["loss"]) != float(later["loss"])


def test_fixed_draw_is_the_image_s_own(rng):
    task = Variational(binarize="fixed")
    image = rng.integers(0, 256, (4, 9, 9, 1), dtype=np.uint8)
    image[3] = image[0]
    keys = jax.random.split(jax.random.key(0), 4)
    x = np.asarray(task.observed({"image": image}, keys))
    other = jax.random.split(jax.random.key(9), 4)
    np.testing.assert_array_equal(task.observed({"image": image[::-1]}, other), x[::-1])
    np.testing.assert_array_equal(x[3], x[0])
    np.testing.assert_array_equal(jax.jit(task.observed)({"image": image}, keys), x)
    # Pictures that differ in one pixel by one level have other draws.
    near = image.copy()
    near[:, 0, 0] ^= 1
    assert (np.asarray(task.observed({"image": near}, keys)) != x).sum() > 20
    floats = {"image": image.astype(np.float32) / 255}
    assert set(np.unique(task.observed(floats, keys))) == {0, 1}


def log_marginal(model, x):
    """log of the integral of p(x|z) N(z; 0, 1), one latent variable, by quadrature."""
    z = np.linspace(-12, 12, 20001)
    logits = model.c + z[:, None] @ model.b.astype(np.float64)
    log_p = (logits * x.reshape(-1) - np.logaddexp(0, logits)).sum(1)
    return np.log(np.trapezoid(np.exp(log_p) * scipy.stats.norm.pdf(z), z))


def test_importance_bound_rises_to_the_exact_likelihood(batch):
    model, task = Linear(latent=1), Variational(binarize="fixed")
    # The posterior is to be far from the encoder's, but not too far.
    model.b *= 2
    model.a += 0.4
    x = np.asarray(task.observed(batch, KEYS))
    exact = np.mean([log_marginal(model, image) for image in x])
    many = 1000  # draws of the bound itself, to come near its expectation
    repeated = {"image": np.repeat(batch["image"], many, axis=0)}
    keys = jax.random.split(jax.random.key(5), 3 * many)

    @jax.jit
    def elbo(keys):
        return task.loss(model, repeated, keys)[1]["elbo"].mean()

    @functools.partial(jax.jit, static_argnums=0)
    def bound(count, keys):
        loss, _ = task.likelihood(count).loss(model, repeated, keys)
        return -loss.mean()

    one, five, most = (float(bound(count, keys)) for count in (1, 5, 200))
    assert one == pytest.approx(float(elbo(keys)), abs=0.1)
    assert one < five - 0.1 < five < most - 0.02 < exact
    assert most == pytest.approx(exact, abs=0.05)
    assert exact - one > 0.3


def test_exact_posterior_has_weights_of_no_variance():
    """A decoder that ignores z, a posterior that is the prior: log p(x) at K = 1."""
    model = Linear()
    model.b = 0 * model.b
    model.encode = lambda x: (jnp.zeros((len(x), 3)),) * 2
    batch = {"image": np.full((3, 2, 2, 1), 255, np.uint8)}
    task = Variational(binarize="fixed").likelihood(4)
    loss, _ = jax.jit(lambda b, k: task.loss(model, b, k))(batch, KEYS)
    exact = -np.logaddexp(0, -model.c.astype(np.float64)).sum()
    np.testing.assert_allclose(loss, -exact, rtol=1e-5)


def test_likelihood_cannot_be_trained(batch):
    with pytest.raises(ValueError, match="training=True"):
        Variational().likelihood(2).loss(Linear(), batch, KEYS, training=True)


def test_samples_at_once_divide_their_number():
    with pytest.raises(ValueError, match="at_once=3, count=4: must be"):
        Variational().likelihood(4, at_once=3)


def make_vae(latent=3, size=8, **options):
    from tests.models.test_models import make

    config = {"name": "vae", "features": (4,), "hidden": 8, "latent": latent}
    return make(config | options, (size, size, 1))


@pytest.mark.parametrize("latent, grid", [(3, (3, 8)), (12, (8, 8)), (2, (15, 15))])
def test_pictures_have_the_right_sizes(rng, latent, grid):
    batch = {"image": rng.integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)}
    task, model = Variational(binarize="dynamic"), make_vae(latent)
    keys = jax.random.split(jax.random.key(0), 4)
    images = jax.device_get(jax.jit(lambda b, k: task.images(model, b, k))(batch, keys))
    assert {name: x.shape for name, x in images.items()} == {
        "image": (4, 8, 8, 1),
        "reconstruction": (4, 8, 8, 1),
        "sample": (4, 8, 8, 8, 1),
        "traversal": (*grid, 8, 8, 1),
    }
    assert all(x.min() >= 0 and x.max() <= 1 for x in images.values())
    assert len(np.unique(images["sample"].reshape(32, -1), axis=0)) == 32
    figure = task.figure(images)
    assert figure.dtype == np.uint8 and figure.ndim == 3
    # Three sheets; the widest one, twice enlarged, says how wide a cell is.
    heights = [2 * 9 - 1, 4 * 9 - 1, grid[0] * 9 - 1]
    assert figure.shape[0] > 2 * max(heights)


def test_traversal_moves_one_variable_at_a_time():
    model = Linear(latent=4)
    mean = jnp.array([[0.5, 0.0, 0.0, -1.0]])
    log_var = jnp.array([[0.0, -3.0, 0.0, 0.0]])
    images = jax.jit(lambda m, s: v.traversal(model, m, s))(mean, log_var)
    assert images.shape == (4, 8, 2, 2, 1)
    logits = jnp.log(images / (1 - images)).reshape(4, 8, 4) - model.c
    z = np.asarray(jnp.linalg.lstsq(model.b.T, logits.reshape(-1, 4).T)[0].T)
    z = z.reshape(4, 8, 4)
    # KL: 0.125, 1.02, 0, 0.5: so variables 1, 3, 0, 2.
    for row, variable in enumerate((1, 3, 0, 2)):
        expected = np.repeat(np.asarray(mean), 8, axis=0)
        expected[:, variable] = np.linspace(-3, 3, 8)
        np.testing.assert_allclose(z[row], expected, atol=1e-3)


def test_manifold_is_made_of_quantiles_the_second_variable_upwards():
    model = Linear(latent=2)
    images = v.traversal(model, jnp.zeros((1, 2)), jnp.zeros((1, 2)))
    steps = scipy.stats.norm.ppf((np.arange(15) + 0.5) / 15)
    for row, column in ((0, 14), (3, 0), (14, 7)):
        z = np.float32([[steps[column], -steps[row]]])
        expected = jax.nn.sigmoid(model.decode(z))[0]
        np.testing.assert_allclose(images[row, column], expected, rtol=1e-4)


def test_resized_images_stay_in_0_to_1(rng):
    batch = {"image": 255 * rng.integers(0, 2, (3, 5, 5, 1), dtype=np.uint8)}
    task = Variational(Preprocess(size=(8, 8), method="cubic"))
    x = np.asarray(task.observed(batch, KEYS))
    assert x.shape == (3, 8, 8, 1) and x.min() >= 0 and x.max() <= 1


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"beta": -1.0}, "beta=-1.0"),
        ({"binarize": "static"}, "binarize='static'.*none, dynamic, fixed"),
        ({"binarize": "fixed", "augment": "shift"}, "'fixed' with data.augment"),
        ({"preprocess": Preprocess(range=(-1, 1))}, "0 .. 1"),
        ({"preprocess": Preprocess(standardize="image")}, "0 .. 1"),
    ],
)
def test_illegal_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Variational(**fields)


def test_network_of_another_size_is_named(batch):
    model = Linear(size=3)
    model.encode = Linear().encode
    with pytest.raises(ValueError, match=r"\(3, 3, 3, 1\).*\(3, 2, 2, 1\)"):
        Variational().loss(model, batch, KEYS)
