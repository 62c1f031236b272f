"""Transposed convolution against stock lax, Flax, equinox and PyTorch.

    python -m benchmarks.conv_transpose [--shapes dcgan-2,unet] [--turns 15]
    python -m benchmarks.conv_transpose --lowerings     (each lowering by itself)
    python -m benchmarks.conv_transpose --precision tf32 --batch_factor 8   (on a GPU)

Forward, and forward + backward (gradients to the input and to the kernel), in one
process, the candidates taking turns; every output and gradient is compared with stock
lax's before anything is timed. A peer that is not installed is left out. Writes
benchmarks/records/conv_transpose-DEVICE-jaxVERSION.json and, with --write, the table in
docs/speed.md and docs/speed-DEVICE-jaxVERSION.png.
"""

import argparse
import atexit
import concurrent.futures
import json
import math
import pathlib
import tempfile
from collections.abc import Callable, Iterable

import jax
import numpy as np

from benchmarks import timing
from benchmarks.layers import (
    CANDIDATES,
    NETWORKS,
    OURS_AND_LAX,
    SHAPES,
    Candidate,
    Shape,
    arrays,
)
from benchmarks.report import RECORDS, ROOT, write_page
from benchmarks.timing import median
from jdeconv import figures
from jdeconv.ops.geometry import conv_transpose_axes
from jdeconv.ops.lowering import choose
from jdeconv.ops.lowering.choose import REFERENCE, Forms
from jdeconv.ops.lowering.problem import Problem, problem
from jdeconv.ops.lowering.tune import measure
from jdeconv.train.records import environment

# Of the largest entry; sums of up to 1e5 products, after factors of 24, 11 or 8 bits.
TOLERANCE = {"float32": 2e-4, "tf32": 4e-3, "bfloat16": 3e-2}
DTYPES = {"float32": "float32", "tf32": "float32", "bfloat16": "bfloat16"}
# What is compared on an accelerator, where Flax and equinox are lax by other names.
ON_ACCELERATORS = ("jdeconv", "lax", "PyTorch")
TURNS = 15
AHEAD = 7  # layers compiled at once there: of all, nothing is seen for minutes


def check_equal(
    made: dict[str, Candidate], tolerance: float = TOLERANCE["float32"]
) -> dict[str, float]:
    """Largest gap to lax of value and gradients, over the largest entry.

    Args:
      made: the candidates, "lax" among them.
      tolerance: the largest gap that rounding explains.

    Raises:
      RuntimeError: a candidate that does not compute the same.
    """
    results = {
        name: [np.asarray(a, np.float32) for a in c.to_ours(c.both())]
        for name, c in made.items()
    }
    gaps = {}
    for name, result in results.items():
        gaps[name] = max(
            float(np.abs(a - b).max() / np.abs(b).max())
            for a, b in zip(result, results["lax"], strict=True)
        )
        if not gaps[name] < tolerance:
            raise RuntimeError(f"{name} differs from lax by {gaps[name]:.1e}")
    return gaps


def keep_programs() -> None:
    """Lets jax find again, as long as this process lasts, what has been compiled."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    jax.config.update("jax_compilation_cache_dir", folder.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def compile_ahead(shapes: Iterable[Shape], precision: str) -> None:
    """Compiles jdeconv's and lax's programs of some layers side by side.

    For accelerators, where each takes seconds: convolutions are tried in many ways.
    Lax's training steps come first, so that XLA can take for the others what it has
    found for a convolution they share. It wants `keep_programs`.
    """
    lowered = {
        name: [
            CANDIDATES[name](s, *arrays(s, DTYPES[precision])).lower() for s in shapes
        ]
        for name in OURS_AND_LAX
    }
    steps = [step for _, step in lowered["lax"]]
    rest = [forward for forward, _ in lowered["lax"]]
    rest += [program for both in lowered["jdeconv"] for program in both]
    with concurrent.futures.ThreadPoolExecutor(timing.len_cores()) as pool:
        for programs in (steps, rest):
            list(pool.map(lambda program: program.compile(), programs))


def bench(s: Shape, turns: int, precision: str = "float32") -> dict:
    """One shape: times, gaps and the forms that auto took.

    On a CPU also what compiling takes, and memory.
    """
    y, kernel, x_bar = arrays(s, DTYPES[precision])
    on_cpu = jax.default_backend() == "cpu"
    made = {
        n: make(s, y, kernel, x_bar)
        for n, make in CANDIDATES.items()
        if on_cpu or n in ON_ACCELERATORS
    }
    made = {n: c for n, c in made.items() if c is not None}
    gaps = check_equal(made, TOLERANCE[precision])

    forward = timing.per_call({n: c.forward for n, c in made.items()}, turns)
    both = timing.per_call({n: c.both for n, c in made.items()}, turns)
    asked = to_problem(s, y, kernel)
    return {
        "shape": s._asdict(),
        "forward": forward,
        "both": both,
        "gap_to_lax": gaps,
        "compiled": {
            n: c.compile()
            for n, c in made.items()
            if c.compile and on_cpu and n in OURS_AND_LAX
        },
        "forms": choose.here(asked)._asdict(),
        "gflops_forward": s.flops / 1e9,
    }


def to_problem(s: Shape, y, kernel) -> Problem:
    """The shape as the lowerings see it."""
    axes = conv_transpose_axes(
        s.size,
        (s.window,) * s.num_axes,
        strides=s.stride,
        padding=s.padding,
        output_padding=s.output_padding,
    )
    return problem(y, kernel, axes, s.groups)


def table(record: dict) -> str:
    """Forward + backward and forward per shape, in ms, as Markdown."""
    peers = [
        n for n in CANDIDATES if any(n in c["both"] for c in record["shapes"].values())
    ]
    torch = "PyTorch" in peers
    shown = ["jdeconv", "lax"] + ["PyTorch"] * torch
    heads = [*peers, "lax / jdeconv", *["jdeconv / PyTorch"] * torch]
    heads += ["forward: " + ", ".join(shown), "share of matmul rate"]
    lines = [
        "| forward + backward, ms | " + " | ".join(heads) + " |",
        "|---|" + "---|" * len(heads),
    ]
    peak = record["limits"]["matmul_gflops"]
    for name, cell in record["shapes"].items():
        both, forward = cell["both"], cell["forward"]
        ours = median(both, "jdeconv")
        row = [name, *(_number(median(both, p)) for p in peers)]
        row.append(f"{median(both, 'lax') / ours:.1f}")
        if torch:
            row.append(f"{ours / median(both, 'PyTorch'):.2f}")
        row.append(", ".join(_number(median(forward, p)) for p in shown))
        share = 3 * cell["gflops_forward"] / (ours / 1e3) / peak
        row.append(f"{100 * share:.0f} %")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _number(ms: float) -> str:
    return "-" if math.isnan(ms) else f"{ms:.3g}"


def ratios(record: dict) -> dict[str, float]:
    """The figures of merit: geometric and extreme ratios of medians."""
    cells = {n: c for n, c in record["shapes"].items() if n in NETWORKS}
    found: dict[str, float] = {}
    if not cells:  # reports alone
        return found
    for part in ("forward", "both"):
        lax_ = {
            n: median(c[part], "lax") / median(c[part], "jdeconv")
            for n, c in cells.items()
        }
        strided = [v for n, v in lax_.items() if not n.startswith("stride1")]
        torch = [
            median(c[part], "jdeconv") / median(c[part], "PyTorch")
            for c in cells.values()
        ]
        if strided:
            found[f"{part}: lax / jdeconv, strided, geometric mean"] = (
                timing.geometric_mean(strided)
            )
        found[f"{part}: lax / jdeconv, least"] = min(lax_.values())
        if not any(map(math.isnan, torch)):
            found[f"{part}: jdeconv / PyTorch, geometric mean"] = timing.geometric_mean(
                torch
            )
            found[f"{part}: jdeconv / PyTorch, largest"] = max(torch)
    return found


def plot(record: dict, path: pathlib.Path) -> None:
    """Ratio to lax and to PyTorch per shape, logarithmic; above 1 jdeconv is faster."""
    import matplotlib.pyplot as plt

    names = list(record["shapes"])
    figure, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
    for offset, peer in ((-0.2, "lax"), (0.2, "PyTorch")):
        values = [
            median(c["both"], peer) / median(c["both"], "jdeconv")
            for c in record["shapes"].values()
        ]
        if not all(map(math.isnan, values)):
            axis.bar(
                np.arange(len(names)) + offset, values, 0.4, label=f"{peer} / jdeconv"
            )
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_yscale("log")
    axis.set_ylabel("forward + backward: times faster")
    axis.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axis.legend()
    figures.save_plot(figure, path)


def lowerings(
    shapes: dict[str, Shape], precision: str, keep: Callable[[dict], None]
) -> None:
    """Each lowering by itself: ms per computation; `keep` gets it after each layer."""
    found: dict[str, dict] = {}
    for name, s in shapes.items():
        y, kernel, _ = arrays(s, DTYPES[precision])
        p = to_problem(s, y, kernel)
        times = measure(p)
        chosen = choose.here(p)._asdict()
        found[name] = {
            part: {n: 1e3 * t for n, t in seconds.items()}
            for part, seconds in times.items()
        }
        taken = sum(times[part][n] for part, n in chosen.items())
        best = sum(min(seconds.values()) for seconds in times.values())
        stock = sum(seconds[REFERENCE] for seconds in times.values())
        found[name]["auto"] = chosen
        found[name]["auto_over_best"] = taken / best
        found[name]["lhs_dilation_over_auto"] = stock / taken
        for part in times:
            row = "  ".join(f"{n} {t:8.2f}" for n, t in found[name][part].items())
            print(f"{name:26s} {part:16s} {row}   auto: {chosen[part]}", flush=True)
        print(f"{name:26s} auto / best {taken / best:.2f}", flush=True)
        keep(found)


def lowerings_table(found: dict) -> str:
    """Of each layer the reference's times and those of the choice, as Markdown."""
    parts = Forms._fields
    lines = [
        "| ms | " + " | ".join(part.replace("_", " ") for part in parts) + " | all |",
        "|---|" + "---|" * (len(parts) + 1),
    ]
    for name, cell in found.items():
        row = [name]
        for part in parts:
            times, chosen = cell[part], cell["auto"][part]
            text = _number(times[REFERENCE])
            if chosen != REFERENCE:
                text += f" -> {_number(times[chosen])} {chosen}"
            row.append(text)
        row.append(f"{cell['lhs_dilation_over_auto']:.1f} times")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main(argv=None):
    """Runs the benchmark, prints its table and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--lowerings", action="store_true")
    parser.add_argument("--precision", choices=TOLERANCE, default="float32")
    parser.add_argument("--batch_factor", type=int, default=1)
    parser.add_argument("--record", type=pathlib.Path, help="where; after each layer")
    parser.add_argument("--write", action="store_true", help="table into docs/speed.md")
    arguments = parser.parse_args(argv)
    names = arguments.shapes.split(",")
    unknown = set(names) - set(SHAPES)
    if unknown:
        parser.error(f"--shapes: {unknown} not among {', '.join(SHAPES)}")
    precision, factor = arguments.precision, arguments.batch_factor
    shapes = {n: SHAPES[n]._replace(batch=factor * SHAPES[n].batch) for n in names}
    if jax.default_backend() != "cpu":
        exact = {"float32": "highest", "tf32": "tensorfloat32"}
        jax.config.update("jax_default_matmul_precision", exact.get(precision))
    elif precision == "tf32":
        parser.error("--precision: no CPU has tf32")
    RECORDS.mkdir(exist_ok=True)
    version = ".".join(jax.__version__.split(".")[:2])
    suffix = f"{jax.default_backend()}-jax{version}"
    options = ""
    if precision != "float32" or jax.default_backend() != "cpu":
        suffix += f"-{precision}"
        options += f" --precision {precision}"
    if factor > 1:
        suffix += f"-x{factor}"
        options += f" --batch_factor {factor}"
    chosen = "" if set(names) == set(SHAPES) else f" --shapes {arguments.shapes}"
    if arguments.turns != TURNS and not arguments.lowerings:
        options += f" --turns {arguments.turns}"
    if arguments.lowerings:
        command = f"python -m benchmarks.conv_transpose --lowerings{options}{chosen}"
        about = {**environment(), "command": command}
        out = arguments.record or RECORDS / f"lowerings-{suffix}.json"

        def keep(found: dict) -> None:
            content = json.dumps(about | {"lowerings_ms": found}, indent=1)
            out.write_text(content + "\n")

        lowerings(shapes, precision, keep)
        found = json.loads(out.read_text())["lowerings_ms"]
        print(lowerings_table(found))
        if arguments.write:
            write_page(lowerings_table(found), out.stem)
        print(out)
        return
    record = {
        **environment(),
        "command": f"python -m benchmarks.conv_transpose{options}{chosen}",
        "limits": timing.machine_limits(DTYPES[precision]),
        "shapes": {},
    }
    on_cpu = jax.default_backend() == "cpu"
    if not on_cpu:
        keep_programs()
    out = arguments.record or RECORDS / f"conv_transpose-{suffix}.json"
    for n, (name, s) in enumerate(shapes.items()):
        if not on_cpu and n % AHEAD == 0:
            compile_ahead(list(shapes.values())[n : n + AHEAD], precision)
        record["shapes"][name] = cell = bench(s, arguments.turns, precision)
        row = "  ".join(f"{n} {c['median_ms']:.2f}" for n, c in cell["both"].items())
        ahead = "  ".join(
            f"{n} {c['median_ms']:.2f}" for n, c in cell["forward"].items()
        )
        print(f"{name:26s} both: {row} | forward: {ahead}", flush=True)
        if arguments.record:
            out.write_text(json.dumps(record, indent=1) + "\n")
    record["ratios"] = ratios(record)
    if arguments.record or set(names) >= set(NETWORKS):
        out.write_text(json.dumps(record, indent=1) + "\n")
        if arguments.write:
            write_page(table(record), suffix)
            plot(record, ROOT / "docs" / f"speed-{suffix}.png")
    print(table(record))
    for name, value in record["ratios"].items():
        print(f"{name}: {value:.2f}")
    print(out)


if __name__ == "__main__":
    main()
