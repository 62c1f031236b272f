"""The mean over the square's symmetries equals the eight results, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models


def make(name, **options):
    network = models.build(
        {"name": name, **options},
        image_shape=(8, 8, 1),
        num_classes=3,
        rngs=nnx.Rngs(0),
    )
    draw = np.random.default_rng(1)  # of another kind than zeros and centred windows
    params = jax.tree.map(
        lambda p: p + jnp.asarray(draw.normal(size=p.shape) / 5, p.dtype),
        nnx.state(network, nnx.Param),
    )
    nnx.update(network, params)
    network.eval()
    return network


def eight(network, x, **given):
    results = []
    for turns in range(4):
        for back in (1, -1):
            seen = np.rot90(x, turns, (1, 2))[:, :, ::back]
            y = np.asarray(network(jnp.asarray(seen), **given))
            results.append(np.rot90(y[:, :, ::back], -turns, (1, 2)))
    return np.mean(results, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "fsrcnn", "scale": 2, "features": 4, "shrunk": 3, "depth": 1},
        pytest.param(
            {"name": "ffdnet", "features": 4, "depth": 3}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"name": "unet", "features": 4, "stages": 2}, marks=pytest.mark.slow
        ),
    ],
    ids=lambda options: options["name"],
)
def test_is_the_mean_of_eight_results(options, rng):
    network = make(**options)
    x = rng.random((2, 8, 12, 1), np.float32)
    given = {}
    if getattr(network, "condition", None):
        given = {"noise_std": jnp.array([0.1, 0.3])}
    ensemble = models.SelfEnsemble(network)
    assert (ensemble.output, ensemble.condition) == (
        network.output,
        getattr(network, "condition", None),
    )
    y = jax.jit(lambda x: ensemble(x, **given))(x)
    expected = eight(network, x, **given)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(np.asarray(network(x, **given)) - expected).max() > 1e-3
    # It has no side that is up.
    turned = ensemble(jnp.rot90(x, axes=(1, 2)), **given)
    np.testing.assert_allclose(turned, np.rot90(y, axes=(1, 2)), atol=1e-5)


def test_logits_of_whole_images_are_refused():
    with pytest.raises(ValueError, match="network CNN with output 'logits'"):
        models.SelfEnsemble(make("cnn"))
