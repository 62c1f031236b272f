"""Random shifts and mirror images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.data.augment import MODES, augment, augment_pair

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


def test_the_eight_symmetries_of_a_square_all_occur(x):
    square = x[:, :, :6]
    y = np.asarray(augment(KEYS, square, "dihedral"))
    seen = set()
    for before, after in zip(np.asarray(square), y):
        turned = [np.rot90(m, k) for m in (before, before[:, ::-1]) for k in range(4)]
        places = [i for i, image in enumerate(turned) if (image == after).all()]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 8
    with pytest.raises(ValueError, match=r"'dihedral' of images 6 x 7"):
        augment(KEYS, x, "dihedral")


@pytest.mark.parametrize("mode", MODES)
def test_image_and_mask_stay_aligned(mode):
    """The image holds its own place as a number, and the mask the same one."""
    place = jnp.arange(1, 12 * 9 + 1).reshape(12, 9)
    x = jnp.broadcast_to(place[None, ..., None], (64, 12, 9, 1)).astype(jnp.float32)
    mask = jnp.broadcast_to(place, (64, 12, 9)).astype(jnp.uint8)
    pair = augment_pair(KEYS, x, mask, mode, ignore=255, crop=(5, 5))
    image, mask = (np.asarray(a) for a in pair)
    assert image.shape == (64, 5, 5, 1) and mask.shape == (64, 5, 5)
    outside = image[..., 0] == 0  # zeros shifted in
    np.testing.assert_array_equal(mask, np.where(outside, 255, image[..., 0]))
    assert outside.any() == ("shift" in mode)
    corners = {tuple(m.ravel()) for m in mask}
    assert len(corners) > 20  # of 8 x 5 places


def test_windows_lie_anywhere_and_do_not_depend_on_the_batch(x):
    mask = jnp.zeros(x.shape[:3], jnp.uint8)
    whole, _ = augment_pair(KEYS, x, mask, "none", ignore=255, crop=(5, 5))
    part, _ = augment_pair(
        KEYS[10:20], x[10:20], mask[10:20], "none", ignore=255, crop=(5, 5)
    )
    np.testing.assert_array_equal(whole[10:20], part)
    seen = set()
    for before, after in zip(np.asarray(x), np.asarray(whole)):
        for r, c in np.ndindex(2, 3):
            if (before[r : r + 5, c : c + 5] == after).all():
                seen.add((r, c))
    assert len(seen) == 6
    with pytest.raises(ValueError, match=r"crop=\(7, 5\): must be at most.*\(6, 7\)"):
        augment_pair(KEYS, x, mask, "none", ignore=255, crop=(7, 5))


@pytest.mark.parametrize("mode", MODES)
def test_examples_do_not_depend_on_their_batch(mode, x):
    x = x[:, :, :6]
    whole = augment(KEYS, x, mode)
    assert whole.shape == x.shape
    np.testing.assert_array_equal(whole[10:20], augment(KEYS[10:20], x[10:20], mode))
    if mode == "none":
        np.testing.assert_array_equal(whole, x)


def test_unknown_mode_is_named(x):
    with pytest.raises(ValueError, match=r"augment='rotate'.*shift_flip"):
        augment(KEYS, x, "rotate")
