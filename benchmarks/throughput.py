"""How many images a second each config trains on, and PyTorch the same network.

    python -m benchmarks.throughput [--configs mnist_cnn,fsrcnn_t91:3] [--turns 7]
                                    [--write]

The compiled step is the project's own, with all that a config asks of it: augmentation,
noise, batch norm, the loss, Adam, the moving average. PyTorch (eager, channels last)
has the same network, from the same parameters, with the same batch and Adam, and on
images that are ready: what is drawn anew in each step is not asked of it. A config with
SOAP, which PyTorch has not, is measured with Adam on both sides. Before anything is
timed, the outputs in training mode and the gradients of their mean square are compared.
What is timed has PyTorch's own even margins in strided layers, which saves it copies.
Dropout is off in both. Images are noise, of which the time does not depend, and loading
them is not counted. Both have their memory in huge pages, as `jdeconv train` does
(`jdeconv.cli.huge_pages`).

With --write it goes to benchmarks/records/throughput-DEVICE-jaxVERSION.json and to the
table of results in the README, which shows two columns of it.
"""

import argparse
import json
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import timing
from benchmarks.report import RECORDS
from jdeconv import models, train
from jdeconv.cli import huge_pages
from jdeconv.train import setup
from jdeconv.train.records import environment
from jdeconv.train.step import train_step

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
# Stored images (H, W, C) and classes, where no patches are cut.
DATA = {
    "tfds:mnist": ((28, 28, 1), 10),
    "tfds:fashion_mnist": ((28, 28, 1), 10),
    "folder:data/dsb2018": ((256, 256, 1), 2),
    "folder:data/isbi2012": ((512, 512, 1), 2),
}
MEASURED = (
    "tutorial_mnist",
    "mnist_cnn",
    "fashion_cnn",
    "autoencoder_mnist",
    "denoise_autoencoder_mnist",
    "tutorial_regress",
    "deblur_photos",
    "enhance_photos",
    "fsrcnn_t91:2",
    "fsrcnn_t91:3",
    "fsrcnn_t91:4",
    "espcn_t91:3",
    "dncnn_train400:25",
    "ffdnet_train400",
    "nuclei_unet",
    "nuclei_deconvnet",
    "membranes_unet",
    "vae_mnist",
    "vae_keras_mnist",
    "dcgan_mnist",
    "dcgan_mnist:32",
    "dcgan_mnist:hinge",
    "wgan_gp_mnist",
    "vae_gan_mnist:32",
)
# Relative distance of the outputs, and of the gradients. Rounding tips which of two
# nearly equal pixels a pooling takes; unpooling then puts a value one pixel aside, and
# the layers after it spread that. (Of one stage the two agree to 1e-5: the test.)
TOLERANCE = 3e-3
TOLERANCE_WITH_SWITCHES = 0.1


def record_path() -> pathlib.Path:
    """Of this device and this jax."""
    version = ".".join(jax.__version__.split(".")[:2])
    return RECORDS / f"throughput-{jax.default_backend()}-jax{version}.json"


def described(config) -> dict[str, Any]:
    """The data set as a run describes it, without reading it."""
    shape, classes = DATA.get(config.data.source, (None, None))
    if config.data.patch_size:
        size, channels = config.data.patch_size, config.data.channels or 1
        shape = (size, size, channels)
    if config.data.get("crop") == "random" and shape is None:
        raise ValueError(f"{config.data.source}: the size of its images is not known")
    if shape is None:
        raise ValueError(f"{config.data.source}: the size of its images is not known")
    names = [str(i) for i in range(classes)] if classes else None
    return {
        "name": config.data.source,
        "image_shape": list(shape),
        "num_classes": classes,
        "class_names": names,
        "num_train": 100 * config.batch_size,
    }


def made_batch(config, data: dict) -> dict[str, np.ndarray]:
    """Noise in the shape of a batch."""
    rng = np.random.default_rng(0)
    shape = (config.batch_size, *data["image_shape"])
    batch = {"image": rng.integers(0, 256, shape, dtype=np.uint8)}
    if config.task == "segment":
        batch["mask"] = rng.integers(0, data["num_classes"], shape[:3], dtype=np.uint8)
    elif data["num_classes"]:
        labels = rng.integers(0, data["num_classes"], shape[0])
        batch["label"] = labels.astype(np.int32)
    return batch


def ours(config, data: dict, batch: dict) -> Callable[[], None]:
    """The project's step, on a state that it keeps."""
    state = setup.build_state(config, data, train.make_parallel())
    step = jax.jit(train_step, donate_argnums=0)
    on_device = jax.device_put(batch)
    held = [state]

    def run():
        held[0], metrics = step(held[0], on_device)
        jax.block_until_ready((held[0].params, metrics))

    return run


def network_and_input(config, data: dict, batch: dict):
    """The network at its start, in training mode, and what it sees."""
    task = setup.build_task(config, data)
    model = setup.build_model(config, data, jax.random.key(0))
    model.train()
    keys = jax.random.split(jax.random.key(1), len(batch["image"]))
    pixels = task.pixels(batch, keys, training=False)
    if config.task == "segment" and config.segment.crop:
        size = config.segment.crop
        height, width = (size, size) if isinstance(size, int) else size
        pixels = pixels[:, :height, :width]
    if config.task == "super_resolve":
        from jdeconv.tasks.super_resolve import shrink

        pixels = shrink(pixels, task.scale)  # type: ignore[attr-defined]
    return model, task.preprocess.forward(pixels)[0]


def compare(model: nnx.Module, twin, x: jax.Array) -> dict[str, float]:
    """Relative distances of outputs and gradients.

    Raises:
      AssertionError: they are no rounding.
    """
    import torch

    graph, params, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def value(params, x):
        def mean_square(params):
            # copy=True: BatchNorm writes to its statistics.
            output = _call(nnx.merge(graph, params, rest, copy=True), x)
            return jnp.mean(jnp.square(output)), output

        return jax.grad(mean_square, has_aux=True)(params)

    grads, output = value(params, x)
    tensor = torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy())
    output_twin = _call_twin(model, twin, tensor)
    output_twin.square().mean().backward()
    found = output_twin.detach().numpy()
    if found.ndim == 4:
        found = np.moveaxis(found, 1, -1)
    gaps = {"output": _gap(np.asarray(output), found)}
    slopes = {path: np.asarray(v[...]) for path, v in nnx.to_flat_state(grads)}
    theirs = twin.gradients()
    gaps["gradient"] = _gap(
        *(np.concatenate([g[p].ravel() for p in theirs]) for g in (slopes, theirs))
    )
    switched = isinstance(model, models.SegNet)
    allowed = TOLERANCE_WITH_SWITCHES if switched else TOLERANCE
    for what, gap in gaps.items():
        assert gap < allowed, f"{what}s differ by {gap:.1e}"
    return gaps


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30))


def _call(model: Any, x: jax.Array) -> jax.Array:
    if isinstance(model, models.VAE):
        return model.decode(model.encode(x)[0])
    if isinstance(model, models.DCGAN):
        return model.discriminator(x)
    return model(x)


def _call_twin(model, twin, x):
    if isinstance(model, models.VAE):
        return twin.at_mean(x)
    if isinstance(model, models.DCGAN):
        return twin.discriminate(x)
    return twin(x)


def theirs(config, model: nnx.Module, twin, batch: dict, x: jax.Array):
    """PyTorch's step: forward, loss, backward, Adam."""
    import torch
    from torch.nn import functional

    seen = torch.tensor(np.moveaxis(np.asarray(x), -1, 1).copy())
    seen = seen.contiguous(memory_format=torch.channels_last)
    rate, beta = config.optimizer.learning_rate, config.optimizer.beta1
    if config.task == "generate":
        return _adversarial(config, model, twin, seen)
    adam = torch.optim.Adam(twin.parameters.values(), lr=rate, betas=(beta, 0.999))
    labels = {n: torch.tensor(batch[n]).long() for n in batch if n != "image"}

    def loss():
        output = twin(seen)
        if config.task == "classify":
            return functional.cross_entropy(output, labels["label"])
        if config.task == "segment":
            height, width = output.shape[2:]
            return functional.cross_entropy(output, labels["mask"][:, :height, :width])
        if config.task == "variational":
            logits, mean, log_var = output
            cross = functional.binary_cross_entropy_with_logits(
                logits, seen, reduction="sum"
            )
            kl = 0.5 * (log_var.exp() + mean**2 - 1 - log_var).sum()
            return (cross + kl) / len(seen)
        if config.task == "super_resolve":
            return functional.mse_loss(output, torch.zeros_like(output))
        losses = {
            "bce": functional.binary_cross_entropy_with_logits,
            "mse": functional.mse_loss,
            "l1": functional.l1_loss,
        }
        return losses[config.loss](output, seen)

    def run():
        adam.zero_grad()
        loss().backward()
        adam.step()

    return run


def _adversarial(config, model, twin, real):
    import torch
    from torch.nn import functional

    rate, beta = config.optimizer.learning_rate, config.optimizer.beta1
    parts = {"generator": [], "discriminator": []}
    for path, tensor in twin.parameters.items():
        parts[path[0]].append(tensor)
    factors = {"discriminator": config.generate.learning_rate_factor}
    adams = {
        name: torch.optim.Adam(
            tensors,
            lr=rate * factors.get(name, 1.0),
            betas=(beta, config.optimizer.beta2),
        )
        for name, tensors in parts.items()
    }

    if config.loss == "hinge":
        of_real, of_fake = lambda s: torch.relu(1 - s), lambda s: torch.relu(1 + s)
        of_made = lambda s: -s  # noqa: E731
    elif config.loss == "wasserstein":
        of_real = of_made = lambda s: -s
        of_fake = lambda s: s  # noqa: E731
    else:
        of_real = of_made = lambda s: functional.softplus(-s)
        of_fake = functional.softplus
    shares = real.chunk(config.generate.discriminator_steps)

    def turn(part, loss):
        for tensor in twin.parameters.values():
            tensor.grad = None
        loss.backward()
        adams[part].step()

    def run():
        for n, share in enumerate(shares, 1):
            # The generator's turn is judged by the last images.
            with torch.set_grad_enabled(n == len(shares)):
                fake = twin.generate(torch.randn(len(share), model.latent))
            loss = of_real(twin.discriminate(share)).mean()
            loss = loss + of_fake(twin.discriminate(fake.detach())).mean()
            if config.loss == "wasserstein":
                mix = torch.rand(len(share), 1, 1, 1)
                penalty = gradient_penalty(twin, share, fake.detach(), mix).mean()
                loss = loss + config.generate.gradient_penalty * penalty
            turn("discriminator", loss)
        turn("generator", of_made(twin.discriminate(fake)).mean())

    return run


def gradient_penalty(twin, real, fake, mix):
    """Gulrajani et al. 2017, equation 3, in PyTorch: `[B]`, at mix of real and fake."""
    import torch

    between = (mix * real + (1 - mix) * fake).requires_grad_()
    score = twin.discriminate(between).sum()
    (slope,) = torch.autograd.grad(score, between, create_graph=True)
    norm = (slope.square().sum((1, 2, 3)) + 1e-12).sqrt()
    return (norm - 1).square()


def measure(spec: str, turns: int) -> dict[str, Any]:
    """Times of a step in both libraries, and how far the networks are apart."""
    path, _, argument = spec.partition(":")
    file = CONFIGS / f"{path}.py"
    config = train.read_config(f"{file}:{argument}" if argument else str(file))
    with config.unlocked():
        if "dropout" in config.model:
            config.model.dropout = 0.0
        if config.optimizer.name == "soap":
            config.optimizer.name = "adam"
    data = described(config)
    batch = made_batch(config, data)
    runs = {"jdeconv": ours(config, data, batch)}
    result: dict[str, Any] = {"batch_size": config.batch_size}
    try:
        import torch

        from benchmarks import torch_twins
    except ImportError:
        torch = None
    if torch is not None:
        torch.set_num_threads(timing.len_cores())
        model, x = network_and_input(config, data, batch)
        if torch_twins.has_twin(model):
            twin = torch_twins.Twin(model)
            result["gaps"] = compare(model, twin, x)
            native = torch_twins.Twin(model, native=True)
            runs["PyTorch"] = theirs(config, model, native, batch, x)
    times = timing.alternate(runs, turns)
    result["times"] = {name: timing.summary(t) for name, t in times.items()}
    ms = {name: timing.median(result["times"], name) for name in runs}
    result["images_per_s"] = {n: 1e3 * config.batch_size / t for n, t in ms.items()}
    return result


def main(argv=None):
    """Measures, prints, keeps what was measured before of other configs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", default=",".join(MEASURED))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(argv)
    specs = given.configs.split(",")
    path = record_path()
    old = json.loads(path.read_text())["configs"] if path.exists() else {}
    found = {}
    for spec in specs:
        found[spec] = measure(spec, given.turns)
        per_s = found[spec]["images_per_s"]
        shown = ", ".join(f"{n} {v:,.0f}" for n, v in per_s.items())
        print(
            f"{spec:28s} images/s: {shown}  {found[spec].get('gaps', '')}", flush=True
        )
    record = {
        **environment(),
        "command": "python -m benchmarks.throughput --write",
        "threads": timing.len_cores(),
        "configs": {**old, **found},
    }
    if given.write:
        path.write_text(json.dumps(record, indent=1) + "\n")
        from benchmarks import results

        results.README.write_text(results.readme_with(results.table()))


if __name__ == "__main__":
    huge_pages.ensure()
    main()
