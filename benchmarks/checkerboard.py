"""The study of configs/checkerboard.py: five ways of upsampling, before and after.

    python -m benchmarks.checkerboard --workdir runs/checkerboard [--seeds 1]

Trains the variants as `jdeconv sweep` does, measures what they make, and writes
configs/results/checkerboard.json, and docs/checkerboard.md and .png from it.
"""

import argparse
import json
import pathlib
import sys
import time

import jax
import numpy as np
from flax import nnx

from configs import checkerboard as study
from jdeconv import checkerboard, data, figures, train
from jdeconv.train import setup
from jdeconv.train.records import environment, read_run
from jdeconv.train.sweeps import Cell

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULT = ROOT / "configs" / "results" / "checkerboard.json"
CONFIG = str(ROOT / "configs" / "checkerboard.py")
PAGE = ROOT / "docs" / "checkerboard.md"
COUNT = 512  # images whose energy is taken
SHOWN = 6


def samples(task, model, key) -> np.ndarray:
    """Images of a generator, `[COUNT, H, W, C]` in 0 .. 1."""
    make = nnx.jit(lambda model, keys: task.sample(model, keys))
    return np.asarray(make(model, jax.random.split(key, COUNT)))


def spectrum(images: np.ndarray) -> np.ndarray:
    """log10 of the mean power at each frequency, 0 in the centre."""
    hann = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in images.shape[1:3]]
    windowed = (images - images.mean((1, 2), keepdims=True))[..., 0] * np.outer(*hann)
    power = np.mean(np.abs(np.fft.fft2(windowed)) ** 2, axis=0)
    return np.log10(np.fft.fftshift(power) + 1e-9)


def energies(images: np.ndarray) -> dict[str, float]:
    """The mean share of energy at the harmonics of the last layer, and the last two."""
    return {
        str(s): float(np.mean(checkerboard.energy(jax.numpy.asarray(images), s)))
        for s in (2, 4)
    }


def real_images(config) -> np.ndarray:
    """Test images as the discriminator sees them, in 0 .. 1."""
    source = data.load_source(config.data, "test", seed=config.seed)
    images = np.stack([source[i]["image"] for i in range(COUNT)])
    size = config.preprocess.size
    return np.asarray(data.Preprocess(size=size).forward(images)[0])


def measure(sweep: train.Sweep, cell: Cell):
    """The numbers of one variant, and images of its first seed."""
    found, images = [], {}
    for seed in sweep.seeds:
        folder = sweep.workdir(cell, seed)
        final = cell.results[seed]
        run = train.load_run(folder, "latest")
        config, described = read_run(folder)
        # The state before the first step, as the run made it; in training mode, as the
        # running means know nothing yet.
        start = setup.build_state(config, described, train.make_parallel())
        model = nnx.merge(start.graphdef, start.params, start.model_state)
        at_start = samples(run.task, model, jax.random.key(0))
        trained = samples(run.task, run.model, jax.random.key(0))
        found.append(
            {
                "at_start": energies(at_start),
                "trained": energies(trained),
                "swd": final["test/swd"],
                "ms_ssim": final["test/ms_ssim"],
                "steps": final["step"],
                "wall_time_s": round(final["wall_time_s"]),
            }
        )
        if seed == 0:
            images = {"at_start": at_start, "trained": trained}
    window = config.model.kernel_size
    upsample = config.model.upsample
    transposed = upsample == "conv_transpose"
    ratio = checkerboard.all_ones_ratio(window, 2) if transposed else None
    return {"variant": cell.name, "all_ones": ratio, "seeds": found}, images


def table(record: dict) -> str:
    """The variants as a Markdown table."""
    rows = [
        "| generator | all ones, max / min | stride 2, at the start | trained | "
        "stride 4, at the start | trained | SWD | MS-SSIM |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def mean(cell, *path):
        values = []
        for seed in cell["seeds"]:
            for name in path:
                seed = seed[name]
            values.append(seed)
        return float(np.mean(values))

    for c in record["cells"]:
        shares = [
            f"{100 * mean(c, when, stride):.3g} %"
            for stride in ("2", "4")
            for when in ("at_start", "trained")
        ]
        ones = "-" if c["all_ones"] is None else f"{c['all_ones']:.2g}"
        rows.append(
            f"| `{c['variant']}` | {ones} | {' | '.join(shares)} | "
            f"{mean(c, 'swd'):.1f} | {mean(c, 'ms_ssim'):.3f} |"
        )
    real = [f"{100 * record['real'][s]:.3g} %" for s in ("2", "4")]
    rows.append(f"| real images | - | - | {real[0]} | - | {real[1]} | - | - |")
    return "\n".join(rows)


def plot(pictures: dict, path: pathlib.Path) -> None:
    """A row per variant: images and mean spectrum, at the start and trained."""
    import matplotlib.pyplot as plt

    columns = 2 * (SHOWN + 1)
    figure, axes = plt.subplots(
        len(pictures),
        columns,
        figsize=(1.15 * columns, 1.25 * len(pictures)),
        layout="constrained",
        squeeze=False,
    )
    for n, (row, (name, halves)) in enumerate(zip(axes, pictures.items())):
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_frame_on(False)
        row[0].set_ylabel(name, fontsize=8)
        for half, (when, images) in enumerate(halves.items()):
            first = half * (SHOWN + 1)
            for axis, image in zip(row[first:], images[:SHOWN]):
                # At the start the images are all but grey: their contrast is drawn.
                axis.imshow(image[..., 0], cmap="gray")
            drawn = spectrum(images)
            row[first + SHOWN].imshow(drawn, cmap="magma", vmin=drawn.max() - 6)
            if n == 0:
                row[first].set_title(when.replace("_", " "), fontsize=9)
                row[first + SHOWN].set_title("spectrum", fontsize=9)
    figures.save_plot(figure, path)


def page(record: dict) -> str:
    """docs/checkerboard.md."""
    steps = record["cells"][0]["seeds"][0]["steps"]
    return f"""# Checkerboards

Made by `{record["command"]}` ({record["device"]}, jax
{record["versions"]["jax"]}); do not edit. A narrow DCGAN on Fashion-MNIST, 32 x 32,
{steps} steps of batch 128 ([configs/checkerboard.py](../configs/checkerboard.py));
seeds: {len(record["cells"][0]["seeds"])}.

![samples and spectra](checkerboard.png)

{table(record)}

Reading it:

- **All ones**: the largest over the smallest output of an all-ones kernel on all-ones
  input, a property of window and stride (`jdeconv.checkerboard.all_ones_ratio`); 1 is
  even. Sub-pixel and resize layers have no such number.
- **Stride 2, stride 4**: the share of the images' spectral energy within one bin of the
  harmonics of the last layer's stride, and of the last two together
  (`jdeconv.checkerboard.energy`), in {COUNT} images made by the untrained and by the
  trained generator. What real images have is in the last line.
- The kernels start from N(0, 0.02²), as in the paper, and `subpixel` from ICNR. The
  default initialiser of `nn.ConvTranspose` evens out window 3 at the start; this one
  does not.
- Rows of the figure are the lines of the table; images at the start are stretched to
  their full contrast.
"""


def main():
    """Trains the variants and writes their record, table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", type=pathlib.Path, default="runs/checkerboard")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    start = time.time()
    sweep = train.sweep(CONFIG, arguments.workdir, seeds=arguments.seeds)
    if not sweep.complete:
        sys.exit(f"not all runs are finished, see {sweep.folder / 'sweep.md'}")
    measured = {cell.name: measure(sweep, cell) for cell in sweep.cells}
    real = real_images(study.get_config())
    record = {
        **environment(),
        "name": "checkerboard",
        "command": f"python -m benchmarks.checkerboard --seeds {arguments.seeds}",
        "wall_time_s": round(time.time() - start),
        "real": energies(real),
        "cells": [cell for cell, _ in measured.values()],
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    PAGE.write_text(page(record))
    plot(
        {name: images for name, (_, images) in measured.items()},
        PAGE.with_suffix(".png"),
    )
    print(table(record))


if __name__ == "__main__":
    main()
