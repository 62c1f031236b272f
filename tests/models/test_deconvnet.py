"""Projection to pixels against explicit loops, PyTorch and jax.grad."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models, nn, ops
from jdeconv.models import deconvnet
from tests.parameters import fast_if


class Small(nnx.Module):
    """conv 3x3 SAME -> relu -> pool 2x2 -> conv 3x3 VALID, stride 2 -> relu."""

    def __init__(self, rngs):
        options = {"bias_init": jax.nn.initializers.normal(0.3), "rngs": rngs}
        self.first = nn.Conv(2, 3, (3, 3), **options)
        self.second = nn.Conv(3, 4, (3, 3), 2, padding="VALID", **options)

    def __call__(self, x):
        x = ops.max_pool(jax.nn.relu(self.first(x)), 2)
        return jax.nn.relu(self.second(x))


def taps(x, kernel, stride, margin):
    """All (output, input, kernel value) triples of a conv of one image, by loops."""
    size = [(n + 2 * margin - 3) // stride + 1 for n in x.shape[:2]]
    for i, j, a, b in np.ndindex(*size, 3, 3):
        row, column = i * stride + a - margin, j * stride + b - margin
        if 0 <= row < x.shape[0] and 0 <= column < x.shape[1]:
            yield (i, j), (row, column), kernel[a, b]


def conv(x, kernel, bias, stride, margin):
    size = [(n + 2 * margin - 3) // stride + 1 for n in x.shape[:2]]
    y = np.tile(bias, (*size, 1))
    for out, into, weights in taps(x, kernel, stride, margin):
        y[out] += x[into] @ weights
    return y


def conv_down(g, x, kernel, stride, margin):
    down = np.zeros_like(x)
    for out, into, weights in taps(x, kernel, stride, margin):
        down[into] += weights @ g[out]
    return down


def pool(x):
    """2x2 maxima and the switches: the row and column of each."""
    y = np.zeros((x.shape[0] // 2, x.shape[1] // 2, x.shape[2]))
    switches = {}
    for i, j, c in np.ndindex(y.shape):
        cell = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        a, b = np.unravel_index(np.argmax(cell), (2, 2))
        y[i, j, c], switches[i, j, c] = cell[a, b], (2 * i + a, 2 * j + b)
    return y, switches


def explicit_deconvnet(model, x, channel, method):
    """Zeiler and Fergus' section 2.1 word by word, for one image and `Small`."""
    kernels = [
        np.asarray(layer.kernel[...], float) for layer in (model.first, model.second)
    ]
    biases = [
        np.asarray(layer.bias[...], float) for layer in (model.first, model.second)
    ]
    before_1 = conv(x, kernels[0], biases[0], 1, 1)
    pooled, switches = pool(np.maximum(before_1, 0))
    before_2 = conv(pooled, kernels[1], biases[1], 2, 0)
    strongest = np.unravel_index(np.argmax(before_2[..., channel]), before_2.shape[:2])

    def rectify(g, before):
        if method != "gradient":
            g = np.maximum(g, 0)
        return g if method == "deconvnet" else np.where(before > 0, g, 0)

    g = np.zeros_like(before_2)
    g[(*strongest, channel)] = 1
    g = conv_down(rectify(g, before_2), pooled, kernels[1], 2, 0)
    unpooled = np.zeros_like(before_1)
    for (i, j, c), (row, column) in switches.items():
        unpooled[row, column, c] = g[i, j, c]
    pixels = conv_down(rectify(unpooled, before_1), x, kernels[0], 1, 1)
    return pixels, max(before_2[(*strongest, channel)], 0), strongest


@pytest.mark.parametrize("method", fast_if(deconvnet.METHODS, ("deconvnet",)))
def test_projection_equals_explicit_loops(method, rng):
    model = Small(nnx.Rngs(0))
    x = rng.normal(size=(3, 10, 11, 2)).astype(np.float32)
    made = models.project(model, x, 2, method=method)
    for image, pixels, value, position in zip(x, *made):
        expected, activation, strongest = explicit_deconvnet(model, image, 2, method)
        np.testing.assert_allclose(pixels, expected, atol=1e-5)
        np.testing.assert_allclose(value, activation, rtol=1e-5)
        assert tuple(position) == strongest
        assert np.abs(expected).max() > 0.1  # a unit that is on


def test_unpooling_is_that_of_pytorch(rng):
    """What comes down through a pool is MaxUnpool2d of it, with PyTorch's switches."""
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(2, 9, 8, 3)).astype(np.float32)
    g = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    _, down = jax.vjp(lambda x: ops.max_pool(x, 2), x)
    first = torch.from_numpy(x).permute(0, 3, 1, 2)
    pooled, switches = torch.nn.functional.max_pool2d(first, 2, return_indices=True)
    unpooled = torch.nn.MaxUnpool2d(2)(
        torch.from_numpy(g).permute(0, 3, 1, 2), switches, output_size=first.shape
    )
    expected = unpooled.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(down(g)[0], expected)
    y, ours = ops.max_pool_with_switches(x, 2)
    np.testing.assert_array_equal(y, pooled.permute(0, 2, 3, 1).numpy())
    np.testing.assert_array_equal(ops.max_unpool(g, ours, output_size=(9, 8)), expected)


@pytest.fixture(scope="module")
def classifier():
    """A CNN in training mode, whose batch norms have seen something."""
    model = models.CNN((8, 8, 1), num_classes=3, blocks=((5,), (6,)), rngs=nnx.Rngs(1))
    for _, norm in model.layers:
        size = norm.num_features
        norm.mean[...], norm.var[...] = (
            jnp.linspace(-0.5, 1, size),
            jnp.arange(1.0, size + 1),
        )
    model.train()
    return model


def test_gradient_is_the_gradient_of_the_unit(classifier, rng):
    x = rng.normal(size=(2, 8, 8, 1)).astype(np.float32)
    features = models.layer_output(classifier, "layers.1.1")
    made = models.project(features, x, [4, 1], positions=(2, 0), method="gradient")

    def unit(x):
        return features(x)[0, 2, 0, 4] + features(x)[1, 2, 0, 1]

    np.testing.assert_array_equal(made.pixels, jax.grad(unit)(x))
    np.testing.assert_array_equal(made.positions, [[2, 0], [2, 0]])


@pytest.mark.slow
def test_batch_norm_scales_and_biases_take_no_part(rng):
    """Below batch norm the kernel is scaled; shifts only move where a ReLU is on."""
    norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    norm.scale[...], norm.bias[...] = jnp.array([2.0, 3, 4]), jnp.array([5.0, 6, 7])
    norm.mean[...], norm.var[...] = jnp.array([1.0, 0, 0]), jnp.array([4.0, 9, 16])
    norm.eval()
    layer = nn.Conv(1, 3, (3, 3), use_bias=False, rngs=nnx.Rngs(0))
    x = rng.normal(size=(1, 5, 5, 1)).astype(np.float32)
    made = models.project(lambda x: norm(layer(x)), x, 1, positions=(2, 2))
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = layer.kernel[:, :, 0, 1] * 3 / np.sqrt(9 + norm.epsilon)
    np.testing.assert_allclose(made.pixels[0, ..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize("method", ("deconvnet", "guided"))
def test_relus_inside_calls_are_found(classifier, rng, method):
    x = rng.normal(size=(2, 8, 8, 1)).astype(np.float32)
    features = models.layer_output(classifier, "layers.1.1")
    plain = models.project(features, x, 3, method=method)
    assert (
        plain.pixels != models.project(features, x, 3, method="gradient").pixels
    ).any()
    for wrapped in (jax.jit(features), jax.checkpoint(features)):
        inside = models.project(wrapped, x, 3, method=method)
        np.testing.assert_allclose(inside.pixels, plain.pixels, atol=1e-5)
    compiled = jax.jit(lambda x: models.project(features, x, 3, method=method))(x)
    np.testing.assert_allclose(compiled.pixels, plain.pixels, atol=1e-5)


def test_what_cannot_be_done_is_said():
    def branch(x):
        return jax.lax.cond(x.sum() > 0, jax.nn.relu, lambda x: x, x)

    x = jnp.ones((2, 4, 3))
    with pytest.raises(NotImplementedError, match="cond"):
        models.project(branch, x, 0)
    assert models.project(branch, x, 0, method="gradient").pixels.shape == x.shape
    with pytest.raises(ValueError, match="deconvnet, guided, gradient"):
        models.project(jax.nn.relu, x, 0, method="saliency")
    with pytest.raises(ValueError, match=r"channel=3: must be 0 .. 2"):
        models.project(jax.nn.relu, x, 3)
    with pytest.raises(ValueError, match=r"positions=\(4,\): must be 0 .. 3"):
        models.project(jax.nn.relu, x, 0, positions=(4,))


@pytest.mark.slow
def test_every_network_projects_and_logits_have_no_grid(rng):
    x = rng.uniform(size=(2, 12, 12, 1)).astype(np.float32)
    tutorial = models.ConvDeconvNet((12, 12, 1), num_classes=4, rngs=nnx.Rngs(0))
    deconv = models.layer_output(tutorial, "deconv")

    def pixels(network, **options):
        return jax.eval_shape(
            lambda x: models.project(network, x, 0, **options).pixels, x
        )

    assert pixels(deconv).shape == x.shape
    made = models.project(models.layer_output(tutorial, "dense"), x, [3, 0])
    assert made.positions.shape == (2, 0)
    np.testing.assert_allclose(
        made.values, tutorial(x)[jnp.arange(2), jnp.array([3, 0])], rtol=1e-5
    )
    tied = models.Autoencoder(
        (12, 12, 1), downsample="stride", tied=True, rngs=nnx.Rngs(0)
    )
    assert pixels(tied, positions=(5, 6)).shape == x.shape


def test_layer_output_is_a_copy_in_evaluation_mode(classifier, rng):
    x = rng.normal(size=(2, 8, 8, 1)).astype(np.float32)
    logits = models.layer_output(classifier, "dense")
    expected = nnx.clone(classifier)
    expected.eval()
    before = expected(x)
    np.testing.assert_array_equal(logits(x), before)
    changed = nnx.clone(classifier)
    frozen = models.layer_output(changed, "dense")
    changed.dense.bias[...] += 1
    np.testing.assert_array_equal(frozen(x), before)
    assert not classifier.layers[0][1].use_running_average  # still in training mode
    assert type(classifier.dense) is nnx.Linear
    with pytest.raises(ValueError, match="layers.0.0"):
        models.layer_output(classifier, "conv1")

    class Twice(nnx.Module):
        def __init__(self):
            self.layer = nnx.Linear(2, 2, rngs=nnx.Rngs(0))

        def __call__(self, x):
            return self.layer(self.layer(x))

    with pytest.raises(ValueError, match="called 2 times"):
        models.layer_output(Twice(), "layer")(jnp.ones((1, 2)))
