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

from jdeconv.train.records import read_json, write_json
from jdeconv.train.state import TrainState

KINDS = ("latest", "best")

_SIZES = "sizes.json"


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
        self._workdir = workdir
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
        for kind, writer in self._writers.items():
            writer.close()
            self._note_sizes(kind)

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
        writer.wait()  # one checkpoint is written at a time
        self._note_sizes(kind)
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
            self._note_sizes(kind)

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

    def _note_sizes(self, kind: str) -> None:
        """Keeps the sizes of the files of complete checkpoints, to know cut ones."""
        if jax.process_index() != 0:
            return
        folder = _folder(self._workdir, kind)
        present = [str(c.step) for c in self._writers[kind].checkpoints]
        sizes = _noted_sizes(folder)
        kept = {name: sizes[name] for name in present if name in sizes}
        new = {name: _sizes(folder / name) for name in present if name not in sizes}
        if kept | new != sizes:
            write_json(folder / _SIZES, kept | new)


def steps(workdir: str | os.PathLike, kind: str = "latest") -> list[int]:
    """The steps of the checkpoints in a workdir, ascending; [] without any."""
    folder = _folder(workdir, kind)
    if not folder.is_dir():
        return []
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())


@dataclasses.dataclass(frozen=True)
class Restored:
    """What `restore` has read.

    Attributes:
      state: the state.
      step: its step, as an int.
      notes: JSON kept with the checkpoint.
      damaged: (kind, step) of checkpoints that were to be opened and cannot be read.
    """

    state: TrainState
    step: int
    notes: Any
    damaged: tuple[tuple[str, int], ...]


def restore(
    workdir: str | os.PathLike,
    abstract: TrainState,
    sharding: Sharding,
    *,
    kind: str = "latest",
    parts: tuple[str, ...] = ("model", "training"),
) -> Restored | None:
    """The newest or best checkpoint, or the nearest to it that can be read.

    Args:
      workdir: of the run.
      abstract: a state of the same structure, of arrays or ShapeDtypeStructs.
      sharding: where arrays go; it need not be that of the run that wrote them.
      kind: "latest" or "best".
      parts: what to read; the rest is taken from `abstract` as it is.

    Returns:
      None without any checkpoint. One that cannot be read is reported on stderr.

    Raises:
      ValueError: there are checkpoints, and none can be read.
    """
    found = [(k, step) for k in KINDS for step in steps(workdir, k)]
    if kind == "latest":
        order = sorted(found, key=lambda f: (-f[1], KINDS.index(f[0])))
    else:
        order = sorted(found, key=lambda f: (f[0] != kind, -f[1]))
    damaged: list[tuple[str, int]] = []
    for candidate, step in order:
        path = _folder(workdir, candidate) / str(step)
        read = _try_to_read(path, abstract, sharding, parts)
        if isinstance(read, str):
            damaged.append((candidate, step))
            print(
                f"jdeconv: checkpoint {path} is damaged ({read}) and is passed over",
                file=sys.stderr,
            )
            continue
        return Restored(read[0], step, read[1], tuple(damaged))
    if damaged:
        raise ValueError(f"no checkpoint in {os.fspath(workdir)} can be read")
    return None


def _try_to_read(path, abstract, sharding, parts) -> tuple[TrainState, Any] | str:
    """State and notes, or why not."""
    # Sizes are looked at first: orbax does say when it cannot read, but not what is
    # wrong, and at length.
    noted = _noted_sizes(path.parent).get(path.name)
    if noted is not None:
        found = _sizes(path)
        for name, size in noted.items():
            if found.get(name) != size:
                have = f"{found[name]} bytes" if name in found else "missing"
                return f"{name} is {have}, and was {size} bytes"
    try:
        return _read(path, abstract, sharding, parts)
    except Exception as error:  # orbax, tensorstore and json each have their own
        return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"


def _sizes(path: pathlib.Path) -> dict[str, int]:
    files = (p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.stat().st_size for p in sorted(files)}


def _noted_sizes(folder: pathlib.Path) -> dict[str, dict[str, int]]:
    try:
        return read_json(folder / _SIZES)
    except (OSError, ValueError):
        return {}  # then the reading itself has to show it


def _read(path, abstract: TrainState, sharding: Sharding, parts: tuple[str, ...]):
    from orbax.checkpoint.experimental import v1 as ocp

    metadata = ocp.checkpointables_metadata(path)
    here = jax.eval_shape(_parts, abstract)

    def stored(part: str, leaf: str) -> str:
        # Of a variable, which states held before they held bare arrays.
        older = f"{leaf}.value"
        return older if older in metadata.metadata[part] else leaf

    def like(x) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    wanted = {
        part: {stored(part, leaf): like(x) for leaf, x in here[part].items()}
        for part in parts
    }
    read = ocp.load_checkpointables(path, wanted)
    found = {
        part: {leaf: read[part][stored(part, leaf)] for leaf in here[part]}
        for part in parts
    }
    return _replace(abstract, found), metadata.custom_metadata


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

    fields: dict[str, Any] = {}
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
