"""Training steps of whole networks: jdeconv layers, plain flax.nnx, PyTorch.

    python -m benchmarks.networks [--networks autoencoder,dcgan,unet,fsrcnn] [--turns 9]
                                  [--write]

A step is forward, loss, backward and Adam's update, in float32. Each network is written
once, over a kit of layers; each library brings its own convolutions, pooling and
batch norm. The weights of one are copied into the others, and before anything is timed
the losses of three steps, the last of them after two updates, are compared. The steps
take turns, each waits for its result. PyTorch runs eagerly, and is left out if it is
not installed. Writes benchmarks/records/networks-DEVICE-jaxVERSION.json, and with
--write the table in docs/speed.md.

All three libraries have their memory in huge pages, as `jdeconv train` does
(`jdeconv.cli.huge_pages`); with the variable GLIBC_TUNABLES set to nothing none has,
and the record's name ends in -small-pages.
"""

import argparse
import functools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks import timing
from benchmarks.kits import (
    NETWORKS,
    Network,
    flax_kit,
    jdeconv_kit,
    torch_kit,
)
from benchmarks.report import RECORDS, write_page
from benchmarks.timing import len_cores, median
from jdeconv.cli import huge_pages
from jdeconv.train.records import environment

# By the number of modules, of what two updates change in the loss. Adam's first updates
# are large where the gradient is rounding alone, and adversaries amplify that.
TOLERANCE = {1: 1e-3, 2: 1e-2}
CHECKED_STEPS = 3
VARIANTS = ("jdeconv", "flax.nnx", "PyTorch")


def data(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Noise: the time of a step does not depend on what is in the images."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((network.batch, *network.inputs), np.float32)
    return x, rng.random((network.batch, *network.targets), np.float32)


def jax_step(network: Network, kit, modules: list[nnx.Module]) -> Callable:
    """One step on the state held inside: call it, get the losses when all is done."""
    split = [nnx.split(module, nnx.Param, ...) for module in modules]
    graphs = [graph for graph, _, _ in split]
    adam = optax.adam(network.adam[0], b1=network.adam[1])
    loss_of = getattr(kit, network.loss)

    def call(i, params, rest, x):
        # copy=True: without it BatchNorm writes to variables of an outer trace.
        module = nnx.merge(graphs[i], params, rest, copy=True)
        value = module(x)
        return value, nnx.split(module, nnx.Param, ...)[2]

    def descend(grads, params, moments):
        updates, moments = adam.update(grads, moments, params)
        return optax.apply_updates(params, updates), moments

    def supervised(state, x, target):
        ((params, rest, moments),) = state

        def loss(params):
            value, new_rest = call(0, params, rest, x)
            return loss_of(value, target), new_rest

        (value, rest), grads = jax.value_and_grad(loss, has_aux=True)(params)
        params, moments = descend(grads, params, moments)
        return [(params, rest, moments)], [value]

    def adversarial(state, z, real):
        (params, rest, moments), (d_params, d_rest, d_moments) = state

        def d_loss(d_params):
            seen, new_rest = call(1, d_params, d_rest, real)
            made, new_rest = call(1, d_params, new_rest, fake)
            value = loss_of(seen, jnp.ones_like(seen))
            return value + loss_of(made, jnp.zeros_like(made)), new_rest

        def g_loss(fake):
            made, new_rest = call(1, d_params, d_rest, fake)
            return loss_of(made, jnp.ones_like(made)), new_rest

        generate = functools.partial(call, 0, rest=rest, x=z)
        fake, pull_back, rest = jax.vjp(
            lambda params: generate(params=params), params, has_aux=True
        )
        (d_value, d_rest), grads = jax.value_and_grad(d_loss, has_aux=True)(d_params)
        d_params, d_moments = descend(grads, d_params, d_moments)
        (value, d_rest), fake_bar = jax.value_and_grad(g_loss, has_aux=True)(fake)
        params, moments = descend(*pull_back(fake_bar), params, moments)
        state = [(params, rest, moments), (d_params, d_rest, d_moments)]
        return state, [d_value, value]

    update = jax.jit(supervised if len(modules) == 1 else adversarial, donate_argnums=0)
    state = [(params, rest, adam.init(params)) for _, params, rest in split]
    batch = [jnp.asarray(a) for a in data(network)]

    def step():
        nonlocal state
        state, losses = jax.block_until_ready(update(state, *batch))
        return losses

    return step


def torch_step(network: Network, kit, modules: list) -> Callable:
    """As `jax_step`, in PyTorch's eager mode."""
    import torch

    torch.set_num_threads(len_cores())
    rate, b1 = network.adam
    adams = [torch.optim.Adam(m.parameters(), rate, (b1, 0.999)) for m in modules]
    loss_of = getattr(kit, network.loss)
    x, target = (
        torch.from_numpy(np.moveaxis(a, -1, 1).copy(order="C")) for a in data(network)
    )

    def descend(i, loss):
        adams[i].zero_grad()
        # inputs=: no gradients of the discriminator for the generator's update.
        loss.backward(inputs=list(modules[i].parameters()))
        adams[i].step()
        return loss.detach()

    def supervised():
        return [descend(0, loss_of(modules[0](x), target))]

    def adversarial():
        make, judge = modules
        fake = make(x)
        seen, made = judge(target), judge(fake.detach())
        value = loss_of(seen, torch.ones_like(seen))
        d_value = descend(1, value + loss_of(made, torch.zeros_like(made)))
        made = judge(fake)
        return [d_value, descend(0, loss_of(made, torch.ones_like(made)))]

    return supervised if len(modules) == 1 else adversarial


def load_torch(module, source: nnx.State) -> None:
    """Sets the parameters; PyTorch has the channel axes first, and swapped."""
    import torch

    values = {".".join(map(str, p)): v[...] for p, v in nnx.to_flat_state(source)}
    same = {"kernel": "weight", "scale": "weight", "slope": "weight", "bias": "bias"}
    with torch.no_grad():
        for path, value in values.items():
            layer, _, name = path.rpartition(".")
            value = np.asarray(value)
            if name == "kernel":
                value = np.moveaxis(value, (-1, -2), (0, 1))
            ours = torch.from_numpy(value.copy(order="C"))
            module.get_parameter(f"{layer}.{same[name]}").copy_(ours)


def steps(network: Network) -> dict[str, Callable]:
    """A step of each library, all from the same weights."""
    kit = jdeconv_kit()
    modules = [make(kit) for make in network.modules]
    sources = [nnx.state(module, nnx.Param) for module in modules]
    made = {"jdeconv": jax_step(network, kit, modules)}
    kit = flax_kit()
    modules = [make(kit) for make in network.modules]
    for module, source in zip(modules, sources):
        # Its kernels have our layout. A step gives its own buffers away: a copy.
        nnx.update(module, jax.tree.map(jnp.copy, source))
    made["flax.nnx"] = jax_step(network, kit, modules)
    # PyTorch's layers would stay on the CPU.
    kit = torch_kit() if jax.default_backend() == "cpu" else None
    if kit is not None:
        modules = [make(kit) for make in network.modules]
        for module, source in zip(modules, sources):
            load_torch(module, source)
        made["PyTorch"] = torch_step(network, kit, modules)
    return made


def check_equal(name: str, made: dict[str, Callable]) -> dict[str, float]:
    """Largest gap of a loss to jdeconv's, over what the checked steps change in it.

    Raises:
      RuntimeError: a variant that does not compute the same.
    """
    losses = {
        variant: np.array([[float(v) for v in step()] for _ in range(CHECKED_STEPS)])
        for variant, step in made.items()
    }
    ours = losses["jdeconv"]
    gaps = {}
    for variant, values in losses.items():
        gap = gaps[variant] = float(np.max(np.abs(values - ours) / np.ptp(ours, 0)))
        if not gap < TOLERANCE[ours.shape[1]]:
            raise RuntimeError(
                f"{name}: {variant} differs from jdeconv by {gap:.1e}: losses "
                f"{values.tolist()} and {ours.tolist()}"
            )
    return gaps


def bench(name: str, turns: int) -> dict:
    """One network: times of a step, images per second, gaps between the losses."""
    network = NETWORKS[name]
    made = steps(network)
    gaps = check_equal(name, made)
    times = {n: timing.summary(t) for n, t in timing.alternate(made, turns).items()}
    ours = median(times, "jdeconv")
    found = {
        "batch": network.batch,
        "step": times,
        "images_per_s": {n: 1e3 * network.batch / median(times, n) for n in times},
        "gap_of_losses": gaps,
        "nnx / jdeconv": median(times, "flax.nnx") / ours,
    }
    if "PyTorch" in times:
        found["jdeconv / PyTorch"] = ours / median(times, "PyTorch")
    return found


def table(record: dict) -> str:
    """ms per step with its quartiles, images per second and the ratios, as Markdown."""
    cells = record["networks"]
    shown = [v for v in VARIANTS if any(v in c["step"] for c in cells.values())]
    heads = [f"{v}: ms (quartiles), images/s" for v in shown]
    ratios = ["nnx / jdeconv"] + ["jdeconv / PyTorch"] * ("PyTorch" in shown)
    lines = [
        "| training step, batch | " + " | ".join(heads + ratios) + " |",
        "|---|" + "---|" * len(heads + ratios),
    ]
    for name, cell in cells.items():
        row = [f"{name}, {cell['batch']}"]
        for variant in shown:
            t, speed = cell["step"][variant], cell["images_per_s"][variant]
            low, high = t["quartiles_ms"]
            row.append(f"{t['median_ms']:.4g} ({low:.4g} to {high:.4g}), {speed:.3g}")
        row += [f"{cell[ratio]:.2f}" for ratio in ratios]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main(argv=None):
    """Runs the benchmark, prints its table and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--write", action="store_true", help="table into docs/speed.md")
    arguments = parser.parse_args(argv)
    names = arguments.networks.split(",")
    unknown = set(names) - set(NETWORKS)
    if unknown:
        parser.error(f"--networks: {unknown} not among {', '.join(NETWORKS)}")
    record = {
        **environment(),
        "command": "python -m benchmarks.networks",
        "threads": len_cores(),
        "networks": {},
    }
    for name in names:
        record["networks"][name] = cell = bench(name, arguments.turns)
        row = "  ".join(f"{n} {t['median_ms']:.1f}" for n, t in cell["step"].items())
        print(f"{name:12s} ms per step: {row}", flush=True)
    print(table(record))
    if set(names) == set(NETWORKS):
        version = ".".join(jax.__version__.split(".")[:2])
        RECORDS.mkdir(exist_ok=True)
        pages = "" if huge_pages.asked() else "-small-pages"
        out = RECORDS / f"networks-{jax.default_backend()}-jax{version}{pages}.json"
        out.write_text(json.dumps(record, indent=1) + "\n")
        print(out)
        if arguments.write:
            write_page(table(record), out.stem)


if __name__ == "__main__":
    huge_pages.ensure()
    main()
