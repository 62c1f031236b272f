"""The bootstrap's standard deviation is that of estimates from new measurements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.ops import fourier
from jdeconv.restore import Blur, noise, psf, uncertainty
from jdeconv.restore.frame import power_spectrum
from jdeconv.restore.method import settle

STD = 0.03
KERNEL = psf.gaussian(1.5)


@pytest.fixture(scope="module")
def scene():
    data = pytest.importorskip("skimage.data", reason="the photograph is its")
    return jnp.asarray(data.camera()[100:156, 180:236], jnp.float32) / 255


def test_of_a_linear_filter_it_is_what_the_filter_does_to_noise(scene):
    balance = 0.02
    y = Blur(KERNEL, scene.shape)(scene)
    found = uncertainty(
        jax.random.key(0),
        y,
        KERNEL,
        num_samples=64,
        method="wiener",
        weight=balance,
        noise_std=STD,
        boundary="circular",
    )
    otf = np.asarray(
        fourier.transfer_function(
            KERNEL / KERNEL.sum(), scene.shape, [n // 2 for n in KERNEL.shape]
        )
    )
    power = np.asarray(power_spectrum(scene.shape, jnp.float32))
    gain = np.abs(otf) / (np.abs(otf) ** 2 + balance * power)
    # Of the half of a real image's spectrum that is stored, most stands for two.
    twice = np.full(gain.shape, 2.0)
    twice[:, 0] = twice[:, -1] = 1
    exact = STD * np.sqrt(np.sum(twice * gain**2) / scene.size)
    mean = float(jnp.sqrt(jnp.mean(found.std**2)))
    assert mean == pytest.approx(exact, rel=0.03)
    # Each pixel's own is known to 1 / sqrt(2 * 64).
    assert float(jnp.std(found.std)) == pytest.approx(exact / np.sqrt(128), rel=0.3)


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param({"likelihood": "poisson"}, marks=pytest.mark.slow),
        pytest.param(
            {"likelihood": "poisson", "method": "richardson_lucy"},
            marks=pytest.mark.slow,
        ),
        pytest.param({"method": "plug_and_play"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_is_the_scatter_of_new_measurements(scene, options):
    """Against 48 measurements of the true scene, which the bootstrap does not know."""
    blurred = Blur(KERNEL, scene.shape, "reflect")(scene)
    peak = jnp.mean(blurred) / STD**2

    def measure(key):
        if options.get("likelihood") == "poisson":
            return noise.poisson(key, blurred, peak)
        return noise.gaussian(key, blurred, STD)

    keys = jax.random.split(jax.random.key(1), 49)
    y = measure(keys[0])
    found = uncertainty(
        jax.random.key(2), y, KERNEL, num_samples=48, noise_std=STD, **options
    )
    solve = settle(y, KERNEL, noise_std=STD, fixed=True, **options)
    again = jnp.std(
        jax.vmap(lambda key: solve(measure(key), "unknown"))(keys[1:]), 0, ddof=1
    )
    ratio = jnp.sqrt(jnp.mean(found.std**2) / jnp.mean(again**2))
    assert 0.85 < float(ratio) < 1.15
    # Where the estimate is less certain is told, too: pixels by falling certainty.
    order = jnp.argsort(found.std.ravel())
    parts = jnp.sqrt(jnp.mean(again.ravel()[order].reshape(4, -1) ** 2, 1))
    assert float(parts[-1] / parts[0]) > 1.5 and (np.diff(parts) > 0).all()


def test_the_bias_is_what_smoothing_takes_from_edges(scene):
    y = noise.gaussian(
        jax.random.key(0), Blur(KERNEL, scene.shape, "reflect")(scene), STD
    )
    strong, weak = (
        uncertainty(
            jax.random.key(1), y, KERNEL, num_samples=8, noise_std=STD, weight=weight
        )
        for weight in (0.03, 0.003)
    )

    def size(x):
        return float(jnp.sqrt(jnp.mean(x**2)))

    assert size(strong.bias) > size(strong.std) and size(weak.bias) < size(weak.std)
    assert size(strong.std) < size(weak.std)


@pytest.mark.slow
def test_colours_and_batches_keep_their_places(scene):
    y = jnp.stack([scene, scene[::-1], scene.T], -1)[None, :40, :40]
    options = dict(num_samples=2, method="wiener", weight=0.1, noise_std=STD)
    found = uncertainty(jax.random.key(0), y, KERNEL, channel_axis=-1, **options)
    assert found.image.shape == found.std.shape == found.bias.shape == y.shape
    grey = uncertainty(jax.random.key(0), y[..., 1], KERNEL, **options)
    np.testing.assert_allclose(found.image[..., 1], grey.image, atol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_samples": 1}, "num_samples=1: must be >= 2"),
        ({"batch_size": 0}, "batch_size=0: must be >= 1"),
        ({"method": "magic"}, "method='magic': must be one of"),
    ],
)
def test_says_what_is_wrong(scene, options, message):
    with pytest.raises(ValueError, match=message):
        uncertainty(jax.random.key(0), scene, KERNEL, **options)
