"""Choices that were measured on this machine: the file that `jdeconv tune` writes.

A JSON object: platform -> jax version -> problem -> [conv_transpose, conv,
kernel_gradient]. Kept in ~/.cache/jdeconv/lowerings.json, or where the environment
variable JDECONV_LOWERINGS says; a file that is not there is an empty one. It is read
once per process.
"""

import functools
import json
import os
import pathlib

import jax

from jdeconv.ops.lowering.problem import Problem

VARIABLE = "JDECONV_LOWERINGS"


def path() -> pathlib.Path:
    """Of the file; it need not exist."""
    named = os.environ.get(VARIABLE)
    if named:
        return pathlib.Path(named)
    return pathlib.Path.home() / ".cache" / "jdeconv" / "lowerings.json"


def key(problem: Problem) -> str:
    """The problem in one line, the batch and all sizes included."""
    axes = " ".join(
        f"{a.input_size}>{a.output_size}:{a.window}/{a.stride}"
        f"d{a.dilation}p{a.low},{a.high}"
        for a in problem.axes
    )
    return (
        f"{problem.batch}x[{axes}] {problem.group_in}<{problem.group_out} "
        f"g{problem.groups} b{problem.itemsize}{' conv' if problem.forward else ''}"
    )


def lookup(problem: Problem) -> dict[str, tuple[str, str, str]]:
    """Measured choices for this problem, per platform; empty if there are none."""
    name = key(problem)
    found = {}
    for platform, versions in _read(path()).items():
        choice = versions.get(jax.__version__, {}).get(name)
        if choice is not None:
            found[platform] = tuple(choice)
    return found


def store(platform: str, choices: dict[Problem, tuple[str, str, str]]) -> pathlib.Path:
    """Adds choices measured on the platform to the file; returns its path."""
    file = path()
    kept = {k: dict(v) for k, v in _read(file).items()}
    versions = kept.setdefault(platform, {})
    entries = dict(versions.get(jax.__version__, {}))
    entries.update({key(p): list(choice) for p, choice in choices.items()})
    versions[jax.__version__] = entries
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    partial.replace(file)
    _read.cache_clear()
    return file


@functools.cache
def _read(file: pathlib.Path) -> dict:
    try:
        text = file.read_text()
    except FileNotFoundError:
        return {}
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{file} is not the JSON that `jdeconv tune` writes ({error}): delete it, "
            f"or name another file by the environment variable {VARIABLE}"
        ) from None
