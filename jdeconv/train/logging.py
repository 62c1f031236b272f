"""Where numbers go: metrics.jsonl, TensorBoard files, and a mean since the last entry.

TensorBoard files are written by tensorboardX: no TensorFlow.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

FILE = "metrics.jsonl"


class Writer:
    """Writes one JSON object per step to metrics.jsonl, and the same to TensorBoard.

    Only the first process writes; the others do nothing.

    Args:
      workdir: of the run.
      step: the run goes on from here: what is recorded of later steps, by a run that
        was cut off, is dropped.
    """

    def __init__(self, workdir: str | os.PathLike, step: int = 0):
        self._path = pathlib.Path(workdir) / FILE
        self._record: dict[str, Any] = {}
        self._active = jax.process_index() == 0
        if not self._active:
            return
        _truncate(self._path, step)
        from tensorboardX import SummaryWriter

        self._board = SummaryWriter(
            str(pathlib.Path(workdir) / "tensorboard"), purge_step=step + 1
        )

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.flush()
        if self._active:
            self._board.close()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Records numbers of a step; those of one step become one object."""
        if self._record.get("step") != step:
            self.flush()
            self._record = {"step": step}
        self._record.update(values)
        if self._active:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows a picture, uint8 `[H, W, 3]`, in TensorBoard."""
        if self._active:
            self._board.add_image(name, image, step, dataformats="HWC")

    def flush(self) -> None:
        """Writes what is recorded to the disk."""
        if self._active and self._record:
            with self._path.open("a") as file:
                file.write(json.dumps(self._record) + "\n")
            self._board.flush()
        self._record = {}


class Meter:
    """The mean of metrics over the steps since the last entry."""

    def __init__(self, notes: Mapping[str, Any] | None = None):
        notes = notes or {}
        self._sums: dict[str, float] = dict(notes.get("sums", {}))
        self._count: int = notes.get("count", 0)

    def add(self, values: Mapping[str, float]) -> None:
        """Takes in the metrics of one step."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1

    def take(self) -> dict[str, float]:
        """The means, and starts anew."""
        means = {name: total / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    @property
    def notes(self) -> dict[str, Any]:
        """JSON from which a resumed run goes on in the middle of an interval."""
        return {"sums": dict(self._sums), "count": self._count}


def read_metrics(workdir: str | os.PathLike) -> list[dict[str, Any]]:
    """The objects of a workdir's metrics.jsonl; [] where there is none."""
    path = pathlib.Path(workdir) / FILE
    if not path.is_file():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue  # the last line of a run that was killed while writing it
    return records


def _truncate(path: pathlib.Path, step: int) -> None:
    if not path.exists():
        return
    kept = [r for r in read_metrics(path.parent) if r["step"] <= step]
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(json.dumps(r) + "\n" for r in kept))
    os.replace(partial, path)
