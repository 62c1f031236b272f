"""The twins in PyTorch are the networks they stand for, and the table tells them."""

import json

import jax
import numpy as np
import pytest
from flax import nnx

from benchmarks import results, throughput
from jdeconv import models
from jdeconv.data import Preprocess
from jdeconv.tasks import Generate
from tests.parameters import fast_if

SHAPE = (11, 14, 1)  # an odd size and an even one
NETWORKS = {
    "cnn": {"blocks": ((4,), (5,)), "pool": 2, "dropout": 0.0},
    "conv_deconv": {"features": 3, "pool": 3},
    "autoencoder": {"features": (4, 3), "latent": 5},
    "dncnn": {"depth": 3, "features": 4},
    "fsrcnn": {"features": 5, "shrunk": 3, "depth": 1},
    "espcn": {"features": (4, 3), "padding": "EDGE"},
    "unet": {"features": 2, "stages": 2},
    "segnet": {"features": (4,), "depth": 1},
    "vae": {"features": (3, 4), "hidden": 5, "latent": 2, "batch_norm": True},
    "dcgan": {"width": 2, "latent": 3},
}
VARIANTS = {
    **{name: (name, {}) for name in NETWORKS},
    "resize": ("autoencoder", {"upsample": "resize", "residual": True}),
    "subpixel": ("autoencoder", {"upsample": "subpixel", "kernel_size": 5}),
    "stride": ("autoencoder", {"downsample": "stride", "kernel_size": 4}),
    "image": ("unet", {"residual": True}),
    "regress": ("conv_deconv", {"head": "regress"}),
    "edge": ("fsrcnn", {"padding": "EDGE"}),
    "layer": ("dcgan", {"norm": "layer"}),
}


@pytest.mark.parametrize("name", fast_if(VARIANTS, ("cnn",)))
def test_twin_equals_the_network(name, rng):
    pytest.importorskip("torch")
    from benchmarks import torch_twins

    network, more = VARIANTS[name]
    config = {"name": network, **NETWORKS[network], **more}
    model = models.build(config, image_shape=SHAPE, num_classes=3, rngs=nnx.Rngs(0))
    model.train()
    twin = torch_twins.Twin(model)
    x = jax.numpy.asarray(rng.normal(size=(3, *SHAPE)), "float32")
    gaps = throughput.compare(model, twin, x)
    assert max(gaps.values()) < 1e-5
    native = torch_twins.Twin(model, native=True)
    sizes = [[y.shape for y in _outputs(t, x)] for t in (twin, native)]
    assert sizes[0] == sizes[1]
    # Something else would be found out.
    first = next(iter(twin.parameters.values()))
    with pytest.raises(AssertionError, match="differ by"):
        first.data.mul_(1.5)
        throughput.compare(model, twin, x)


def _outputs(twin, x):
    import torch

    x = torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy())
    try:
        found = twin(x)
    except TypeError:  # a DCGAN is two functions
        found = (twin.generate(torch.zeros(2, 3)), twin.discriminate(x))
    return found if isinstance(found, tuple) else (found,)


def test_gradient_penalty_equals_the_tasks_with_its_gradient(rng):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_twins

    config = {"name": "dcgan", **NETWORKS["dcgan"], "norm": "layer"}
    model = models.build(config, image_shape=SHAPE, rngs=nnx.Rngs(0))
    twin = torch_twins.Twin(model)
    x = rng.normal(size=(3, *SHAPE)).astype("float32")
    task = Generate(Preprocess(range=(-1.0, 1.0)), loss_name="wasserstein")
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def ours(params):
        merged = nnx.merge(graph, params, rest, copy=True)
        keys = jax.random.split(jax.random.key(0), 3)
        # Between an image and itself there is but one point.
        return task._penalty(merged, x, x, None, keys).mean()

    value, grads = jax.jit(jax.value_and_grad(ours))(params)
    image = torch.tensor(np.moveaxis(x, -1, 1).copy())
    found = throughput.gradient_penalty(twin, image, image, torch.rand(3, 1, 1, 1))
    found.mean().backward()
    assert float(found.mean()) == pytest.approx(float(value), rel=1e-4)
    grads = {path: np.asarray(v[...]) for path, v in nnx.to_flat_state(grads)}
    compared = twin.gradients()
    assert ("discriminator", "dense", "kernel") in compared
    for path, gradient in compared.items():
        np.testing.assert_allclose(grads[path], gradient, rtol=1e-3, atol=1e-5)


def test_what_has_no_twin():
    pytest.importorskip("torch")
    from benchmarks import torch_twins

    def built(name, **options):
        config = {"name": name, **options}
        return models.build(config, image_shape=(16, 16, 1), rngs=nnx.Rngs(0))

    assert torch_twins.has_twin(built("dcgan", width=2))
    tied = {"downsample": "stride", "tied": True}
    assert not torch_twins.has_twin(built("autoencoder", **tied))


@pytest.mark.slow
def test_a_config_is_measured_beside_pytorch():
    pytest.importorskip("torch")
    found = throughput.measure("fsrcnn_t91:4", 3)
    per_s = found["images_per_s"]
    assert set(per_s) == {"jdeconv", "PyTorch"}
    expected = 1e3 * found["batch_size"] / found["times"]["PyTorch"]["median_ms"]
    assert per_s["PyTorch"] == pytest.approx(expected)
    assert found["gaps"]["output"] < 1e-5


def test_every_config_that_has_a_record_is_measured():
    recorded = set()
    for path in results.RESULTS.glob("*.json"):
        record = json.loads(path.read_text())
        if "metrics" in record:
            parts = filter(None, (record["name"], record.get("argument")))
            recorded.add(":".join(parts))
    assert recorded <= set(throughput.MEASURED)


def test_columns_of_the_table(tmp_path, monkeypatch):
    path = tmp_path / "throughput.json"
    content = {
        "mnist_cnn": {"images_per_s": {"jdeconv": 1234.5, "PyTorch": 1000.0}},
        "fsrcnn_t91:3": {"images_per_s": {"jdeconv": 12.34}},
    }
    path.write_text(json.dumps({"configs": content}))
    monkeypatch.setattr(results, "THROUGHPUT", path)
    lines = results.table().splitlines()
    row = {line.split("`")[1]: line for line in lines if "`" in line}
    assert row["mnist_cnn"].endswith("| 1,230 | 1.23 |")
    assert row["fsrcnn_t91:3"].endswith("| 12 | - |")
    assert row["tutorial_mnist"].endswith("| - | - |")
    assert len({line.count("|") for line in lines}) == 1


def test_batches_have_what_the_task_needs():
    config, data = _config("nuclei_unet")
    batch = throughput.made_batch(config, data)
    assert batch["mask"].shape == batch["image"].shape[:3]
    assert np.unique(batch["mask"]).tolist() == [0, 1]
    config, data = _config("fsrcnn_t91")
    assert set(throughput.made_batch(config, data)) == {"image"}


def _config(name):
    from jdeconv import train

    config = train.read_config(f"configs/{name}.py")
    return config, throughput.described(config)
