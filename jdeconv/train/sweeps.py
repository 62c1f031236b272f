"""Sweeps: a grid of runs of one config, trained one after the other.

A config file that has a `sweep()` beside its `get_config(arg)` describes a grid: the
fields in which each cell differs from the config.

    def sweep():
        for features in (8, 16, 32):
            for strides in (1, 2):
                yield {"model.features": features, "model.strides": strides}

It may also return a dict of these by name; without one, a cell is named by its fields.

    WORKDIR/CELL-SEED/               a run each, as `train_and_evaluate` leaves it
    WORKDIR/sweep.json, .md, .png    what `Sweep` holds, its table and its plot
"""

import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections

from jdeconv.train import checkpoint, records, setup
from jdeconv.train.config import flatten, load_config_file, read_config
from jdeconv.train.logging import read_metrics
from jdeconv.train.loop import NonFiniteError, train_and_evaluate


@dataclasses.dataclass
class Cell:
    """One cell of a grid.

    Attributes:
      name: unique in the grid; its runs are in NAME-SEED.
      fields: the value of every field that the grid varies, by dotted name.
      results: of each seed that is trained, what `finished` returns.
      failed: of each seed that is not finite any more, what happened.
    """

    name: str
    fields: dict[str, Any]
    results: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    failed: dict[int, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Sweep:
    """A grid of runs and what they have reached.

    Attributes:
      config: the file that it is of.
      folder: where the runs are.
      seeds: of every cell.
      criterion: the metric that counts for the task, and "higher" or "lower".
      cells: in the order of the file.
      interrupted: the signal that stopped it, or None.
    """

    config: str
    folder: pathlib.Path
    seeds: tuple[int, ...]
    criterion: tuple[str, str]
    cells: list[Cell]
    interrupted: str | None = None

    def workdir(self, cell: Cell, seed: int) -> pathlib.Path:
        """Of one run."""
        return self.folder / f"{cell.name}-{seed}"

    @property
    def complete(self) -> bool:
        """Whether every cell has a result of every seed."""
        return all(set(cell.results) == set(self.seeds) for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON, with the environment of this process."""
        return {
            "config": self.config,
            "seeds": list(self.seeds),
            "criterion": list(self.criterion),
            "interrupted": self.interrupted,
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
            **records.environment(),
        }


def read_sweep(
    spec: str, overrides: Mapping[str, str] | None = None
) -> tuple[list[Cell], dict[str, ml_collections.ConfigDict]]:
    """The cells of the grid of a config file, and the config of each by its name.

    Args:
      spec: "PATH.py" or "PATH.py:ARGUMENT".
      overrides: text by dotted field, for all cells.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file has no `sweep()`, it gives no cells or two of one name, an
        unknown field, or one that `overrides` sets, too.
    """
    path, _, _ = spec.partition(":")
    module = load_config_file(path)
    if not callable(getattr(module, "sweep", None)):
        raise ValueError(
            f"config file {path!r} has no function sweep(), which gives the fields of "
            "each cell, such as {'model.features': 16}"
        )
    given = module.sweep()
    named = isinstance(given, Mapping)
    grid = list(given.items() if named else ((None, cell) for cell in given))
    if not grid:
        raise ValueError(f"sweep() of {path!r} gives no cells")
    for _, cell in grid:
        if not (isinstance(cell, Mapping) and all(isinstance(f, str) for f in cell)):
            raise TypeError(
                f"sweep() of {path!r} gives {cell!r}: a cell is a dict of values by "
                "field, such as {'model.features': 16}"
            )
    fields = list(dict.fromkeys(field for _, cell in grid for field in cell))
    for field in fields:
        if field in (overrides or {}) or field == "seed":
            why = "the number of seeds is an option" if field == "seed" else "it varies"
            raise ValueError(f"config.{field} of sweep() of {path!r}: {why}")
    cells, configs = [], {}
    short = short_names(fields)
    for name, cell in grid:
        text = {**(overrides or {}), **{f: str(value) for f, value in cell.items()}}
        config = read_config(spec, text)
        if name is None:
            name = ",".join(f"{short[f]}={_plain(cell[f])}" for f in cell)
        if name in configs or not re.fullmatch(r"[\w.,=+-]+", name):
            why = "there twice" if name in configs else "no name for a folder"
            raise ValueError(f"sweep() of {path!r}: cell {name!r} is {why}")
        values = flatten(config.to_dict())
        cells.append(Cell(name, {f: values[f] for f in fields}))
        configs[name] = config
    return cells, configs


def sweep(
    spec: str,
    folder: str | os.PathLike,
    *,
    overrides: Mapping[str, str] | None = None,
    seeds: int = 1,
) -> Sweep:
    """Trains the grid of a config file, or goes on with it; writes table and plot.

    What is finished is not trained again, what is half done goes on, and sweep.json and
    sweep.md are written anew after each run, so that an interrupted sweep loses
    nothing. All cells get their first seed before any gets its second. A run whose loss
    is not finite any more is noted, and the sweep goes on.

    Args:
      spec: "PATH.py" or "PATH.py:ARGUMENT", with a function `sweep()`, see the module.
      folder: for the runs and the report, made if needed.
      overrides: text by dotted field, for all cells.
      seeds: runs of each cell, of seeds 0, 1, ...

    Returns:
      The cells with their results; `interrupted` is set where a signal stopped it.

    Raises:
      FileNotFoundError: no such file, or data is missing.
      ModuleNotFoundError: matplotlib is needed and missing.
      ValueError: see `read_sweep`; or a run in the folder is of another config.
    """
    from jdeconv.train import sweep_report

    if seeds < 1:
        raise ValueError(f"seeds={seeds}: must be >= 1")
    sweep_report.check_plotting()
    folder = pathlib.Path(folder)
    cells, configs = read_sweep(spec, overrides)
    runs = []
    for seed in range(seeds):
        for cell in cells:
            config = configs[cell.name].copy_and_resolve_references().unlock()
            config.seed = seed
            records.check(folder / f"{cell.name}-{seed}", config.lock())
            runs.append((cell, seed, config))
    result = Sweep(spec, folder, tuple(range(seeds)), ("loss", "lower"), cells)
    for n, (cell, seed, config) in enumerate(runs):
        workdir = result.workdir(cell, seed)
        done = finished(workdir, config)
        if done is None:
            _say(f"run {n + 1} of {len(runs)}: {workdir}")
            try:
                result.interrupted = train_and_evaluate(config, workdir)["interrupted"]
            except NonFiniteError as error:
                cell.failed[seed] = str(error)
            result.criterion = _criterion(workdir)
            if result.interrupted:
                break
            done = finished(workdir, config)
        else:
            result.criterion = _criterion(workdir)
        if done is not None:
            cell.results[seed] = done
        sweep_report.write(result, plot=False)
    sweep_report.write(result)
    return result


def finished(
    workdir: str | os.PathLike, config: ml_collections.ConfigDict | None = None
) -> dict[str, Any] | None:
    """The last evaluation of a run that has come to its end; None of any other.

    Args:
      workdir: of the run.
      config: with the duration that counts; None: the run's own.

    Returns:
      Each metric's mean as "test/NAME" and its standard error as "test/NAME_sem",
      "step", and "wall_time_s".
    """
    workdir = pathlib.Path(workdir)
    if not (workdir / "config.json").is_file():
        return None
    own, source = records.read_run(workdir)
    total = setup.make_plan(config or own, source["num_train"]).total
    tested = [r for r in read_metrics(workdir) if "test/loss" in r]
    if not tested or tested[-1]["step"] < total:
        return None
    if total not in checkpoint.steps(workdir):
        return None  # it was cut off while saving
    return {
        name: value
        for name, value in tested[-1].items()
        if name.startswith("test/") or name in ("step", "wall_time_s")
    }


def short_names(fields: list[str]) -> dict[str, str]:
    """The last parts of dotted names, as many as tell them apart.

    >>> short_names(["model.features", "optimizer.decay", "model.decay"])
    {'model.features': 'features', 'optimizer.decay': 'optimizer.decay', \
'model.decay': 'model.decay'}
    """
    short = {}
    for field in fields:
        parts = field.split(".")
        for count in range(1, len(parts) + 1):
            tail = parts[-count:]
            same = [f for f in fields if f.split(".")[-count:] == tail]
            if same == [field]:
                break
        short[field] = ".".join(tail)
    return short


def _plain(value: Any) -> str:
    """A value as part of a folder's name."""
    if isinstance(value, tuple | list):
        return "x".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.12g}"
    return re.sub(r"[^\w.+-]", "_", str(value))


def _criterion(workdir: pathlib.Path) -> tuple[str, str]:
    task = setup.build_task(*records.read_run(workdir))
    return task.criterion, task.better


def _say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, file=sys.stderr, flush=True)
