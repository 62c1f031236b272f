"""Denoising of whole images: PSNR as it is published.

    python -m benchmarks.denoising RUN ... --data FOLDER [--sets set12,bsd68]
                                   [--networks_alone] [--self_ensemble] [--write]

FOLDER holds the grey test images in images/set12 and images/bsd68. RUN is a training
run's workdir, or the name of published weights. White Gaussian noise of standard
deviation 15, 25 and 50 of 255, drawn from the number of the image, is neither clipped
nor rounded; the result is rounded to 8 bits and compared with the whole image. A
network trained for one level sees that level alone; all compute in float32. `bm3d`,
`dct` and `total_variation`, which learned nothing, stand beside it, and a network told
nothing of the noise ("blind"). `--networks_alone` leaves out what learned nothing;
`--self_ensemble` measures the networks' means over the symmetries of the square too.

The means are kept in the workdir, for `benchmarks.results collect`; --write writes
benchmarks/records/denoising.json, where methods measured before keep their rows, and
puts the table into docs/networks.md.
"""

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.deblur_sets import read
from benchmarks.report import RECORDS, write_page
from jdeconv import train
from jdeconv.restore import denoisers
from jdeconv.train.records import environment

RECORD = RECORDS / "denoising.json"
LEVELS = (15, 25, 50)
SETS = {"set12": "Set12", "bsd68": "BSD68"}
Method = Callable[[jax.Array, float], jax.Array]


def noisy(clean: np.ndarray, level: int, number: int) -> np.ndarray:
    """An image of 0 .. 255 with noise, float64, in units of 0 .. 1."""
    draw = np.random.default_rng((level, number))
    return (clean + level * draw.standard_normal(clean.shape)) / 255


def psnr(result: np.ndarray, clean: np.ndarray) -> float:
    """Of a result of 0 .. 1, rounded to 8 bits."""
    rounded = np.clip(np.floor(result * 255 + 0.5), 0, 255)
    return float(10 * np.log10(255**2 / np.mean((rounded - clean) ** 2)))


def methods(
    runs: dict[str, train.TrainedRun], *, networks_alone: bool = False
) -> dict[str, Method]:
    """Functions of a noisy image `[H, W]` and its level, of 1."""
    found: dict[str, Method] = {}
    if not networks_alone:
        found["total_variation"] = jax.jit(denoisers.total_variation)
        found["dct"] = jax.jit(denoisers.dct)
        found["bm3d"] = jax.jit(denoisers.bm3d)
    for name, run in runs.items():
        if getattr(run.model, "condition", None) == "noise_std":
            found[name] = jax.jit(denoisers.network(run.model))
            found[f"{name}, blind"] = jax.jit(
                lambda y, _, r=run: r.model(_one(y))[0, ..., 0]
            )
        else:
            found[name] = jax.jit(lambda y, _, r=run: r.model(_one(y))[0, ..., 0])
    return found


def _one(y):
    return y[None, ..., None]


def suits(run: train.TrainedRun, level: int) -> bool:
    """Whether a network was trained for a level of noise."""
    trained = run.config.degrade.noise_std
    if isinstance(trained, float):
        return abs(255 * trained - level) < 0.5
    return 255 * trained[0] <= level <= 255 * trained[1]


def run(
    names: list[str], root: pathlib.Path, runs: dict, *, networks_alone: bool = False
) -> dict:
    """PSNR by set, level, method and image."""
    found: dict = {}
    applied = methods(runs, networks_alone=networks_alone)
    for name in names:
        files = sorted((root / "images" / name).glob("*.png"))
        if not files:
            raise FileNotFoundError(f"there are no images {root}/images/{name}/*.png")
        for level in LEVELS:
            rows = found.setdefault(name, {}).setdefault(str(level), {})
            for method, apply in applied.items():
                of_run = runs.get(method.removesuffix(", blind"))
                if of_run is not None and not suits(of_run, level):
                    continue
                start = time.perf_counter()
                rows[method] = {
                    file.stem: _score(apply, read(file), level, number)
                    for number, file in enumerate(files)
                }
                mean = statistics.mean(rows[method].values())
                seconds = time.perf_counter() - start
                print(
                    f"{name} {level} {method:24s} {mean:6.2f} dB {seconds:6.1f} s",
                    flush=True,
                )
    return found


def _score(apply: Method, clean: np.ndarray, level: int, number: int) -> float:
    y = jnp.asarray(noisy(clean, level, number), jnp.float32)
    return psnr(np.asarray(apply(y, level / 255), float), clean)


def merged(old: dict, new: dict) -> dict:
    """PSNR by set, level, method and image; of what is in both, the new."""
    return {
        name: {
            level: old.get(name, {}).get(level, {}) | new.get(name, {}).get(level, {})
            for level in map(str, LEVELS)
        }
        for name in SETS
        if name in old or name in new
    }


def keep(name: str, workdir: pathlib.Path, step: int, found: dict) -> None:
    """Writes WORKDIR/whole_images.json: means over the images, and standard errors."""
    content: dict = {"split": "test", "step": step}
    for dataset, by_level in found.items():
        for level, rows in by_level.items():
            if name in rows:
                values = list(rows[name].values())
                error = float(np.std(values, ddof=1) / len(values) ** 0.5)
                key = f"test/{dataset}_{level}"
                content |= {key: statistics.mean(values), f"{key}_sem": error}
    text = json.dumps(content, indent=1) + "\n"
    (workdir / "whole_images.json").write_text(text)


def table(record: dict) -> str:
    """Mean over the images, a row per method, as Markdown."""
    columns = [(s, level) for s in record["sets"] for level in record["sets"][s]]
    shown = list(dict.fromkeys(m for s, v in columns for m in record["sets"][s][v]))
    titles = [f"{SETS[s]}, {level}" for s, level in columns]
    lines = [
        "| PSNR, dB | " + " | ".join(titles) + " |",
        "|---|" + "---|" * len(titles),
    ]
    for method in shown:
        cells = []
        for name, level in columns:
            values = record["sets"][name][level].get(method)
            cells.append(f"{statistics.mean(values.values()):.2f}" if values else "")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv=None):
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", help="workdirs or names of weights")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--checkpoint", choices=("best", "latest"), default="latest")
    parser.add_argument("--networks_alone", action="store_true")
    parser.add_argument("--self_ensemble", action="store_true")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(argv)
    names = given.sets.split(",")
    if set(names) - set(SETS):
        parser.error(f"--sets={given.sets}: must be among {', '.join(SETS)}")
    runs, workdirs = {}, {}
    for name in given.runs:
        if pathlib.Path(name).is_dir():
            folder = pathlib.Path(name)
            name = folder.name.rpartition("-")[0] or folder.name
            runs[name] = train.load_run(folder, given.checkpoint, dtype="float32")
            workdirs[name] = folder
        else:
            runs[name] = train.load_published(name)
    if given.self_ensemble:
        runs |= {f"{n}, self-ensemble": r.self_ensemble() for n, r in runs.items()}
    measured = run(names, given.data, runs, networks_alone=given.networks_alone)
    for name, folder in workdirs.items():
        keep(name, folder, runs[name].step, measured)
    old = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record = {
        **environment(),
        "command": "python -m benchmarks.denoising RUN --data FOLDER --write",
        "steps": old.get("steps", {}) | {n: found.step for n, found in runs.items()},
        "sets": merged(old.get("sets", {}), measured),
    }
    print(table(record))
    if given.write:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        write_page(table(record), "denoising", page="networks.md")


if __name__ == "__main__":
    main()
