"""Rearrangement, interpolation and blur pooling against PyTorch and jax.image."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv import ops
from tests.ops.oracles import matrix

SIZES = [(11, 5), (4, 14), (7, 8), (1, 1), (21, 24)]


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 7, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("block", [2, (3, 2), (2,), (1, 2, 2)])
def test_depth_to_space_and_back(block, rng):
    d = 2 if isinstance(block, int) else len(block)
    blocks = (block,) * d if isinstance(block, int) else block
    x = jnp.asarray(rng.normal(size=(2, *range(3, 3 + d), 2 * int(np.prod(blocks)))))
    y = ops.depth_to_space(x, block)
    assert y.shape == (2, *(n * b for n, b in zip(range(3, 3 + d), blocks)), 2)
    np.testing.assert_array_equal(ops.space_to_depth(y, block), x)
    # Channel (position in block, feature) of the first pixel lands in the first block.
    corner = y[(0, *(slice(b) for b in blocks))]
    np.testing.assert_array_equal(corner.ravel(), x[(0, *(0,) * d)])


def test_pixel_shuffle_differs_by_the_order_of_channels(rng):
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(1, 3, 4, 8)).astype(np.float32)
    ours = ops.depth_to_space(jnp.asarray(x), 2)
    theirs = torch.nn.functional.pixel_shuffle(
        # (position, feature) -> (feature, position)
        torch.from_numpy(
            x.reshape(1, 3, 4, 4, 2).transpose(0, 4, 3, 1, 2).copy()
        ).reshape(1, 8, 3, 4),
        2,
    )
    np.testing.assert_array_equal(np.moveaxis(ours, -1, 1), theirs)


def test_resize_equals_jax_image(x):
    methods = ("nearest", "linear", "cubic", "lanczos3")
    cases = list(itertools.product(methods, (False, True), SIZES))

    @jax.jit
    def both(x):
        pairs = []
        for method, antialias, size in cases:
            theirs = jax.image.resize(
                x,
                (2, *size, 3),
                method=method,
                antialias=antialias,
                precision="highest",
            )
            ours = ops.resize(x, size, method=method, antialias=antialias)
            pairs.append((ours, theirs))
        return pairs

    for (ours, theirs), case in zip(both(x), cases):
        np.testing.assert_allclose(ours, theirs, atol=2e-5, err_msg=str(case))


def test_linear_equals_torch(x):
    torch = pytest.importorskip("torch")
    cases = list(itertools.product((False, True), SIZES))

    @jax.jit
    def resize(x):
        return [ops.resize(x, size, align_corners=corners) for corners, size in cases]

    for y, (corners, size) in zip(resize(x), cases):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(np.moveaxis(x, -1, 1).copy()),
            size,
            mode="bilinear",
            align_corners=corners,
        )
        np.testing.assert_allclose(np.moveaxis(y, -1, 1), expected, atol=2e-5)


def test_antialias_equals_pillow(x):
    """Pillow widens its kernels when shrinking and uses Keys' a = -1/2 too."""
    image = pytest.importorskip("PIL.Image")
    filters = {
        "linear": image.Resampling.BILINEAR,
        "cubic": image.Resampling.BICUBIC,
        "lanczos3": image.Resampling.LANCZOS,
    }
    grey = x[0, ..., 0]
    for method, resampling in filters.items():
        expected = image.fromarray(grey).resize((3, 4), resampling)
        y = ops.resize(grey[..., None], (4, 3), method=method, antialias=True)
        np.testing.assert_allclose(y[..., 0], np.asarray(expected), atol=1e-5)


@pytest.mark.parametrize("method", ["linear", "cubic", "lanczos3"])
def test_align_corners_keeps_the_corners_and_constants(method, x):
    y = ops.resize(jnp.asarray(x), (15, 22), method=method, align_corners=True)
    np.testing.assert_allclose(y[:, ::14, ::21], x[:, ::6, ::7], atol=1e-5)
    ones = ops.resize(jnp.ones((7, 8, 1)), (15, 3), method=method, align_corners=True)
    np.testing.assert_allclose(ones, 1, atol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: ops.resize(x, (5,), method="cubic"),
        lambda x: ops.resize(x, (24,), method="nearest"),
        lambda x: ops.resize(x, (11,), method="nearest"),
        lambda x: ops.blur_pool(x, (2,)),
        lambda x: ops.blur_pool(x, (3,), taps=(1, 4, 6, 3)),
    ],
    ids=["cubic", "nearest by 3", "nearest", "blur", "blur even"],
)
def test_linear_with_an_exact_transpose(f, rng):
    dense = matrix(lambda x: np.asarray(f(jnp.asarray(x, jnp.float32))), (8, 1))
    y = rng.normal(size=(len(dense), 1)).astype(np.float32)
    (back,) = jax.linear_transpose(f, jnp.zeros((8, 1)))(jnp.asarray(y))
    np.testing.assert_allclose(back[:, 0], dense.T @ y[:, 0], atol=1e-6)


def test_transforms(x):
    f = lambda x: ops.blur_pool(ops.resize(x, (14, 9)), 2)  # noqa: E731
    images = jnp.asarray(x)
    y, tangent = jax.jit(lambda x: jax.jvp(f, (x,), (x,)))(images)
    np.testing.assert_allclose(tangent, y, atol=1e-6)  # linear: its own derivative
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(images), y, atol=1e-6)


def test_blur_pool_is_a_binomial_filter_and_stride(rng):
    x = rng.normal(size=(6, 7, 2)).astype(np.float32)
    y = ops.blur_pool(jnp.asarray(x), 2)
    padded = np.pad(x, [(1, 1), (1, 1), (0, 0)], mode="reflect")
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = sum(
        taps[i, j] * padded[i : i + 6, j : j + 7] for i in range(3) for j in range(3)
    )[::2, ::2]
    np.testing.assert_allclose(y, expected, atol=1e-6)
    np.testing.assert_allclose(ops.blur_pool(jnp.ones((8, 1)), (2,)), 1, rtol=1e-6)


def test_16_bit_images_are_resized_in_32(rng):
    x = jnp.asarray(rng.normal(size=(9, 9, 1)), jnp.bfloat16)
    y = ops.resize(x, (4, 4), antialias=True)
    assert y.dtype == jnp.bfloat16
    wide = ops.resize(x.astype(jnp.float32), (4, 4), antialias=True)
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))
    with jax.numpy_dtype_promotion("strict"):
        ops.resize(x, (4, 12), method="cubic")
        y = ops.blur_pool(x, 2)
    wide = ops.blur_pool(x.astype(jnp.float32), 2)
    np.testing.assert_array_equal(y, wide.astype(jnp.bfloat16))


def test_empty_batch():
    y = ops.depth_to_space(jnp.ones((0, 4, 4, 8)), 2)
    assert y.shape == (0, 8, 8, 2)
    assert ops.space_to_depth(y, 2).shape == (0, 4, 4, 8)
    assert ops.resize(y, (3, 3)).shape == (0, 3, 3, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.resize(x, (4, 4), method="area"), "'area'.*lanczos3"),
        (lambda x: ops.resize(x, (0, 4)), "size"),
        (lambda x: ops.resize(x, (4, 4, 4, 4)), "4 spatial axes"),
        (lambda x: ops.depth_to_space(x, 2), "multiple of 4"),
        (lambda x: ops.space_to_depth(x, 2), "multiples of block"),
        (lambda x: ops.blur_pool(x, 2, taps=(1, -1)), "taps"),
        (lambda x: ops.blur_pool(x[:1], 2), "REFLECT"),
        (lambda x: ops.blur_pool(x[0], 2), "2 spatial axes"),
        (lambda x: ops.resize(x[:0], (4, 4)), "none of them empty"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((5, 5, 3)))
    with pytest.raises(TypeError, match="floating"):
        ops.resize(jnp.ones((5, 5, 3), jnp.uint8), (4, 4))
    with pytest.raises(TypeError, match="size=4: must be a sequence"):
        ops.resize(jnp.ones((5, 5, 3)), 4)
