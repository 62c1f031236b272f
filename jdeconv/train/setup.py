"""From a config to the parts of a run: network, task, optimizer, first state."""

import dataclasses
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import nnx

from jdeconv import checkerboard, models, tasks
from jdeconv.data import Source
from jdeconv.models.once import jit_once
from jdeconv.tasks import Task
from jdeconv.train import optim
from jdeconv.train.duration import parse_duration
from jdeconv.train.parallel import Parallel
from jdeconv.train.state import TrainState, create_state

DTYPES = ("float32", "bfloat16")


def describe(source: Source) -> dict[str, Any]:
    """What the network depends on in a data set, as JSON."""
    names = source.class_names
    return {
        "name": source.name,
        "image_shape": [int(n) for n in source.image_shape],
        "num_classes": source.num_classes,
        "class_names": None if names is None else [str(n) for n in names],
        "num_train": len(source),
    }


def build_task(config: ml_collections.ConfigDict, data: Mapping[str, Any]) -> Task:
    """The task of a config, for a data set described by `describe`."""
    return tasks.build(config, tuple(data["image_shape"]), data["num_classes"])


def network_shape(task: Task, data: Mapping[str, Any]) -> tuple[int, int, int]:
    """(H, W, C) of what the network sees."""
    height, width, channels = data["image_shape"]
    size = task.preprocess.size
    if isinstance(size, tuple):
        height, width = size
    return height, width, channels


def build_model(
    config: ml_collections.ConfigDict, data: Mapping[str, Any], key: jax.Array
) -> nnx.Module:
    """The network of a config with initial parameters.

    Args:
      config: of the run.
      data: see `describe`.
      key: of the initial parameters.

    Raises:
      ValueError: an unknown network, option or dtype.
    """
    if config.dtype not in DTYPES:
        raise ValueError(
            f"dtype={config.dtype!r}: must be one of {', '.join(DTYPES)} (float16 "
            "needs the loss scaled, which is not done here)"
        )
    return models.build(
        config.model,
        image_shape=network_shape(build_task(config, data), data),
        num_classes=data["num_classes"],
        dtype=jnp.dtype(config.dtype),
        rngs=nnx.Rngs(key),
    )


@dataclasses.dataclass(frozen=True)
class Plan:
    """When a run does what, in steps.

    Attributes:
      total: length of the run.
      evaluate, checkpoint: intervals, see `jdeconv.train.duration.is_due`; 0: never.
      epoch: steps in an epoch.
      log: steps between entries.
    """

    total: int
    evaluate: Fraction
    checkpoint: Fraction
    epoch: Fraction
    log: int


def make_plan(config: ml_collections.ConfigDict, num_examples: int) -> Plan:
    """The plan of a run on `num_examples` training images.

    Raises:
      ValueError: a duration that is none, log_every or keep < 1.
    """

    def exact(name: str) -> Fraction:
        duration = parse_duration(config[name], name)
        return duration.exact_steps(
            batch_size=config.batch_size, num_examples=num_examples
        )

    for name in ("log_every", "keep"):
        if config[name] < 1:
            raise ValueError(f"{name}={config[name]}: must be >= 1")
    return Plan(
        total=-(-exact("duration") // 1),
        evaluate=exact("eval_every"),
        checkpoint=exact("checkpoint_every"),
        epoch=Fraction(num_examples, config.batch_size),
        log=config.log_every,
    )


def make_schedule(
    config: ml_collections.ConfigDict, num_examples: int
) -> optim.Schedule:
    """The learning rate by step, see `jdeconv.train.optim.make_schedule`."""
    return optim.make_schedule(
        config.optimizer,
        total_steps=make_plan(config, num_examples).total,
        batch_size=config.batch_size,
        num_examples=num_examples,
    )


def build_state(
    config: ml_collections.ConfigDict, data: Mapping[str, Any], parallel: Parallel
) -> TrainState:
    """The state of a run before its first step, on all devices.

    Args:
      config: of the run.
      data: see `describe`.
      parallel: how it will run.
    """
    make = _state_maker(config, data, parallel.axis_name)
    # One compilation in place of dozens, and every process makes its own copy.
    return jit_once(make, out_shardings=parallel.replicated)()


def abstract_state(
    config: ml_collections.ConfigDict,
    data: Mapping[str, Any],
    axis_name: str | None = None,
) -> TrainState:
    """`build_state` of ShapeDtypeStructs in place of arrays: nothing is computed."""
    return jax.eval_shape(_state_maker(config, data, axis_name))


def _state_maker(config, data, axis_name: str | None) -> Callable[[], TrainState]:
    task = build_task(config, data)
    schedule = make_schedule(config, data["num_train"])
    optimizer = _make_optimizer(config, task, schedule)

    def make() -> TrainState:
        init_key, run_key = jax.random.split(jax.random.key(config.seed))
        return create_state(
            build_model(config, data, init_key),
            optimizer=optimizer,
            task=task,
            key=run_key,
            ema_decay=config.ema_decay,
            accumulate=config.accumulate,
            axis_name=axis_name,
        )

    return make


def advice(state: TrainState) -> list[str]:
    """What to know about the network of a run before training it."""
    model = nnx.merge(state.graphdef, state.params, state.model_state)
    return checkerboard.advice(model)


def _make_optimizer(config, task: Task, schedule: optim.Schedule):
    if not task.turns:
        return optim.make_optimizer(config.optimizer, schedule)

    def of_part(part: str):
        turns = task.turns.count(part)
        factor = task.learning_rate_factors.get(part, 1.0)
        # An optimizer counts its updates, of which a step may have several.
        return optim.make_optimizer(
            config.optimizer, lambda count: factor * schedule(count // turns)
        )

    return optim.by_part({part: of_part(part) for part in sorted(set(task.turns))})
