"""`TrainState`: everything a training step reads and writes, as one pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jdeconv.tasks import Task

BATCH_AXIS = "batch"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """The state of a run: a pytree whose static fields say how a step is made.

    Attributes:
      step: number of steps done, int32.
      params: the arrays of the model's `nnx.Param`s.
      model_state: its other variables, such as the running means of a BatchNorm.
      opt_state: of the optimizer.
      ema: moving average of params, or None.
      key: PRNG key of the run; it never changes, steps fold their number in.
      graphdef: structure of the model.
      optimizer: optax transformation.
      task: what is learned.
      ema_decay: of the moving average.
      accumulate: microbatches in a step.
      axis_name: mapped axis over which gradients are averaged, under pmap.
    """

    step: Array
    params: nnx.State
    model_state: nnx.State
    opt_state: optax.OptState
    ema: nnx.State | None
    key: Array
    graphdef: Any = dataclasses.field(metadata={"static": True})
    optimizer: Any = dataclasses.field(metadata={"static": True})
    task: Task = dataclasses.field(metadata={"static": True})
    ema_decay: float = dataclasses.field(default=0.0, metadata={"static": True})
    accumulate: int = dataclasses.field(default=1, metadata={"static": True})
    axis_name: str | None = dataclasses.field(default=None, metadata={"static": True})

    @property
    def eval_params(self) -> nnx.State:
        """The parameters to evaluate: the moving average where there is one."""
        return self.params if self.ema is None else self.ema


def create_state(
    model: nnx.Module,
    *,
    optimizer: optax.GradientTransformation,
    task: Task,
    key: Array,
    ema_decay: float = 0.0,
    accumulate: int = 1,
    axis_name: str | None = None,
) -> TrainState:
    """The state before the first step.

    Args:
      model: with its initial parameters; it is copied, not changed.
      optimizer: optax transformation.
      task: what is learned.
      key: typed PRNG key of the run.
      ema_decay: of the moving average of the parameters; 0: none is kept.
      accumulate: number of microbatches a batch is cut into.
      axis_name: set under pmap only: the mapped axis. BatchNorm layers get it too.

    Raises:
      ValueError: ema_decay not in [0, 1), or accumulate < 1.
      TypeError: key is no typed key.
    """
    if not 0 <= ema_decay < 1:
        raise ValueError(f"ema_decay={ema_decay!r}: must be in [0, 1)")
    if accumulate < 1:
        raise ValueError(f"accumulate={accumulate!r}: must be >= 1")
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError("key: must be a typed key, such as jax.random.key(0)")
    graphdef, params, model_state = split_model(model, axis_name)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        # A copy: a donated buffer must not be in the state twice.
        ema=jax.tree.map(jnp.copy, params) if ema_decay else None,
        key=key,
        graphdef=graphdef,
        optimizer=optimizer,
        task=task,
        ema_decay=ema_decay,
        accumulate=accumulate,
        axis_name=axis_name,
    )


def split_model(
    model: nnx.Module, axis_name: str | None = None
) -> tuple[Any, nnx.State, nnx.State]:
    """(graphdef, params, other variables) of a copy of the model, in training mode.

    They hold bare arrays, and no variables: a step takes and returns hundreds, and jit
    goes through arrays in C++, through variables in Python.

    Args:
      model: any NNX module.
      axis_name: mapped axis over which BatchNorm layers average; None for what jit
        makes of a sharded batch, which is a mean over the whole batch anyway.
    """
    model = nnx.clone(model)
    model.train()
    for _, node in nnx.iter_graph(model):
        if isinstance(node, nnx.BatchNorm):
            node.axis_name = axis_name
    graphdef, params, *rest = nnx.split(model, nnx.Param, ...)
    return graphdef, nnx.as_pure(params), nnx.as_pure(rest[0])
