"""What a workdir says of its run: config.json, source.json, environment.json."""

import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections

from jdeconv.models.published import without_lists
from jdeconv.train.config import complete, default_config, flatten

# What may differ when a run goes on: its length, and what does not touch the numbers.
MAY_CHANGE = frozenset(
    {
        "duration",
        "eval_every",
        "eval_batch_size",
        "checkpoint_every",
        "log_every",
        "keep",
        "parallel",
        "data.data_dir",
        "data.cache_bytes",
        "data.num_workers",
    }
)

_PACKAGES = (
    "jdeconv",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "grain",
    "numpy",
    "tensorflow-datasets",
)


def claim(
    workdir: str | os.PathLike,
    config: ml_collections.ConfigDict,
    source: Mapping[str, Any],
) -> None:
    """Makes a workdir for a run, or takes up that of the same run.

    Args:
      workdir: made if needed.
      config: of the run.
      source: JSON that describes the data, to rebuild the network without it.

    Raises:
      ValueError, NotADirectoryError: see `check`.
    """
    check(workdir, config)
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / "config.json", config.to_dict())
    write_json(workdir / "source.json", source)
    write_json(workdir / "environment.json", environment())


def read_run(
    workdir: str | os.PathLike,
) -> tuple[ml_collections.ConfigDict, dict[str, Any]]:
    """The config of a run, locked, and the description of its data.

    Fields that are newer than the run have their defaults.

    Raises:
      FileNotFoundError: workdir holds no run.
    """
    workdir = pathlib.Path(workdir)
    for name in ("config.json", "source.json"):
        if not (workdir / name).is_file():
            raise FileNotFoundError(
                f"workdir {str(workdir)!r} holds no training run: it has no {name}"
            )
    config = with_defaults(read_json(workdir / "config.json"))
    return config, without_lists(read_json(workdir / "source.json"))


def with_defaults(saved: Mapping[str, Any]) -> ml_collections.ConfigDict:
    """A config from its JSON, locked; a field that it does not name has its default."""
    config = default_config().to_dict()
    # Of the network, its class knows the defaults.
    model = {"model": saved["model"]} if "model" in saved else {}
    _overlay(config, {**saved, "model": {}})
    return ml_collections.ConfigDict(without_lists({**config, **model})).lock()


def _overlay(config: dict[str, Any], saved: Mapping[str, Any]) -> None:
    for name, value in saved.items():
        if isinstance(value, Mapping) and isinstance(config.get(name), dict):
            _overlay(config[name], value)
        else:
            config[name] = value


def environment() -> dict[str, Any]:
    """Versions, devices, commit and command of this process, as JSON."""
    devices = jax.devices()
    return {
        "command": _command(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "platform": devices[0].platform,
        "device": devices[0].device_kind,
        "num_devices": len(devices),
        "num_processes": jax.process_count(),
        "cpu": _cpu(),
        "cpu_cores": os.cpu_count(),
        "commit": _commit(),
    }


def read_json(path: pathlib.Path) -> Any:
    """The content of a JSON file.

    Raises:
      ValueError: it is damaged; the message names the file.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    if jax.process_index() != 0:
        return
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(partial, path)


def check(workdir: str | os.PathLike, config: ml_collections.ConfigDict) -> None:
    """Checks that a workdir is new, or that of the same run.

    Raises:
      ValueError: the workdir belongs to a run with another config; the message names
        the fields that differ.
      NotADirectoryError: workdir is a file.
    """
    workdir = pathlib.Path(workdir)
    if workdir.exists() and not workdir.is_dir():
        raise NotADirectoryError(f"workdir {workdir} is a file, not a folder")
    if not (workdir / "config.json").is_file():
        return
    # A field that one of the two does not name has its default.
    defaults = default_config()
    defaults.model.name = config.model.name
    complete(defaults.model)
    unnamed = flatten(json.loads(json.dumps(defaults.to_dict())))
    old = unnamed | flatten(read_json(workdir / "config.json"))
    new = unnamed | flatten(json.loads(json.dumps(config.to_dict())))
    missing = object()
    differing = [
        f"{name} was {old.get(name, 'absent')!r} and is {new.get(name, 'absent')!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in MAY_CHANGE and old.get(name, missing) != new.get(name, missing)
    ]
    if differing:
        raise ValueError(
            f"workdir {workdir} belongs to a run with another config: "
            f"{'; '.join(differing)}. Choose another workdir, or the old values"
        )


def _command() -> str:
    program = pathlib.Path(sys.argv[0])
    # `python -m jdeconv` is `jdeconv`.
    name = "jdeconv" if program.name == "__main__.py" else program.name
    return shlex.join([name, *sys.argv[1:]])


def _cpu() -> str:
    """The processor's name: jax says "cpu"."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [s.partition(":")[2].strip() for s in lines if s.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Of the checkout that jdeconv is in, "+" appended where it has been changed."""
    root = pathlib.Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
