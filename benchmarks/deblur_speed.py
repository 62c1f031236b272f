"""Speed of Richardson-Lucy: jdeconv, scikit-image, and four real Fourier transforms.

    python -m benchmarks.deblur_speed [--cases 512,2048,volume] [--turns 7] [--write]

30 iterations, float32. The programs take turns in one process, each waits for its
result. scikit-image knows only zeros beyond the frame, and is right only where all of
the scene's light falls into it, so that is what the images are; there the outputs must
agree to 1e-3 of the range. An iteration needs four real transforms, so these, of the
frame that the solver uses, thirty times, are the limit; they are timed with the rest.
Writes benchmarks/records/deblur_speed-DEVICE-jaxVERSION.json, and with --write the
table in docs/deblurring.md.
"""

import argparse
import functools
import json
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from benchmarks.report import RECORDS, write_page
from jdeconv.ops import fourier
from jdeconv.restore import Blur, psf, richardson_lucy
from jdeconv.train.records import environment

ITERATIONS = 30
TOLERANCE = 1e-3  # of the range


class Case(NamedTuple):
    """Sizes of the image and of the PSF."""

    shape: tuple[int, ...]
    window: tuple[int, ...]


CASES = {
    "512": Case((512, 512), (25, 25)),
    "2048": Case((2048, 2048), (25, 25)),
    "volume": Case((64, 256, 256), (33, 33, 33)),
}


def images(case: Case) -> tuple[jax.Array, jax.Array]:
    """A scene of boxes whose light all falls into the frame, blurred; and the PSF."""
    random = np.random.default_rng(0)
    scene = np.zeros(case.shape, np.float32)
    inside = tuple(slice(k // 2, n - k // 2) for n, k in zip(case.shape, case.window))
    sizes = [n - 2 * (k // 2) for n, k in zip(case.shape, case.window)]
    boxes = random.random([-(-m // 8) for m in sizes])
    for axis in range(len(sizes)):
        boxes = np.repeat(boxes, 8, axis)
    scene[inside] = boxes[tuple(slice(m) for m in sizes)]
    kernel = psf.gaussian([k / 8 for k in case.window], case.window)
    blurred = Blur(kernel, case.shape, "zero")(jnp.asarray(scene))
    return jnp.maximum(blurred, 0), kernel


def bench(case: Case, turns: int, peer: bool = True) -> dict:
    """Times in ms, their ratios, and the gap to scikit-image."""
    y, kernel = images(case)
    y_numpy, kernel_numpy = np.asarray(y), np.asarray(kernel / kernel.sum())

    def solve(boundary):
        options = {"init": 0.5, "num_iters": ITERATIONS, "boundary": boundary}
        return richardson_lucy(y, kernel, **options).image.block_until_ready()

    runs = {b: functools.partial(solve, b) for b in ("zero", "circular", "unknown")}
    frame = tuple(fourier.fast_size(n + k - 1) for n, k in zip(case.shape, case.window))

    def four_transforms(shape):
        @jax.jit
        def run(x):
            for _ in range(2):
                x = fourier.inverse(fourier.transform(x, shape), shape, real=True)
            return x

        x = jnp.ones(shape)

        def repeat():
            for _ in range(ITERATIONS):
                run(x).block_until_ready()

        return repeat

    runs["four transforms"] = four_transforms(frame)
    runs["four transforms, circular"] = four_transforms(case.shape)
    try:
        from skimage.restoration import richardson_lucy as scikit_image
    except ImportError:
        peer = False
    gap = None
    if peer:
        runs["scikit-image"] = lambda: scikit_image(
            y_numpy, kernel_numpy, num_iter=ITERATIONS, clip=False
        )
        theirs = runs["scikit-image"]()
        gap = float(np.max(np.abs(runs["zero"]() - theirs)) / np.ptp(theirs))
        if not gap < TOLERANCE:
            raise RuntimeError(f"{case}: differs from scikit-image by {gap:.1e}")
    times = {n: timing.summary(t) for n, t in timing.alternate(runs, turns).items()}
    ms = {name: cell["median_ms"] for name, cell in times.items()}
    found = {"times": times, "gap": gap}
    found["zero / transforms"] = ms["zero"] / ms["four transforms"]
    found["circular / transforms"] = ms["circular"] / ms["four transforms, circular"]
    if "scikit-image" in ms:
        for boundary in ("zero", "circular", "unknown"):
            found[f"scikit-image / {boundary}"] = ms["scikit-image"] / ms[boundary]
    return found


def table(record: dict) -> str:
    """Medians, quartiles and ratios, as Markdown."""
    names = ("zero", "unknown", "circular", "scikit-image")
    lines = [
        "| 30 iterations, ms (quartiles) | " + " | ".join(names) + " | scikit-image / "
        "zero | scikit-image / circular | zero / its transforms | circular / its "
        "transforms |",
        "|---|" + "---|" * 8,
    ]
    for name, cell in record["cases"].items():
        case = CASES[name]
        sizes = " x ".join(map(str, case.shape))
        row = [f"{sizes}, PSF {' x '.join(map(str, case.window))}"]
        for variant in names:
            t = cell["times"].get(variant)
            low, high = t["quartiles_ms"] if t else (0, 0)
            row.append(f"{t['median_ms']:.4g} ({low:.4g} to {high:.4g})" if t else "")
        for ratio in (
            "scikit-image / zero",
            "scikit-image / circular",
            "zero / transforms",
            "circular / transforms",
        ):
            row.append(f"{cell[ratio]:.2f}" if ratio in cell else "")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main(argv=None):
    """Runs the benchmark, prints its table and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--alone", action="store_true", help="without scikit-image")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args(argv)
    names = arguments.cases.split(",")
    unknown = set(names) - set(CASES)
    if unknown:
        parser.error(f"--cases: {unknown} not among {', '.join(CASES)}")
    record = {
        **environment(),
        "command": "python -m benchmarks.deblur_speed",
        "threads": timing.len_cores(),
        "cases": {},
    }
    for name in names:
        record["cases"][name] = bench(
            CASES[name], arguments.turns, peer=not arguments.alone
        )
        print(name, json.dumps(record["cases"][name], indent=1), flush=True)
    print(table(record))
    # A record of a CPU has scikit-image beside it.
    if set(names) == set(CASES) and not (
        arguments.alone and jax.default_backend() == "cpu"
    ):
        version = ".".join(jax.__version__.split(".")[:2])
        out = RECORDS / f"deblur_speed-{jax.default_backend()}-jax{version}.json"
        out.write_text(json.dumps(record, indent=1) + "\n")
        if arguments.write:
            write_page(table(record), out.stem, page="deblurring.md")


if __name__ == "__main__":
    main()
