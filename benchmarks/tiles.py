"""Images larger than memory: what blocks need, and what they change.

    python -m benchmarks.tiles [--size 4096] [--compared 1024] [--methods wiener,...]
                               [--write]

For each method of `restore.deconvolve(..., max_bytes=)`, on scikit-image's `camera`,
mirrored until it is large enough, blurred and with noise of 1 %:

- memory: the most that a fresh process holds beside what it held before, less the
  image and the result, for SIZE x SIZE pixels under a Gaussian PSF of 25 x 25;
- difference: to the image solved as a whole, of its range, for COMPARED pixels, under a
  Gaussian, a defocus and a motion PSF: the largest inside of a border (BORDERS), and
  the largest of all. At the image's own border a solver has not converged, and there
  it depends on the size of its frame where it ends; larger overlaps change nothing.

Writes benchmarks/records/tiles-cpu.json, and with --write the table in
docs/deblurring.md.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import threading
import time

import jax
import numpy as np

from benchmarks.report import RECORDS, write_page
from jdeconv.restore import deconvolve, psf
from jdeconv.train.records import environment

RECORD = RECORDS / "tiles-cpu.json"
METHODS = ("wiener", "total_variation", "richardson_lucy")
KERNELS = {
    "gaussian": lambda: psf.gaussian((3.0, 3.0), (25, 25)),
    "disk": lambda: psf.disk(5.0),
    "motion": lambda: psf.motion(15.0, 30.0),
}
MAX_BYTES = 6e8
# Pixels: 95 % of Wiener's filter at a balance of 0.01 lie within (of the first 24
# widths of the PSF).
BORDERS = {"gaussian": 24, "disk": 43, "motion": 137}
NOISE = 0.01


def blurred(size: int, kernel: np.ndarray) -> np.ndarray:
    """float32 `[size, size]`, blurred as if the scene went on in the mirror."""
    import scipy.signal
    import skimage.data

    camera = skimage.data.camera().astype(np.float32) / 255
    height, width = (size + n - 1 for n in kernel.shape)
    grown = [(0, max(n - m, 0)) for n, m in zip((height, width), camera.shape)]
    scene = np.pad(camera, grown, mode="reflect")[:height, :width]
    y = scipy.signal.oaconvolve(scene, kernel, mode="valid").astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(y.shape, np.float32)
    return y + NOISE * noise


def resident() -> int:
    """Bytes that this process holds."""
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def memory(method: str, size: int) -> dict[str, float]:
    """To be run in a process of its own: bytes beside image and result, and seconds."""
    kernel = KERNELS["gaussian"]()
    y = blurred(size, np.asarray(kernel))
    # What is loaded once is no image's.
    deconvolve(y[:128, :128], kernel, method=method, noise_std=NOISE)
    before, most, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(0.01):
            most[0] = max(most[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    result = deconvolve(y, kernel, method=method, noise_std=NOISE, max_bytes=MAX_BYTES)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    return {"bytes": most[0] - before - result.nbytes, "seconds": seconds}


def difference(method: str, name: str, size: int) -> dict[str, float]:
    """Of blocks about a third as large as the image, to the image as a whole."""
    kernel = KERNELS[name]()
    y = blurred(size, np.asarray(kernel))
    options = {"method": method, "noise_std": NOISE}
    blocks: list[int] = []
    parts = deconvolve(
        y,
        kernel,
        max_bytes=float(size * size * 40),
        progress=lambda i, n: blocks.append(n),
        **options,
    )
    apart = np.abs(np.asarray(parts) - np.asarray(deconvolve(y, kernel, **options)))
    apart /= np.ptp(y)
    edge = BORDERS[name]
    inside = apart[edge:-edge, edge:-edge]
    return {
        "border": edge,
        "blocks": len(blocks),
        "inside": float(inside.max()),
        "everywhere": float(apart.max()),
        "rms": float(np.sqrt(np.mean(apart**2))),
    }


def table(record: dict) -> str:
    """Markdown."""
    size, compared = record["size"], record["compared"]
    lines = [
        f"| method | {size} x {size}: memory, GB | seconds | "
        + " | ".join(f"{k}: inside (everywhere; border)" for k in KERNELS)
        + " |",
        "|---|---|---|" + "---|" * len(KERNELS),
    ]
    for method, found in record["methods"].items():
        cells = [f"{found['memory']['bytes'] / 1e9:.2f}"]
        cells.append(f"{found['memory']['seconds']:.0f}")
        for name in KERNELS:
            gap = found["difference"][name]
            cells.append(
                f"{gap['inside']:.1e} ({gap['everywhere']:.1e}; {gap['border']} px)"
            )
        lines.append(f"| {method} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Memory beside the image and the result, with max_bytes=6e8; differences to "
        f"the {compared} x {compared} image solved as a whole, of its range.",
    ]
    return "\n".join(lines)


def main(argv=None):
    """Measures each method in a process of its own, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--compared", type=int, default=1024)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.memory_of:
        print(json.dumps(memory(given.memory_of, given.size)))
        return
    record = {
        **environment(),
        "command": "python -m benchmarks.tiles --write",
        "size": given.size,
        "compared": given.compared,
        "methods": {},
    }
    for method in given.methods.split(","):
        again = [sys.executable, "-m", "benchmarks.tiles", "--size", str(given.size)]
        again += ["--memory-of", method]
        output = subprocess.run(again, check=True, capture_output=True, text=True)
        found = {"memory": json.loads(output.stdout.splitlines()[-1])}
        found["difference"] = {}
        for name in KERNELS:
            found["difference"][name] = difference(method, name, given.compared)
            jax.clear_caches()
        record["methods"][method] = found
        print(method, json.dumps(found), flush=True)
    print(table(record))
    if given.write:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        write_page(table(record), "tiles", page="deblurring.md")


if __name__ == "__main__":
    main()
