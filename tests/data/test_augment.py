"""Random shifts and mirror images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.data.augment import MODES, augment

KEYS = jax.random.split(jax.random.key(0), 64)


@pytest.fixture
def x(rng):
    return jnp.asarray(rng.uniform(1, 2, size=(64, 6, 7, 2)), jnp.float32)


def test_shifts_are_whole_pixels_within_reach_and_all_occur(x):
    y = np.asarray(augment(KEYS, x, "shift", reach=1))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = set()
    for i in range(64):
        places = [
            (r, c)
            for r in range(3)
            for c in range(3)
            if (padded[i, r : r + 6, c : c + 7] == y[i]).all()
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 9


def test_flip_mirrors_about_half_of_the_images(x):
    y = augment(KEYS, x, "flip")
    same = np.array([bool((a == b).all()) for a, b in zip(y, x)])
    mirrored = np.array([bool((a == b[:, ::-1]).all()) for a, b in zip(y, x)])
    assert (same ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


@pytest.mark.parametrize("mode", MODES)
def test_examples_do_not_depend_on_their_batch(mode, x):
    whole = augment(KEYS, x, mode)
    assert whole.shape == x.shape
    np.testing.assert_array_equal(whole[10:20], augment(KEYS[10:20], x[10:20], mode))
    if mode == "none":
        np.testing.assert_array_equal(whole, x)


def test_unknown_mode_is_named(x):
    with pytest.raises(ValueError, match=r"augment='rotate'.*shift_flip"):
        augment(KEYS, x, "rotate")
