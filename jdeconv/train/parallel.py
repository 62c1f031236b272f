"""Compiling the step for all devices: by jit with a sharded batch, or by pmap.

Both leave the state replicated over one mesh of all devices, in the same form, so that
checkpoints and everything else do not care which is used.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jdeconv.train.state import BATCH_AXIS, TrainState
from jdeconv.train.step import eval_step, train_step

KINDS = ("jit", "pmap")


@dataclasses.dataclass(frozen=True)
class Parallel:
    """How steps run on the devices present.

    Attributes:
      kind: "jit" or "pmap".
      mesh: one axis, "batch", of all devices.
      train_step: compiled `jdeconv.train.train_step`; its state is donated.
      eval_step: compiled `jdeconv.train.eval_step`; its arrays are on every device.
    """

    kind: str
    mesh: Mesh
    train_step: Callable[[TrainState, Any], tuple[TrainState, dict[str, Array]]]
    eval_step: Callable[[TrainState, Any], dict[str, Array]]

    @property
    def axis_name(self) -> str | None:
        """The `axis_name` of the training state."""
        return BATCH_AXIS if self.kind == "pmap" else None

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of the state: all of it on each device."""
        return NamedSharding(self.mesh, PartitionSpec())

    def check_batch_size(self, name: str, size: int, accumulate: int = 1) -> None:
        """A ValueError unless devices get equal shares of each microbatch."""
        unit = self.mesh.size * accumulate
        if size < 1 or size % unit:
            raise ValueError(
                f"{name}={size}: must be a multiple of {unit} "
                f"({self.mesh.size} devices x accumulate={accumulate})"
            )

    def put_state(self, state: TrainState) -> TrainState:
        """The state, copied to every device."""
        return jax.tree.map(lambda x: jax.device_put(x, self.replicated), state)

    def put_batch(self, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """A batch from the host, spread over the devices by rows.

        Args:
          batch: this process's rows of the batch.
        """
        if self.kind == "pmap":
            devices = len(self.mesh.local_devices)
            return {
                name: x.reshape(devices, x.shape[0] // devices, *x.shape[1:])
                for name, x in batch.items()
            }
        sharding = NamedSharding(self.mesh, PartitionSpec(BATCH_AXIS))
        if jax.process_count() == 1:
            return jax.device_put(dict(batch), sharding)
        return {
            name: jax.make_array_from_process_local_data(sharding, x)
            for name, x in batch.items()
        }


def make_parallel(kind: str = "jit", *, devices: Any = None) -> Parallel:
    """The steps, to be compiled for all devices.

    Args:
      kind: "jit": the batch is sharded over the mesh and the compiler inserts the
        communication. "pmap": every device runs the step on its rows, and gradients,
        metrics and BatchNorm statistics are averaged by name. The results are equal
        up to rounding.
      devices: of the mesh; default all.

    Raises:
      ValueError: an unknown kind.
    """
    devices = jax.devices() if devices is None else devices
    mesh = Mesh(np.asarray(devices), (BATCH_AXIS,))
    if kind == "jit":
        replicated = NamedSharding(mesh, PartitionSpec())
        return Parallel(
            kind,
            mesh,
            jax.jit(train_step, donate_argnums=0, out_shardings=replicated),
            jax.jit(eval_step, out_shardings=replicated),
        )
    if kind == "pmap":
        if jax.process_count() > 1:
            # Its results lie on one process's devices, not on the mesh of all.
            raise ValueError("parallel='pmap': works in one process; use 'jit'")
        return Parallel(
            kind,
            mesh,
            jax.pmap(
                train_step,
                axis_name=BATCH_AXIS,
                in_axes=(None, 0),
                out_axes=(None, None),
                donate_argnums=0,
                devices=devices,
            ),
            jax.pmap(
                _gathered_eval_step,
                axis_name=BATCH_AXIS,
                in_axes=(None, 0),
                out_axes=None,
                devices=devices,
            ),
        )
    raise ValueError(f"parallel={kind!r}: must be one of {', '.join(KINDS)}")


def _gathered_eval_step(state: TrainState, batch: Any) -> dict[str, Array]:
    metrics = eval_step(state, batch)
    return jax.tree.map(
        lambda x: jax.lax.all_gather(x, BATCH_AXIS, tiled=True), metrics
    )
