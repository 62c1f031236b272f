"""Trained runs as single files: writing one, and opening it as a `TrainedRun`."""

import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jdeconv import models
from jdeconv.data.images import replacing
from jdeconv.models.published import npz_arrays, read_weights
from jdeconv.train import records, setup
from jdeconv.train.config import complete
from jdeconv.train.evaluation import TrainedRun, class_names, load_run


def save_weights(
    folder: str | os.PathLike,
    path: str | os.PathLike,
    *,
    which: str = "best",
    dtype: str | None = None,
    mantissa_bits: int = 23,
) -> None:
    """Writes the trained network of a workdir as one file, for `models.load`.

    It holds the parameters that evaluation uses (their moving average where there is
    one), batch statistics, and the config; no optimizer, and nothing of the machine.

    Args:
      folder: workdir of the run.
      path: of the file, ending in ".npz".
      which: "best" or "latest" checkpoint.
      dtype: that the network shall compute in, see `load_run`.
      mantissa_bits: of float32's 23 that numbers keep: each is rounded by at most
        2^-(mantissa_bits + 1) of itself, and the file is the smaller.

    Raises:
      FileNotFoundError: folder holds no run, or no checkpoint.
      ValueError: another suffix, an unknown dtype, mantissa_bits not in 1 .. 23, or
        checkpoints that cannot be read.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"path={str(path)!r}: must end in .npz")
    if not 1 <= mantissa_bits <= 23:
        raise ValueError(f"mantissa_bits={mantissa_bits}: must be in 1 .. 23")
    run = load_run(folder, which, dtype=dtype)
    _, source = records.read_run(folder)
    config = run.config.copy_and_resolve_references()
    complete(config.model)  # so that no later default can change the network
    about = {
        "config": portable(config.to_dict()),
        "image_shape": run.image_shape,
        "source": {**source, "name": run.config.data.source.partition(":")[0]},
        "step": run.step,
    }
    arrays = npz_arrays(run.model, about)
    if jax.process_index() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        # As np.savez_compressed, but for LZMA, which makes files a little smaller.
        with (
            replacing(path) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive,
        ):
            for name, array in arrays.items():
                if array.dtype == np.float32:
                    array = _rounded(array, mantissa_bits)
                with archive.open(f"{name}.npy", "w") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)


def _rounded(array: np.ndarray, mantissa_bits: int) -> np.ndarray:
    """To the nearest float32 whose last bits are 0, which compress to nothing."""
    dropped = 23 - mantissa_bits
    bits = array.view(np.uint32) + np.uint32(1 << dropped >> 1)
    return (bits >> dropped << dropped).view(np.float32)


def load_published(name: str | os.PathLike) -> TrainedRun:
    """A published network with its preprocessing, for images as files hold them.

    Args:
      name: as for `models.load`.

    Returns:
      A run whose `apply` takes uint8 images.

    Raises:
      FileNotFoundError, ValueError: see `models.load`.

    >>> blank = np.zeros((1, 28, 28, 1), np.uint8)
    >>> load_published("mnist_cnn").apply(blank).shape
    (1, 10)
    """
    about, _ = read_weights(name)
    config = records.with_defaults(about["config"])
    return TrainedRun(
        model=models.load(name),
        config=config,
        task=setup.build_task(config, about["source"]),
        step=about["step"],
        image_shape=about["image_shape"],
        class_names=class_names(about["source"]),
    )


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the places where a machine keeps its folders.

    Args:
      config: of a run, as nested dicts.
    """
    data = {**config["data"], "data_dir": None}
    kind, _, place = data["source"].partition(":")
    if kind == "folder":
        data["source"] = f"folder:data/{pathlib.Path(place).name}"
    changed: dict[str, Any] = {"data": data}
    if config.get("init_from"):
        changed["init_from"] = f"runs/{pathlib.Path(config['init_from']).name}"
    return {**config, **changed}
