"""Super-resolution and denoising networks: sizes, the papers' counts, PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jdeconv import models


def make(name, shape=(8, 8, 1), **options):
    config = {"name": name, **options}
    return models.build(config, image_shape=shape, rngs=nnx.Rngs(0))


def counts(model):
    params = jax.tree.leaves(nnx.state(model, nnx.Param))
    return sum(p.size for p in params if p.ndim > 1), sum(p.size for p in params)


def test_counts_of_the_papers():
    # Dong et al. 2016, table 1: weights without biases and slopes.
    assert counts(make("fsrcnn", scale=3))[0] == 12464
    # 1664 + 18464 + 2601
    assert counts(make("espcn", scale=3))[1] == 22729
    # 640 + 15 (36864 + 128) + 577
    assert counts(make("dncnn"))[1] == 556097


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["fsrcnn", "espcn"])
def test_enlarges_by_the_scale(name, scale):
    model = make(name, (8, 8, 3), scale=scale)
    y = jax.eval_shape(model, jnp.zeros((2, 5, 7, 3)))
    assert y.shape == (2, 5 * scale, 7 * scale, 3)


def test_illegal_options():
    with pytest.raises(ValueError, match="scale=0: must be an int from 1 to 9"):
        make("fsrcnn", scale=0)
    with pytest.raises(ValueError, match="depth=1: must be >= 2"):
        make("dncnn", depth=1)


def torch_kernel(torch, kernel):
    """Both kinds of layer: [*window, a, b] to PyTorch's [b, a, *window]."""
    return torch.from_numpy(np.moveaxis(np.asarray(kernel), (-1, -2), (0, 1)).copy())


def test_fsrcnn_equals_that_of_pytorch(rng):
    torch = pytest.importorskip("torch")
    model = make("fsrcnn", scale=3, features=6, shrunk=4, depth=2)
    f = torch.nn.functional
    x = rng.normal(size=(2, 7, 6, 1)).astype(np.float32)
    y = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    for conv, act in zip(model.layers[::2], model.layers[1::2]):
        act.slope[...] = jnp.asarray(rng.uniform(0, 1, act.slope.shape), jnp.float32)
        weight = torch_kernel(torch, conv.kernel[...])
        y = f.conv2d(y, weight, padding=weight.shape[-1] // 2)
        y = f.prelu(y, torch.tensor(np.asarray(act.slope[...])))
    weight = torch_kernel(torch, model.enlarge.kernel[...])
    # A window of 9 at stride 3 is centred with 3 pixels off at each end.
    y = f.conv_transpose2d(y, weight, stride=3, padding=3)
    np.testing.assert_allclose(
        nnx.jit(model)(x), np.moveaxis(y.numpy(), 1, -1), atol=1e-7, rtol=1e-4
    )


def test_dncnn_starts_as_the_identity_and_sees_the_batch(rng):
    model = make("dncnn", depth=3, features=4)
    x = jnp.asarray(rng.normal(size=(2, 6, 6, 1)), jnp.float32)
    model.train()
    np.testing.assert_array_equal(model(x), x)
    assert float(jnp.abs(model.norms[0].mean[...]).max()) > 0
    assert not make("dncnn", depth=3, features=4, norm=False).norms


@pytest.mark.parametrize("residual", [False, True])
def test_ffdnet_equals_that_of_pytorch(rng, residual):
    torch = pytest.importorskip("torch")
    model = make("ffdnet", depth=3, features=5, residual=residual)
    model.last.kernel[...] = jnp.asarray(rng.normal(size=(3, 3, 5, 4)), jnp.float32)
    f = torch.nn.functional
    x = rng.normal(size=(2, 7, 6, 1)).astype(np.float32)  # an odd height is extended
    std = np.array([0.1, 0.3], np.float32)
    t = torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    y = f.pixel_unshuffle(f.pad(t, (0, 0, 0, 1), mode="replicate"), 2)
    level = torch.from_numpy(std).reshape(2, 1, 1, 1).expand(2, 1, 4, 3)
    y = torch.cat([y, level], 1)
    for conv in model.convs:
        y = torch.relu(f.conv2d(y, torch_kernel(torch, conv.kernel[...]), padding=1))
    y = f.conv2d(y, torch_kernel(torch, model.last.kernel[...]), padding=1)
    y = f.pixel_shuffle(y, 2)[:, :, :7]
    y = np.moveaxis((t - y if residual else y).numpy(), 1, -1)
    apply = nnx.jit(lambda model, x, std: model(x, noise_std=std))
    np.testing.assert_allclose(apply(model, x, std), y, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(
        apply(model, x, np.broadcast_to(std[:, None, None], (2, 7, 6))), y, atol=1e-5
    )


def test_ffdnet_estimates_the_noise_that_it_is_not_told(rng):
    model = make("ffdnet", depth=2, features=4, residual=False)
    x = jnp.asarray(rng.normal(size=(2, 64, 64, 1)) * [[[[0.1]]], [[[0.4]]]], "float32")
    told = model(x, noise_std=jnp.array([0.1, 0.4]))
    np.testing.assert_allclose(model(x), told, atol=0.02)
    # 485,316: 5 and 64 x 12 (64 + 1) x 9 ... of the grey network of the paper.
    assert counts(make("ffdnet"))[1] == 2944 + 13 * 36928 + 2308
