"""The denoisers of plug-and-play."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdeconv.restore import denoisers, noise
from tests.restore.scores import decibels


def numpy_dct(x, std, n, threshold):
    """Block by block, as it is described."""
    from scipy.fft import dctn, idctn

    def blocks():
        for corner in np.ndindex(x.shape):
            index = np.ix_(*[(np.arange(n) + c) % m for c, m in zip(corner, x.shape)])
            yield index

    def run(shrink):
        total, weight = np.zeros(x.shape), np.zeros(x.shape)
        for index in blocks():
            block, w = shrink(index)
            total[index] += w * idctn(block, norm="ortho")
            weight[index] += w
        return total / weight

    mean = (0,) * x.ndim

    def hard(index):
        c = dctn(x[index], norm="ortho")
        kept = abs(c) > threshold * std
        kept[mean] = True
        return c * kept, 1 / kept.sum()

    pilot = run(hard)

    def soft(index):
        p = dctn(pilot[index], norm="ortho") ** 2
        share = p / (p + std**2)
        share[mean] = 1
        return share * dctn(x[index], norm="ortho"), 1 / (share**2).sum()

    return run(soft)


@pytest.mark.parametrize("shape, block", [((40,), 16), ((17, 14), 8), ((6, 7, 5), 4)])
def test_dct_equals_a_loop_over_blocks(shape, block):
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=shape)
        ours = denoisers.dct(jnp.asarray(x), 0.4, num_axes=len(shape))
        np.testing.assert_allclose(ours, numpy_dct(x, 0.4, block, 2.7), atol=1e-9)


def haar(stack):
    """Half sums and half differences, and so on with the sums; the mean first."""
    if len(stack) == 1:
        return stack
    even, odd = stack[::2], stack[1::2]
    return np.concatenate([haar((even + odd) / 2**0.5), (even - odd) / 2**0.5])


def inverse_haar(c):
    if len(c) == 1:
        return c
    sums, differences = inverse_haar(c[: len(c) // 2]), c[len(c) // 2 :]
    pairs = np.stack([sums + differences, sums - differences], 1) / 2**0.5
    return pairs.reshape(c.shape)


def splines(x):
    """Biorthogonal wavelets 1.5 along the last axis, a period; the mean first."""
    n = x.shape[-1]
    if n == 1:
        return x
    taps = np.array([3, -3, -22, 22, 128, 128, 22, -22, -3, 3]) / 256
    means = [
        sum(tap * x[..., (2 * i + t) % n] for t, tap in zip(range(-4, 6), taps))
        for i in range(n // 2)
    ]
    details = x[..., ::2] - x[..., 1::2]
    return np.concatenate([splines(np.stack(means, -1)), details], -1)


def numpy_bm3d(x, std):
    """Stack by stack, as it is described."""
    from scipy.fft import dctn, idctn

    rows_of = splines(np.eye(8)).T
    wavelets = rows_of / np.linalg.norm(rows_of, axis=1, keepdims=True)
    back = np.linalg.inv(wavelets)
    window = np.outer(np.kaiser(8, 2.0), np.kaiser(8, 2.0))
    rows, columns = (n - 7 for n in x.shape)

    def references(count):
        every_third = [*range(0, count - 1, 3), count - 1]
        for i, at in enumerate(every_third):
            length = min(count, 16 + 2 * 12)  # a tile of six, and 12 on each side
            start = min(max(every_third[i - i % 6] - 12, 0), count - length)
            yield at, range(start, start + length)

    def block(image, corner):
        return image[corner[0] : corner[0] + 8, corner[1] : corner[1] + 8]

    def run(pilot, forward, inverse, shrink):
        total, weight = np.zeros(x.shape), np.zeros(x.shape)
        for i, around in references(rows):
            for j, beside in references(columns):
                corners = [(a, b) for a in around for b in beside]
                own = block(pilot, (i, j))
                apart = [((block(pilot, c) - own) ** 2).sum() for c in corners]
                alike = [corners[n] for n in np.argsort(apart, kind="stable")[:16]]
                c, p = (
                    haar(np.stack([forward(block(z, k)) for k in alike]))
                    for z in (x, pilot)
                )
                c, left = shrink(c, p)
                for k, b in zip(alike, inverse_haar(c)):
                    block(total, k)[:] += window * inverse(b) / left
                    block(weight, k)[:] += window / left
        return total / weight

    def hard(c, _):
        kept = abs(c) > 2.7 * std
        kept[0, 0, 0] = True
        return c * kept, kept.sum()

    def by_power(c, p):
        share = p**2 / (p**2 + std**2)
        share[0, 0, 0] = 1
        return share * c, (share**2).sum()

    pilot = run(
        x, lambda b: wavelets @ b @ wavelets.T, lambda c: back @ c @ back.T, hard
    )
    return run(
        pilot,
        lambda b: dctn(b, norm="ortho"),
        lambda c: idctn(c, norm="ortho"),
        by_power,
    )


@pytest.mark.parametrize("shape", [(19, 54), (11, 12)])
def test_bm3d_equals_a_loop_over_stacks(shape):
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=shape).cumsum(1)
        ours = denoisers.bm3d(jnp.asarray(x), 0.7)
        np.testing.assert_allclose(ours, numpy_bm3d(x, 0.7), atol=1e-9)


@pytest.mark.slow
def test_bm3d_is_as_good_as_its_authors(shared_data):
    """Cameraman and house, noise of 25: 29.45 and 32.85 dB in the paper's table."""
    from PIL import Image

    for name, published in (("01", 29.45), ("02", 32.85)):
        with Image.open(shared_data / "images" / "set12" / f"{name}.png") as image:
            truth = np.asarray(image, np.float32)
        noisy = truth + 25 * np.random.default_rng(0).standard_normal(truth.shape)
        ours = np.asarray(denoisers.bm3d(jnp.asarray(noisy, jnp.float32), 25.0))
        error = np.mean((np.clip(ours, 0, 255) - truth) ** 2)
        assert 10 * np.log10(255**2 / error) > published - 0.1


def test_bm3d_keeps_what_is_flat():
    # Where many blocks are equal each still counts: no pixel is left without any.
    x = jnp.zeros((60, 47)).at[20:45, 5:30].set(1.0)
    for std in (0.0, 0.02):
        np.testing.assert_allclose(denoisers.bm3d(x, std), x, atol=1e-5 + 2 * std)


@pytest.mark.slow
def test_bm3d_works_under_transforms(rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 9, 14)), jnp.float32)
    std = jnp.array([0.5, 1.0]).reshape(2, 1, 1, 1)
    slices = denoisers.bm3d(x, std)
    mapped = jax.vmap(denoisers.bm3d)(x, std)
    np.testing.assert_allclose(mapped, slices, atol=1e-5)
    one = denoisers.bm3d(x[1, 2], 1.0)
    np.testing.assert_allclose(slices[1, 2], one, atol=1e-5)
    slope = jax.grad(lambda s: jnp.sum(denoisers.bm3d(x, s) ** 2))(0.7)
    assert jnp.isfinite(slope) and slope < 0  # less is left where more is noise


@pytest.mark.slow
def test_denoisers_take_batches_and_levels(photograph):
    images = jnp.stack([photograph[:32, :32], photograph[32:64, :32]])
    levels = jnp.array([0.05, 0.2]).reshape(2, 1, 1)
    for denoiser in (denoisers.dct, denoisers.bm3d, denoisers.total_variation):
        both = denoiser(images, levels)
        one = denoiser(images[1], levels[1, 0, 0])
        np.testing.assert_allclose(both[1], one, atol=1e-5)


def test_denoisers_denoise(photograph):
    noisy = noise.gaussian(jax.random.key(0), photograph, 25 / 255)
    plain, tv, dct, bm3d = (
        decibels(x, photograph, rim=8)
        for x in (
            noisy,
            denoisers.total_variation(noisy, 25 / 255),
            denoisers.dct(noisy, 25 / 255),
            denoisers.bm3d(noisy, 25 / 255),
        )
    )
    assert plain + 6 < tv < dct < bm3d


def test_network_as_denoiser(rng):
    seen = {}

    def model(x, noise_std):
        seen["x"], seen["std"] = x, noise_std
        return x + noise_std[:, None, None, None]

    denoise = denoisers.network(model, white=jnp.array([1.0, 10.0]))
    x = jnp.asarray(rng.uniform(size=(3, 2, 5, 6)), jnp.float32)
    std = jnp.array([0.1, 0.2]).reshape(2, 1, 1)
    np.testing.assert_allclose(
        denoise(x, std), x + std, rtol=1e-5
    )  # in the image's units, whatever white is
    assert seen["x"].shape == (6, 5, 6, 1)
    np.testing.assert_allclose(seen["std"], [0.1, 0.02] * 3, rtol=1e-6)
    np.testing.assert_allclose(seen["x"][1, ..., 0], x[0, 1] / 10, rtol=1e-6)


def test_denoisers_name_what_they_cannot_do():
    with pytest.raises(ValueError, match=r"x of shape \(7, 9\) and num_axes=2"):
        denoisers.dct(jnp.ones((7, 9)), 0.1)
    with pytest.raises(ValueError, match=r"x of shape \(7, 9\): must have two axes"):
        denoisers.bm3d(jnp.ones((7, 9)), 0.1)
