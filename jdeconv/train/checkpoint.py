"""Checkpoints of a run: the newest few and the best, each written atomically.

    WORKDIR/checkpoints/latest/STEP    the newest ones; training goes on from these
    WORKDIR/checkpoints/best/STEP      the one with the best evaluation

A checkpoint has two parts: "model" (parameters, their average, other variables), which
is all that using the network needs, and "training" (optimizer, step, key). Arrays are
stored by dotted path, so a checkpoint opens without the classes that made it.
"""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from jdeconv.train.state import TrainState

KINDS = ("latest", "best")


class Checkpoints:
    """The checkpoints of one workdir, for writing.

    Use it in a `with`: leaving it waits for what is being written.

    Args:
      workdir: of the run.
      keep: number of newest checkpoints that are kept.
    """

    def __init__(self, workdir: str | os.PathLike, *, keep: int = 2):
        from orbax.checkpoint.experimental import v1 as ocp

        if keep < 1:
            raise ValueError(f"keep={keep}: must be >= 1")
        self._writers = {}
        for kind in KINDS:
            policies = ocp.training.preservation_policies
            newest, every = policies.LatestN(keep), policies.PreserveAll()
            self._writers[kind] = ocp.training.Checkpointer(
                _folder(workdir, kind),
                preservation_policy=newest if kind == "latest" else every,
                cleanup_tmp_directories=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for writer in self._writers.values():
            writer.close()

    def save(
        self, state: TrainState, step: int, *, kind: str = "latest", notes: Any = None
    ) -> None:
        """Writes a checkpoint, in the background, unless that step is there already.

        Args:
          state: what to save.
          step: state.step as an int.
          kind: "latest" or "best".
          notes: JSON kept with it.

        Raises:
          RuntimeError: the checkpoint was not written.
        """
        writer = self._writers[kind]
        before = [c.step for c in writer.checkpoints]
        if step in before:
            return
        saved = writer.save_checkpointables_async(
            step, _parts(state), force=True, custom_metadata=notes
        )
        # None says that orbax has skipped it: then nothing will be on the disk.
        if saved is None:
            raise RuntimeError(f"checkpoint {kind} of step {step} was not written")
        if kind == "best":
            # Not left to orbax, which knows newest and not best: after a crash the
            # best may be of a later step than the newest.
            saved.result()
            for old in before:
                self.forget(old, kind=kind)

    def wait(self) -> None:
        """Waits until all is on the disk."""
        for writer in self._writers.values():
            writer.wait()

    def best_value(self, name: str) -> float | None:
        """The value noted with the best checkpoint."""
        found = self._writers["best"].checkpoints
        if not found:
            return None
        notes = self._writers["best"].checkpointables_metadata(found[-1].step)
        return (notes.custom_metadata or {}).get(name)

    def forget(self, step: int, *, kind: str = "latest") -> None:
        """Deletes a checkpoint, such as one that cannot be read."""
        self._writers[kind].delete(step, missing_ok=True)


def steps(workdir: str | os.PathLike, kind: str = "latest") -> list[int]:
    """The steps of the checkpoints in a workdir, ascending; [] without any."""
    folder = _folder(workdir, kind)
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


def restore(
    workdir: str | os.PathLike,
    abstract: TrainState,
    sharding: Sharding,
    *,
    kind: str = "latest",
    parts: tuple[str, ...] = ("model", "training"),
) -> tuple[TrainState, int, Any, list[int]] | None:
    """The newest checkpoint that can be read.

    Args:
      workdir: of the run.
      abstract: a state of the same structure, of arrays or ShapeDtypeStructs.
      sharding: where arrays go; it need not be that of the run that wrote them.
      kind: "latest" or "best".
      parts: what to read; the rest is taken from `abstract` as it is.

    Returns:
      None without any checkpoint, else: the state, its step, the notes kept with it,
      and the steps of newer checkpoints that could not be read (each is reported on
      stderr).

    Raises:
      ValueError: there are checkpoints, and none can be read.
    """
    damaged: list[int] = []
    errors = []
    for step in reversed(steps(workdir, kind)):
        path = _folder(workdir, kind) / str(step)
        try:
            state, notes = _read(path, abstract, sharding, parts)
        except Exception as error:  # orbax, tensorstore and json each have their own
            reason = " ".join(str(error).split())[:200]
            errors.append(f"{path}: {reason}")
            damaged.append(step)
            print(
                f"jdeconv: checkpoint {path} cannot be read and is passed over "
                f"({type(error).__name__}: {reason})",
                file=sys.stderr,
            )
            continue
        return state, step, notes, damaged
    if errors:
        raise ValueError(f"no checkpoint in {workdir} can be read: {errors[0]}")
    return None


def _read(path, abstract: TrainState, sharding: Sharding, parts: tuple[str, ...]):
    from orbax.checkpoint.experimental import v1 as ocp

    wanted = {
        name: {
            leaf: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
            for leaf, x in arrays.items()
        }
        for name, arrays in jax.eval_shape(_parts, abstract).items()
        if name in parts
    }
    read = ocp.load_checkpointables(path, wanted)
    metadata = ocp.checkpointables_metadata(path)
    return _replace(abstract, read), metadata.custom_metadata


def _parts(state: TrainState) -> dict[str, dict[str, Any]]:
    """The arrays of a state by part and path; keys as their bits."""
    model = {
        "params": state.params,
        "model_state": state.model_state,
        "ema": state.ema,
    }
    training = {"opt_state": state.opt_state, "step": state.step, "key": state.key}
    return {
        name: {path: _bits(x) for path, x in _leaves(tree).items()}
        for name, tree in (("model", model), ("training", training))
    }


def _replace(state: TrainState, parts: Mapping[str, Mapping[str, Any]]) -> TrainState:
    def fill(tree, part):
        arrays = parts[part]
        values = [_like(x, arrays[path]) for path, x in _leaves(tree).items()]
        return jax.tree.unflatten(jax.tree.structure(tree), values)

    fields = {}
    for part, names in (
        ("model", ("params", "model_state", "ema")),
        ("training", ("opt_state", "step", "key")),
    ):
        if part in parts:
            fields |= fill({name: getattr(state, name) for name in names}, part)
    return dataclasses.replace(state, **fields)


def shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a tree, by dotted path."""
    return {path: tuple(x.shape) for path, x in _leaves(tree).items()}


def _leaves(tree: Any) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): x
        for path, x in jax.tree.leaves_with_path(tree)
    }


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _bits(x: Any) -> Any:
    return jax.random.key_data(x) if _is_key(x) else x


def _like(x: Any, array: Any) -> Any:
    return jax.random.wrap_key_data(array) if _is_key(x) else array


def _folder(workdir: str | os.PathLike, kind: str) -> pathlib.Path:
    if kind not in KINDS:
        raise ValueError(f"checkpoint {kind!r}: must be 'latest' or 'best'")
    return pathlib.Path(workdir).absolute() / "checkpoints" / kind
