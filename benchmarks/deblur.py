"""Deblurring with known blur, on the field's test images: PSNR by method.

    python -m benchmarks.deblur --data FOLDER [--sets levin32,...]
                                [--methods wiener,...] [--oracle] [--write]

FOLDER holds the images, see benchmarks/deblur_sets.py. Every strength is chosen by the
method itself, from the measured image and, where noise was added, its level; the
constant weights of `set3c` are there to check the set-up. --oracle also solves with
weights around the one chosen, and with other numbers of iterations where a rule stops
Richardson-Lucy, and says what the choices lose against the best.
Results go to benchmarks/records/deblur.json image by image, as they come: what is there
is not computed again; "made" says of each set and method what made its newest rows, the
rest of the record of the last run. --write puts the table into docs/deblurring.md.
"""

import argparse
import functools
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

from benchmarks import deblur_sets
from benchmarks.report import RECORDS, write_page
from jdeconv import restore
from jdeconv.restore.stopping import RULES
from jdeconv.train.records import environment

RECORD = RECORDS / "deblur.json"
SETS: dict[str, tuple[str, Callable[[pathlib.Path], Iterator]]] = {
    "levin32": ("Levin 32, real", deblur_sets.levin32),
    "set12-2.55": ("Set12, σ 2.55", lambda r: deblur_sets.set12(r, 2.55)),
    "set12-7.65": ("Set12, σ 7.65", lambda r: deblur_sets.set12(r, 7.65)),
    "set12-12.75": ("Set12, σ 12.75", lambda r: deblur_sets.set12(r, 12.75)),
    "set12-peak256": ("Set12, 256 photons", lambda r: deblur_sets.set12(r, peak=256)),
    "set3c": ("six, circular, σ 7.65", deblur_sets.circular),
}
STOPS = (2, 3, 5, 7, 10, 14, 20, 28, 40)  # iterations tried
ORACLE = 2.0 ** np.arange(-2, 2.1, 0.5)  # weights tried, of the one chosen


def _options(case) -> dict:
    return {
        "noise_std": case.noise_std or None,
        "boundary": case.boundary,
        "channel_axis": -1 if case.y.ndim == 3 else None,
    }


def _with_likelihood(case) -> dict:
    likelihood = "poisson" if case.photons else "gaussian"
    return _options(case) | {"likelihood": likelihood}


def blurred(case, y, psf):
    """The measured image as it is."""
    return y


def wiener(case, y, psf):
    """With the gradient prior."""
    return restore.wiener(y, psf, **_options(case))


def wiener_edgetaper(case, y, psf):
    """As before the boundary was unknown: its border drawn out and tapered four times.

    So do Krishnan and Fergus 2009 ("Fast image deconvolution using hyper-Laplacian
    priors", their program), and those after them.
    """
    margins = [n // 2 for n in psf.shape]
    wide = jnp.pad(y, [(n, n) for n in margins], mode="edge")
    for _ in range(4):
        wide = restore.edgetaper(wide, psf)
    x = restore.wiener(wide, psf, **_options(case) | {"boundary": "circular"})
    return x[tuple(slice(n, n + m) for n, m in zip(margins, y.shape))]


def total_variation(case, y, psf):
    """With the likelihood of the noise."""
    return restore.total_variation(y, psf, **_with_likelihood(case)).image


def richardson_lucy(case, y, psf):
    """With total variation, its weight and the stopping chosen."""
    options = _options(case)
    return restore.deconvolve(y, psf, method="richardson_lucy", **options)


def plug_and_play(case, y, psf):
    """With the denoiser that learned nothing."""
    return restore.plug_and_play(y, psf, **_with_likelihood(case)).image


def bm3d(case, y, psf):
    """Plug-and-play with blocks that are alike, BM3D."""
    options = _with_likelihood(case) | {"denoiser": restore.denoisers.bm3d}
    return restore.plug_and_play(y, psf, **options).image


def combined(case, y, psf):
    """The mean of both total variations and of plug-and-play."""
    return restore.deconvolve(y, psf, method="combined", **_with_likelihood(case))


def constant_wiener(case, y, psf):
    """The best constant balance, told by the truth."""
    return _best(case, y, psf, "white")


def constant_tikhonov(case, y, psf):
    """The best weight of the gradient, told by the truth."""
    return _best(case, y, psf, "gradient")


def _best(case, y, psf, prior):
    options = _options(case) | {"prior": prior}
    tried = [
        np.asarray(restore.wiener(y, psf, balance=10.0**e, **options))
        for e in np.arange(-3, 0.51, 0.1)
    ]
    return max(tried, key=case.psnr)


METHODS = {
    f.__name__: f
    for f in (
        blurred,
        wiener,
        wiener_edgetaper,
        richardson_lucy,
        total_variation,
        plug_and_play,
        bm3d,
        combined,
        constant_wiener,
        constant_tikhonov,
    )
}
ALL = ("wiener", "total_variation", "plug_and_play", "bm3d")
# What is worth its time on each set.
USED = {name: ALL for name in SETS} | {
    "levin32": ("blurred", "wiener_edgetaper", *ALL, "combined"),
    "set12-2.55": ("blurred", *ALL),
    "set12-peak256": ("richardson_lucy", "total_variation", "plug_and_play", "bm3d"),
    "set3c": ("blurred", "constant_wiener", "constant_tikhonov", *ALL),
}


def run(name: str, methods: tuple[str, ...], root: pathlib.Path, record: dict) -> None:
    """Fills the record of one set, image by image, keeping what is there."""
    found = record["sets"].setdefault(name, {})
    for case in SETS[name][1](root):
        y = jnp.asarray(np.ascontiguousarray(case.y), jnp.float32)
        psf = jnp.asarray(np.ascontiguousarray(case.psf), jnp.float32)
        for method in methods:
            rows = found.setdefault(method, {})
            if case.name in rows:
                continue
            start = time.perf_counter()
            image = np.asarray(METHODS[method](case, y, psf))
            rows[case.name] = case.psnr(image)
            record["made"].setdefault(name, {})[method] = {
                "jax": record["versions"]["jax"],
                "cpu": record["cpu"],
                "commit": record["commit"],
            }
            seconds = time.perf_counter() - start
            print(
                f"{name} {method:18s} {case.name:9s} {rows[case.name]:6.2f} dB  "
                f"{seconds:5.1f} s with compiling",
                flush=True,
            )
            RECORD.write_text(json.dumps(record, indent=1) + "\n")


def run_oracle(name: str, root: pathlib.Path, record: dict) -> None:
    """What choosing the weight of the total variation loses, in dB, by image."""
    losses = record["losses"].setdefault(name, {})
    for case in SETS[name][1](root):
        if case.name in losses:
            continue
        y = jnp.asarray(np.ascontiguousarray(case.y), jnp.float32)
        psf = jnp.asarray(np.ascontiguousarray(case.psf), jnp.float32)
        likelihood = "poisson" if case.photons else "gaussian"
        options = _options(case) | {"likelihood": likelihood}
        chosen, weight = chosen_weight(y, psf, options)
        scores = [
            case.psnr(
                np.asarray(
                    restore.total_variation(
                        y, psf, weight=float(weight * factor), **options
                    ).image
                )
            )
            for factor in ORACLE
        ]
        losses[case.name] = max(scores) - case.psnr(np.asarray(chosen))
        print(f"{name} {case.name:9s} loses {losses[case.name]:5.2f} dB", flush=True)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")


def run_stopping(name: str, root: pathlib.Path, record: dict) -> None:
    """What the rules of stopping lose where no prior is there, in dB, by image.

    Richardson-Lucy alone, accelerated, on the photographs under two of the kernels:
    against the best of `STOPS` iterations.
    """
    losses = record["stopping"].setdefault(name, {})
    for case in SETS[name][1](root):
        if case.name in losses or not case.name.endswith(("k1", "k3")):
            continue
        y = jnp.asarray(np.ascontiguousarray(case.y), jnp.float32)
        psf = jnp.asarray(np.ascontiguousarray(case.psf), jnp.float32)
        solve = functools.partial(
            restore.richardson_lucy,
            y,
            psf,
            boundary=case.boundary,
            acceleration="biggs-andrews",
        )
        best = max(
            case.psnr(np.asarray(solve(num_iters=count).image)) for count in STOPS
        )
        losses[case.name] = {
            rule: best
            - case.psnr(
                np.asarray(solve(num_iters=200, stop=rule, peak=case.peak).image)
            )
            for rule in RULES
        }
        shown = ", ".join(f"{r} {v:.2f} dB" for r, v in losses[case.name].items())
        print(f"{name} {case.name:9s} stopping loses: {shown}", flush=True)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")


def chosen_weight(y, psf, options: dict):
    """The image under the weight chosen, and that weight, told from the objective.

    What is minimised is affine in the weight, so two further solves of no iteration to
    speak of would tell it too; the solver's own function is simpler.
    """
    from jdeconv.restore.problem import convolution
    from jdeconv.restore.total_variation import best_weight

    measured = convolution(y, psf, boundary=options["boundary"])
    weight = best_weight(
        measured,
        None,
        jnp.asarray(options["noise_std"], y.dtype),
        "sure",
        likelihood=options["likelihood"],
        power=1.0,
        nonnegative=options["likelihood"] == "poisson",
        boundary=options["boundary"],
    )
    image = restore.total_variation(y, psf, weight=weight, **options).image
    return image, float(weight)


def table(record: dict) -> str:
    """Mean, spread over the images and the worst, as Markdown."""
    shown = [m for m in METHODS if any(m in s for s in record["sets"].values())]
    lines = [
        "| PSNR in dB: mean ± spread over images (worst) | " + " | ".join(shown) + " |",
        "|---|" + "---|" * len(shown),
    ]
    for name, (title, _) in SETS.items():
        found = record["sets"].get(name)
        if not found:
            continue
        cells = []
        for method in shown:
            values = list(found.get(method, {}).values())
            cells.append(
                f"{statistics.mean(values):.2f} ± {statistics.pstdev(values):.2f} "
                f"({min(values):.2f})"
                if values
                else ""
            )
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    for name, losses in record["losses"].items():
        values = list(losses.values())
        within = sum(v <= 1 for v in values) / len(values)
        lines += [
            "",
            f"{SETS[name][0]}: the weight chosen for the total variation loses "
            f"{statistics.mean(values):.2f} dB in the mean against the best one, "
            f"{max(values):.2f} at most; {within:.0%} of {len(values)} images lose "
            "1 dB or less.",
        ]
    for name, by_image in record["stopping"].items():
        for rule in RULES:
            values = [losses[rule] for losses in by_image.values()]
            within = sum(v <= 1 for v in values) / len(values)
            lines += [
                "",
                f"{SETS[name][0]}: Richardson-Lucy without a prior, stopped by the "
                f'rule "{rule}", loses {statistics.mean(values):.2f} dB in the mean '
                f"against the best number of iterations, {max(values):.2f} at most; "
                f"{within:.0%} of {len(values)} images lose 1 dB or less.",
            ]
    return "\n".join(lines)


def main(argv=None):
    """Runs what is missing, prints the table and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--methods", help="of each set: default those worth their time")
    parser.add_argument("--oracle", action="store_true")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args(argv)
    names = arguments.sets.split(",")
    unknown = set(names) - set(SETS)
    if unknown:
        parser.error(f"--sets: {unknown} not among {', '.join(SETS)}")
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    parts = {"sets": {}, "losses": {}, "stopping": {}, "made": {}}
    record = parts | record | environment()
    record["command"] = "python -m benchmarks.deblur --data FOLDER --oracle"
    for name in names:
        methods = USED[name]
        if arguments.methods:
            methods = tuple(arguments.methods.split(","))
        run(name, methods, arguments.data, record)
        if arguments.oracle and name.startswith("set12"):
            run_oracle(name, arguments.data, record)
        if arguments.oracle and name == "set12-peak256":
            run_stopping(name, arguments.data, record)
    print(table(record))
    if arguments.write:
        write_page(table(record), "deblur", page="deblurring.md")


if __name__ == "__main__":
    main()
