"""The grid of configs/kernel_size.py: checkerboard, cost and accuracy of each kernel.

    python -m benchmarks.kernel_size --workdir runs/kernel_size [--seeds 3]

Writes configs/results/kernel_size.json, and docs/kernel_size.md and .png from it. Cells
that are trained already are not trained again.
"""

import argparse
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from configs import kernel_size
from jdeconv import data, figures, models, ops, train
from jdeconv.train.records import environment

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = ROOT / "configs" / "results" / "kernel_size.json"
IMAGE = (28, 28, 1)


def checkerboard(window: int, stride: int) -> float:
    """Largest over smallest interior value of an all-ones kernel on all-ones input.

    1 is no checkerboard; infinity means that some positions are never reached. The
    measure of Odena et al. 2016, and a property of window and stride alone.
    """
    x = ops.conv_transpose(
        jnp.ones((64, 64, 1)), jnp.ones((window, window, 1, 1)), strides=stride
    )
    margin = 2 * max(window, stride)
    inner = np.asarray(x)[margin:-margin, margin:-margin]
    return float(inner.max() / inner.min()) if inner.min() > 0 else float("inf")


def phase_ratio(features: np.ndarray, stride: int) -> float:
    """Largest over smallest RMS of the interior of the stride^2 phases, as learned."""
    inner = features[:, 8:-8, 8:-8]
    rms = [
        np.sqrt(np.mean(np.square(inner[:, i::stride, j::stride])))
        for i in range(stride)
        for j in range(stride)
    ]
    return float(max(rms) / max(min(rms), 1e-12))


def multiply_adds(window: int, stride: int, channels: int, size: int) -> int:
    """Of the transposed convolution on a size x size grid: one per tap and input."""
    del stride  # every input entry meets every tap, whatever the stride
    return size * size * window * window * channels * channels


def step_time(config, batch_size: int = 32, repeats: int = 9) -> float:
    """Median milliseconds of forward and backward of the whole network, per image."""
    model = models.build(
        config.model, image_shape=IMAGE, num_classes=10, rngs=nnx.Rngs(0)
    )
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


def measure(window: int, stride: int, seeds: int, workdir: pathlib.Path, data_dir):
    """One cell of the grid."""
    accuracies, ratios = [], []
    for seed in range(seeds):
        config = kernel_size.get_config(f"{window}x{stride}")
        config.seed = seed
        if data_dir:
            config.data.data_dir = data_dir
        cell = workdir / f"{window}x{stride}-{seed}"
        final = train.train_and_evaluate(config, cell)
        accuracies.append(final["test/accuracy"])
        run = train.load_run(cell)
        test = data.load_source(config.data, "test")
        images = np.stack([test[i]["image"] for i in range(64)])
        x, _ = run.task.preprocess.forward(images)
        ratios.append(phase_ratio(np.asarray(run.model.features(x)), stride))
    return {
        "window": window,
        "stride": stride,
        "checkerboard": checkerboard(window, stride),
        "learned_phase_ratio": float(np.mean(ratios)),
        "multiply_adds": multiply_adds(window, stride, config.model.features, 26),
        "ms_per_image": step_time(config),
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
    start = time.time()
    cells = [
        measure(w, s, arguments.seeds, arguments.workdir, arguments.data_dir)
        for s in kernel_size.STRIDES
        for w in kernel_size.WINDOWS
    ]
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
