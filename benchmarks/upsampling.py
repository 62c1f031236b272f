"""The study of configs/upsampling.py: what each way to upsample costs, and is worth.

    python -m benchmarks.upsampling --workdir runs/upsampling [--seeds 3]

Trains the variants as `jdeconv sweep` does, counts and times what they compute, and
writes configs/results/upsampling.json and docs/upsampling.md. `--times` keeps the
losses of the record and measures the times anew, for when a machine is quiet.
"""

import argparse
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import timing
from jdeconv import models, train
from jdeconv.train.records import environment
from jdeconv.train.sweeps import Cell, read_sweep

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = ROOT / "configs" / "results" / "upsampling.json"
PAGE = ROOT / "docs" / "upsampling.md"
CONFIG = str(ROOT / "configs" / "upsampling.py")
IMAGE = (28, 28, 1)
METRICS = ("loss", "psnr", "checkerboard", "real_checkerboard")


def build(config) -> nnx.Module:
    """The network of a cell; its cost does not depend on the values of its weights."""
    return models.build(config.model, image_shape=IMAGE, rngs=nnx.Rngs(0))


def counts(model: nnx.Module) -> dict[str, int]:
    """Parameters and multiply-adds per image: of the network, and of what upsamples."""
    summary = models.summary(model, IMAGE)
    layers = [row for row in summary.rows if row.name.startswith("decoder.layers.")]
    return {
        "parameters": summary.total.parameters,
        "upsampling_parameters": sum(row.parameters for row in layers),
        "multiply_adds": summary.total.multiply_adds or 0,
        "upsampling_multiply_adds": sum(row.multiply_adds or 0 for row in layers),
    }


def times(networks: dict[str, nnx.Module], batch_size: int = 128, turns: int = 15):
    """Median and quartiles in ms of a batch: forward, and with the gradient."""
    x = jax.random.uniform(jax.random.key(0), (batch_size, *IMAGE))

    @nnx.jit
    def forward(model, x):
        return model(x)

    @nnx.jit
    def gradient(model, x):
        return nnx.grad(lambda model: jnp.mean(model(x) ** 2))(model)

    measured: dict[str, dict] = {name: {} for name in networks}
    for kind, function in (("forward", forward), ("gradient", gradient)):
        runs = {
            name: lambda f=function, m=model: jax.block_until_ready(
                jax.tree.leaves(f(m, x))
            )
            for name, model in networks.items()
        }
        for name, seconds in timing.alternate(runs, turns=turns).items():
            measured[name][kind] = timing.summary(seconds)
    return measured


def trained(sweep: train.Sweep, cell: Cell) -> dict:
    """The metrics of one variant, by seed."""
    return {
        "variant": cell.name,
        "seeds": {
            str(seed): {name: cell.results[seed][f"test/{name}"] for name in METRICS}
            for seed in sweep.seeds
        },
        "steps": cell.results[0]["step"],
        "wall_time_s": [round(r["wall_time_s"]) for r in cell.results.values()],
    }


def table(record: dict) -> str:
    """The variants as a Markdown table."""
    rows = [
        "| upsampling | loss, BCE | PSNR, dB | checkerboard | parameters | "
        "multiply-adds | of what upsamples | forward | with gradient |",
        "|---" * 9 + "|",
    ]
    batch = record["batch_size"]
    for c in record["cells"]:
        loss = [seed["loss"] for seed in c["seeds"].values()]
        psnr = [seed["psnr"] for seed in c["seeds"].values()]
        board = np.mean([seed["checkerboard"] for seed in c["seeds"].values()])
        took = [
            f"{1e3 * c['times'][kind]['median_ms'] / batch:.0f} µs"
            for kind in ("forward", "gradient")
        ]
        rows.append(
            f"| `{c['variant']}` | {_spread(loss, 5)} | {_spread(psnr, 2)} | "
            f"{100 * board:.2f} % | {c['parameters']:,} | "
            f"{c['multiply_adds'] / 1e6:.2f} M | "
            f"{c['upsampling_multiply_adds'] / 1e6:.2f} M | {' | '.join(took)} |"
        )
    return "\n".join(rows)


def _spread(values: list[float], digits: int) -> str:
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else text


def page(record: dict) -> str:
    """docs/upsampling.md."""
    first = record["cells"][0]
    real = next(iter(first["seeds"].values()))["real_checkerboard"]
    seeds = ", ".join(first["seeds"])
    return f"""# What upsampling costs

Made by `{record["command"]}` ({record["cpu"]}, {record["cpu_cores"]} cores, jax
{record["versions"]["jax"]}); do not edit. The autoencoder of Keras' example on
Fashion-MNIST, {first["steps"]} steps of batch 128
([configs/upsampling.py](../configs/upsampling.py)); only what doubles the grid in the
decoder varies, twice from 32 channels to 32. Means over the seeds {seeds} and their
standard deviation; times per image in batches of {record["batch_size"]}, medians of
variants that take turns, on a machine that had other work to do (their quartiles are in
configs/results/upsampling.json).

{table(record)}

Reading it:

- **Multiply-adds** are those of the definition (`models.summary`). A transposed
  convolution of window 3 needs a quarter of what the other two of window 3 need: they
  convolve on the large grid, or to four times the channels. With window 6 it needs as
  many as they do and has the sub-pixel layer's weights in another order: but for
  biases the two can compute the same functions.
- **Checkerboard** is the share of spectral energy at the harmonics of stride 2 in the
  results (`jdeconv.checkerboard.energy`); the test images have {100 * real:.2f} %.
- **Times** are of this implementation on this device; jdeconv computes a strided
  transposed convolution without the zeros between its inputs (docs/speed.md).
"""


def main():
    """Trains, counts, times, and writes record and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default="runs/upsampling")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--times", action="store_true", help="measure only the times")
    arguments = parser.parse_args()
    if arguments.times:
        cells = json.loads(RESULT.read_text())["cells"]
        seeds = len(cells[0]["seeds"])
    else:
        seeds = arguments.seeds
        sweep = train.sweep(CONFIG, arguments.workdir, seeds=seeds)
        if not sweep.complete:
            sys.exit(f"not all runs are finished, see {sweep.folder / 'sweep.md'}")
        cells = [trained(sweep, cell) for cell in sweep.cells]
    _, configs = read_sweep(CONFIG)
    networks = {name: build(config) for name, config in configs.items()}
    measured = times(networks)
    for cell in cells:
        model = networks[cell["variant"]]
        cell |= {**counts(model), "times": measured[cell["variant"]]}
    record = {
        **environment(),
        "name": "upsampling",
        "command": f"python -m benchmarks.upsampling --seeds {seeds}",
        "batch_size": 128,
        "wall_time_s": sum(sum(cell["wall_time_s"]) for cell in cells),
        "cells": cells,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(record))
    print(table(record))


if __name__ == "__main__":
    main()
