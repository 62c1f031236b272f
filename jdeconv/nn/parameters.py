"""Parameters out of a module and into it, by name and strictly.

`nnx.merge` puts arrays in by position and `nnx.update` takes what it finds: a misnamed
or missing parameter goes unnoticed. These do not.
"""

from collections.abc import Mapping
from typing import Any

from flax import nnx

Tree = Mapping[str, Any]


def get_params(module: nnx.Module) -> dict:
    """All parameters of a module as nested dicts of arrays."""
    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def set_params(module: nnx.Module, params: Tree) -> None:
    """Sets all parameters of a module, in place.

    Args:
      module: any NNX module.
      params: nested dict as `get_params` returns it: the same names and shapes.

    Raises:
      ValueError: missing or unknown names, or shapes that differ; names them all, and
        sets nothing.
    """
    have = nnx.to_flat_state(nnx.state(module, nnx.Param))
    wanted = {_name(path): variable for path, variable in have}
    given = dict(_leaves(params))
    problems = [f"missing {name}" for name in sorted(wanted.keys() - given.keys())]
    problems += [f"unknown {name}" for name in sorted(given.keys() - wanted.keys())]
    problems += [
        f"{name} has shape {given[name].shape}, not {variable.shape}"
        for name, variable in wanted.items()
        if name in given and given[name].shape != variable.shape
    ]
    if problems:
        raise ValueError(
            f"params do not fit {type(module).__name__}: {'; '.join(problems)}"
        )
    for name, variable in wanted.items():
        variable[...] = given[name].astype(variable.dtype)


def _name(path) -> str:
    return ".".join(map(str, path))


def _leaves(tree, path=()):
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, (*path, key))
    else:
        yield _name(path), tree
