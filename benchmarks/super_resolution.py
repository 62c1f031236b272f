"""Super-resolution on whole images: data to train on, and PSNR as it is published.

    python -m benchmarks.super_resolution prepare T91 SET5 data/t91
    python -m benchmarks.super_resolution evaluate SET5 runs/fsrcnn_t91_3-0
    python -m benchmarks.super_resolution evaluate SET5 fsrcnn_t91_3 [--self_ensemble]

`prepare` writes the luma of the training images in five sizes (1, 0.9, 0.8, 0.7, 0.6)
and four rotations, as Dong et al. 2016 did, and of the test images as they are; what
is less than 48 pixels across is left out.
`evaluate` prints PSNR of luma, 8 bits, without a margin of `scale` pixels, and keeps
the mean over the images in the workdir, for `benchmarks.results collect`; or it takes
the name of published weights. `--self_ensemble` takes the network's mean over the
symmetries of the square, and keeps nothing.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from jdeconv import data, train
from jdeconv.data import colors
from jdeconv.ops.resample import resize_matrix

SIZES = (1.0, 0.9, 0.8, 0.7, 0.6)
SMALLEST = 48  # pixels across, of a patch at scale 4


def read_luma(path: pathlib.Path) -> np.ndarray:
    """Luma `[H, W, 1]`, uint8, of an image file; BMP too."""
    import PIL.Image

    with PIL.Image.open(path) as file:
        return colors.luma(np.asarray(file.convert("RGB")))


def bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """MATLAB's imresize of uint8, `[H, W, C]`, which rounds after each axis."""
    options = {"method": "cubic", "align_corners": False, "antialias": True}
    for axis, new in enumerate(size):
        n = image.shape[axis]
        weights = resize_matrix(n, new, border="mirror", **options)
        y = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
        image = np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8)
    return image


def prepare(large: pathlib.Path, test: pathlib.Path, out: pathlib.Path) -> int:
    """Writes out/train and out/test; returns the number of training images."""
    count = 0
    for name, folder in (("train", large), ("test", test)):
        (out / name).mkdir(parents=True, exist_ok=True)
        files = sorted(p for p in folder.iterdir() if p.suffix in (".bmp", ".png"))
        for file in files:
            whole = read_luma(file)
            for size in SIZES if name == "train" else (1.0,):
                height, width = (round(size * n) for n in whole.shape[:2])
                if min(height, width) < SMALLEST:
                    continue
                small = bicubic(whole, (height, width)) if size < 1 else whole
                for turns in range(4 if name == "train" else 1):
                    target = out / name / f"{file.stem}_{size}_{turns}.png"
                    data.write_image(target, np.rot90(small, turns))
                    count += name == "train"
    return count


def psnr(result: np.ndarray, large: np.ndarray, margin: int) -> float:
    """Of 8-bit luma, dB, without the margin."""
    error = result.astype(float) - large.astype(float)
    error = error[margin:-margin, margin:-margin]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def evaluate(folder: pathlib.Path, run: train.TrainedRun) -> dict:
    """PSNR of a run's network and of bicubic, each image of a folder."""
    scale = run.task.scale  # type: ignore[attr-defined]
    rows = {}
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".bmp", ".png")):
        large = read_luma(file)
        height, width = (n // scale for n in large.shape[:2])
        large = large[: height * scale, : width * scale]
        small = bicubic(large, (height, width))
        result = np.asarray(run.apply(small[None]))[0]
        rows[file.stem] = {
            "psnr": psnr(result, large, scale),
            "bicubic": psnr(bicubic(small, large.shape[:2]), large, scale),
        }
    mean = {k: float(np.mean([r[k] for r in rows.values()])) for k in rows[file.stem]}
    return {"scale": scale, "step": run.step, "mean": mean, "images": rows}


def keep(result: dict, workdir: str) -> None:
    """Writes WORKDIR/whole_images.json: means over the images, and standard errors."""
    content = {"split": "test", "step": result["step"]}
    for name, key in (("whole_psnr", "psnr"), ("whole_bicubic", "bicubic")):
        values = [image[key] for image in result["images"].values()]
        error = np.std(values, ddof=1) / len(values) ** 0.5
        content |= {f"test/{name}": np.mean(values), f"test/{name}_sem": float(error)}
    path = pathlib.Path(workdir) / "whole_images.json"
    path.write_text(json.dumps(content, indent=1) + "\n")


def main(argv: list[str]) -> int:
    """Runs one of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("prepare")
    for name in ("train", "test", "out"):
        one.add_argument(name, type=pathlib.Path)
    two = verbs.add_parser("evaluate")
    two.add_argument("images", type=pathlib.Path)
    two.add_argument("run", help="its workdir, or a name for jdeconv.models.load")
    two.add_argument("--checkpoint", choices=("best", "latest"), default="best")
    two.add_argument("--self_ensemble", action="store_true")
    given = parser.parse_args(argv)
    if given.verb == "prepare":
        print(prepare(given.train, given.test, given.out), "training images")
    else:
        is_folder = pathlib.Path(given.run).is_dir()
        if is_folder:
            run = train.load_run(given.run, given.checkpoint)
        else:
            run = train.load_published(given.run)
        if given.self_ensemble:
            run = run.self_ensemble()
        result = evaluate(given.images, run)
        if is_folder and not given.self_ensemble:
            keep(result, given.run)
        print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
