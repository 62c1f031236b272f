"""The grid of configs/kernel_size.py: checkerboard, cost and accuracy of each kernel.

    python -m benchmarks.kernel_size --workdir runs/kernel_size [--seeds 3]

Trains the grid as `jdeconv sweep` does, measures the networks, and writes
configs/results/kernel_size.json, and docs/kernel_size.md and .png from it.
"""

import argparse
import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from configs import kernel_size
from jdeconv import data, figures, models, train
from jdeconv.checkerboard import all_ones_ratio
from jdeconv.train.records import environment
from jdeconv.train.sweeps import Cell

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = ROOT / "configs" / "results" / "kernel_size.json"
CONFIG = str(ROOT / "configs" / "kernel_size.py")
IMAGE = (28, 28, 1)


def phase_ratio(features: np.ndarray, stride: int) -> float:
    """Largest over smallest RMS of the interior of the stride^2 phases, as learned."""
    inner = features[:, 8:-8, 8:-8]
    rms = [
        np.sqrt(np.mean(np.square(inner[:, i::stride, j::stride])))
        for i in range(stride)
        for j in range(stride)
    ]
    return float(max(rms) / max(min(rms), 1e-12))


def multiply_adds(model: nnx.Module) -> int:
    """Of the transposed convolution: one per tap and input, whatever the stride."""
    rows = models.summary(model, IMAGE).rows
    (layer,) = (row for row in rows if row.type == "ConvTranspose")
    assert layer.multiply_adds is not None  # one of ours
    return layer.multiply_adds


def step_time(model: nnx.Module, batch_size: int = 32, repeats: int = 9) -> float:
    """Median milliseconds of forward and backward of the whole network, per image."""
    x = jax.random.uniform(jax.random.key(0), (batch_size, *IMAGE))

    @nnx.jit
    def gradients(model, x):
        return nnx.grad(lambda model: jnp.mean(model(x) ** 2))(model)

    jax.block_until_ready(jax.tree.leaves(gradients(model, x)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(jax.tree.leaves(gradients(model, x)))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times)) / batch_size


def measure(sweep: train.Sweep, cell: Cell) -> dict:
    """What is to be known of one cell of the grid beside its accuracy."""
    ratios = []
    for seed in sweep.seeds:
        run = train.load_run(sweep.workdir(cell, seed))
        test = data.load_source(run.config.data, "test")
        images = np.stack([test[i]["image"] for i in range(64)])
        x, _ = run.task.preprocess.forward(images)
        stride = run.config.model.strides
        ratios.append(phase_ratio(np.asarray(run.model.features(x)), stride))
    window = run.config.model.deconv_kernel_size
    accuracies = [cell.results[seed]["test/accuracy"] for seed in sweep.seeds]
    return {
        "window": window,
        "stride": stride,
        "checkerboard": all_ones_ratio(window, stride),
        "learned_phase_ratio": float(np.mean(ratios)),
        "multiply_adds": multiply_adds(run.model),
        "ms_per_image": step_time(run.model),
        "accuracy": float(np.mean(accuracies)),
        "accuracy_by_seed": accuracies,
    }


def table(cells: list[dict]) -> str:
    """The grid as a Markdown table."""
    rows = [
        "| window | stride | checkerboard (all ones) | learned, phase ratio | "
        "multiply-adds | forward + backward, ms/image | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in cells:
        board = c["checkerboard"]
        accuracy = f"{100 * c['accuracy']:.2f}"
        if len(c["accuracy_by_seed"]) > 1:
            accuracy += f" ± {100 * np.std(c['accuracy_by_seed'], ddof=1):.2f}"
        rows.append(
            f"| {c['window']} | {c['stride']} | "
            f"{'holes' if not np.isfinite(board) else f'{board:.2g}'} | "
            f"{c['learned_phase_ratio']:.2f} | {c['multiply_adds'] / 1e6:.2f} M | "
            f"{c['ms_per_image']:.2f} | {accuracy} % |"
        )
    return "\n".join(rows)


def plot(cells: list[dict], path: pathlib.Path) -> None:
    """Accuracy and cost over the window, a line per stride; open marks: uneven."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    names = {
        "accuracy": "accuracy after one epoch",
        "ms_per_image": "forward + backward, ms per image",
        "learned_phase_ratio": "learned checkerboard (phase ratio)",
    }
    for axis, (name, title) in zip(axes, names.items()):
        for stride in kernel_size.STRIDES:
            line = [c for c in cells if c["stride"] == stride]
            x = [c["window"] for c in line]
            y = [c[name] for c in line]
            (drawn,) = axis.plot(x, y, label=f"stride {stride}")
            for c in line:
                even = c["checkerboard"] == 1
                face = drawn.get_color() if even else "white"
                axis.plot(c["window"], c[name], "o", color=drawn.get_color(), mfc=face)
        axis.set_title(title)
        axis.set_xlabel("window")
        axis.grid(alpha=0.3)
        if name == "learned_phase_ratio":
            axis.set_yscale("log")  # the holes of a window below the stride: 50
    axes[0].legend()
    figure.suptitle("full marks: the stride divides the window, no checkerboard")
    figures.save_plot(figure, path)


def main():
    """Runs the grid and writes its record, table and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default="runs/kernel_size")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data_dir", default=None)
    arguments = parser.parse_args()
    given = {"data.data_dir": arguments.data_dir} if arguments.data_dir else {}
    start = time.time()
    sweep = train.sweep(
        CONFIG, arguments.workdir, overrides=given, seeds=arguments.seeds
    )
    if not sweep.complete:
        sys.exit(f"not all runs are finished, see {sweep.folder / 'sweep.md'}")
    cells = [measure(sweep, cell) for cell in sweep.cells]
    record = {
        **environment(),
        "name": "kernel_size",
        "command": f"python -m benchmarks.kernel_size --seeds {arguments.seeds}",
        "wall_time_s": round(time.time() - start),
        "cells": cells,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    (ROOT / "docs" / "kernel_size.md").write_text(page(record))
    plot(cells, ROOT / "docs" / "kernel_size.png")
    print(table(cells))


def page(record: dict) -> str:
    """docs/kernel_size.md."""
    return f"""# How to choose the kernel

Made by `{record["command"]}` ({record["device"]}, jax
{record["versions"]["jax"]}); do not edit. The tutorial's network with 16 channels on
MNIST, one epoch of batch 32; mean and standard deviation over the seeds.

![accuracy, cost and checkerboard over the window](kernel_size.png)

{table(record["cells"])}

Reading it:

- **Window divisible by stride** (full marks): every output position sums the same
  number of taps, so there is no checkerboard to begin with.
- **Window smaller than stride** leaves holes: positions that no tap reaches.
- The multiply-adds grow with the square of the window and not with the stride; the time
  grows with the stride too, as the output does.
- *learned, phase ratio* is the largest over the smallest RMS of the trained layer's
  output over its stride² phases: 1 is even. At stride 1 there is one phase.
"""


if __name__ == "__main__":
    main()
