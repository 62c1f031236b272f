"""Brightening dark photographs: a trained network beside what learned nothing.

    python -m benchmarks.enhancement RUN --photos FOLDER [--figure FILE.png] [--write]

RUN is the workdir of configs/enhance_photos.py, or the name of published weights;
FOLDER holds colour photographs. Each is darkened as the network was trained to expect,
at three exposures, and brightened by

    gamma          the power under which the mean becomes 0.45
    equalisation   of the histogram of HSV's V (equalize_hist of scikit-image)
    clahe          locally, with limited contrast (equalize_adapthist)
    gain           by the true exposure, in linear light: what is left is the noise
    network

PSNR and SSIM are of 8-bit RGB and the whole photograph. Writes
benchmarks/records/enhancement.json; --write puts the table into docs/networks.md.
"""

import argparse
import json
import pathlib
import statistics

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import RECORDS, write_page
from jdeconv import data, figures, train
from jdeconv.data.exposure import from_linear, to_linear, underexpose
from jdeconv.train.records import environment

RECORD = RECORDS / "enhancement.json"
EXPOSURES = (1 / 4, 1 / 8, 1 / 16)
MEAN = 0.45


def gamma(dark: np.ndarray, gain: float) -> np.ndarray:
    """The power of all values under which their mean is 0.45, by bisection."""
    del gain
    low, high = 0.05, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(dark**middle) > MEAN else (low, middle)
    return dark**middle


def equalisation(dark: np.ndarray, gain: float) -> np.ndarray:
    """The histogram of the brightest channel of each pixel made flat."""
    del gain
    from skimage import color, exposure

    hsv = color.rgb2hsv(dark)
    hsv[..., 2] = exposure.equalize_hist(hsv[..., 2])
    return color.hsv2rgb(hsv)


def clahe(dark: np.ndarray, gain: float) -> np.ndarray:
    """Locally, contrast limited (Zuiderveld 1994)."""
    del gain
    from skimage import exposure

    return exposure.equalize_adapthist(dark)


def true_gain(dark: np.ndarray, gain: float) -> np.ndarray:
    """Told the exposure, noise and all."""
    light = to_linear(jnp.asarray(dark)) / gain
    return np.clip(np.asarray(from_linear(light)), 0, 1)


METHODS = {
    "dark": lambda dark, gain: dark,
    "gamma": gamma,
    "equalisation": equalisation,
    "clahe": clahe,
    "gain": true_gain,
}


def scores(result: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """PSNR in dB and SSIM of 8-bit images."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    shown = np.uint8(np.clip(np.floor(result * 255 + 0.5), 0, 255))
    return {
        "psnr": float(peak_signal_noise_ratio(clean, shown)),
        "ssim": float(structural_similarity(clean, shown, channel_axis=-1)),
    }


def run(trained: train.TrainedRun, photos: list[pathlib.Path]):
    """Scores by exposure, method and photograph, and rows of pictures."""
    photons = trained.config.degrade.photons
    methods = dict(METHODS)
    apply = jax.jit(trained.apply)
    methods["network"] = lambda dark, gain: np.asarray(apply(dark[None])[0])
    found: dict = {}
    rows = []
    for gain in EXPOSURES:
        for number, path in enumerate(photos):
            clean = data.read_image(path)
            key = jax.random.fold_in(jax.random.key(number), round(1 / gain))
            unit = jnp.asarray(clean, jnp.float32) / 255
            dark = underexpose(key, unit, gain=gain, photons=photons)
            # As a file holds it.
            dark = np.float32(np.floor(np.asarray(dark) * 255 + 0.5) / 255)
            row = [clean]
            for name, method in methods.items():
                result = method(dark, gain)
                places = found.setdefault(f"1/{round(1 / gain)}", {})
                places.setdefault(name, {})[path.stem] = scores(result, clean)
                row.append(np.clip(result, 0, 1))
            if gain == EXPOSURES[1]:
                rows.append(row)
        print(table({"exposures": found}), flush=True)
    return found, rows, ["photograph", *methods]


def table(record: dict) -> str:
    """Means over the photographs, as Markdown."""
    found = record["exposures"]
    names = list(next(iter(found.values())))
    lines = [
        "| light left | " + " | ".join(f"{n}, dB (SSIM)" for n in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for gain, by_name in found.items():
        cells = []
        for name in names:
            psnr, ssim = (
                statistics.mean(s[m] for s in by_name[name].values())
                for m in ("psnr", "ssim")
            )
            cells.append(f"{psnr:.2f} ({ssim:.3f})")
        lines.append(f"| {gain} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv=None):
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="workdir, or the name of weights")
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--figure", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(argv)
    if pathlib.Path(given.run).is_dir():
        trained = train.load_run(given.run, "latest")
    else:
        trained = train.load_published(given.run)
    photos = data.find_images(given.photos)
    found, rows, titles = run(trained, photos)
    record = {
        **environment(),
        "command": "python -m benchmarks.enhancement RUN --photos FOLDER --write",
        "step": trained.step,
        "photons": trained.config.degrade.photons,
        "exposures": found,
    }
    if given.figure:
        data.write_image(given.figure, figures.panels(rows, titles))
    if given.write:
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        write_page(table(record), "enhancement", page="networks.md")


if __name__ == "__main__":
    main()
