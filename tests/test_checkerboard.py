import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import checkerboard, models, nn, ops


def test_all_ones_ratio_is_what_the_operator_does():
    cases = list(itertools.product((1, 2, 3, 4, 5), (1, 2, 3), (1, 2)))

    @jax.jit
    def of_ones():
        return [
            ops.conv_transpose(
                jnp.ones((40, 1)),
                jnp.ones((window, 1, 1)),
                strides=stride,
                kernel_dilation=dilation,
            )
            for window, stride, dilation in cases
        ]

    for (window, stride, dilation), x in zip(cases, of_ones()):
        inside = np.asarray(x)[15:-15]
        ratio = inside.max() / inside.min() if inside.min() else np.inf
        found = checkerboard.all_ones_ratio((window,), stride, kernel_dilation=dilation)
        assert found == ratio, (window, stride, dilation)
    assert checkerboard.all_ones_ratio((3, 4), (2, 3)) == 2 * 2


def test_energy_of_known_images(rng):
    rows, columns = np.mgrid[:32, :48]
    noise = rng.normal(size=(400, 32, 48, 1))
    images = {
        "board": (rows + columns) % 2,
        "stripes": rows % 2,
        "tiles": 1.0 * (rows % 2 == 0) * (columns % 2 == 0),
        "ramp": rows + 2 * columns,
        "waves": np.sin(rows / 3) * np.cos(columns / 4),
        "blank": np.full((32, 48), 0.7),
    }
    x = jnp.asarray(np.stack(list(images.values())), jnp.float32)[..., None]
    found = dict(zip(images, checkerboard.energy(x).tolist()))
    for name in ("board", "stripes", "tiles"):
        assert found[name] == pytest.approx(1, abs=0.01), name
    assert max(found[n] for n in ("ramp", "waves", "blank")) < 1e-4
    white = checkerboard.energy(jnp.asarray(noise, jnp.float32))
    assert float(white.mean()) == pytest.approx(9 * 3 / (32 * 48), rel=0.05)


def test_energy_is_the_share_that_was_added():
    rows, columns = np.mgrid[:64, :64]
    picture = np.sin(rows / 5) + np.cos(columns / 7)
    for stride, other in ((2, 3), (3, 2)):
        pattern = (rows % stride == 0) * 1.0
        pattern -= pattern.mean()
        pattern *= 0.1 * picture.std() / pattern.std()
        x = jnp.asarray(picture + pattern, jnp.float32)[None, ..., None]
        share = float(checkerboard.energy(x, stride)[0])
        assert share == pytest.approx(0.01 / 1.01, rel=0.15)
        assert float(checkerboard.energy(x, other)[0]) < 1e-4


def test_odd_window_shows_in_what_a_layer_makes():
    kernel = {w: jnp.ones((w, w, 1, 1)) for w in (3, 4)}
    smooth = jnp.ones((1, 16, 16, 1))
    made = {
        w: ops.conv_transpose(smooth, k, strides=2, padding="CIRCULAR")
        for w, k in kernel.items()
    }
    assert float(checkerboard.energy(made[3])[0]) > 0.99
    assert float(checkerboard.energy(made[4])[0]) < 1e-6


def test_too_small_an_image_and_too_small_a_stride_are_refused():
    with pytest.raises(ValueError, match="needs 12 x 12 pixels or more"):
        checkerboard.energy(jnp.zeros((1, 11, 16, 1)), 3)
    with pytest.raises(ValueError, match="strides"):
        checkerboard.energy(jnp.zeros((1, 16, 16, 1)), 1)


def test_advice_names_the_layers_with_a_pattern_and_no_others():
    model = models.Autoencoder((16, 16, 1), rngs=nnx.Rngs(0))
    first, second = checkerboard.advice(model)
    assert first.startswith("decoder.layers.0: window 3x3 with strides (2, 2): some")
    assert "4 times as many taps" in first and "window 4x4" in first
    assert second.startswith("decoder.layers.1")
    for options in ({"kernel_size": 4}, {"upsample": "resize"}):
        model = models.Autoencoder((16, 16, 1), **options, rngs=nnx.Rngs(0))
        assert checkerboard.advice(model) == []
    holes = nn.ConvTranspose(1, 1, 2, 3, rngs=nnx.Rngs(0))
    (sentence,) = checkerboard.advice(holes)
    assert "reached by no tap" in sentence and "window 3," in sentence
