"""One step of training and one of evaluation, as pure functions.

All are plain functions of (state, batch): `jdeconv.train.parallel` compiles them for
one device or many. A batch is a dict of arrays with the examples on the first axis.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import Array

from jdeconv.train.state import TrainState

Batch = dict[str, Array]
Metrics = dict[str, Array]

# The number folded into the key for evaluation: no step has it.
_EVALUATION = 2**32 - 1


def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """params <- params + optimizer(grad of the mean loss over the batch).

    Where the task has turns, each trains its part of the parameters on what the one
    before has left. The batch is cut into as many shares as the part with the most
    turns has, and the n-th turn of a part sees the n-th share.

    All randomness comes from `fold_in(state.key, step)`, and each example's from
    `fold_in(., its index in the whole batch)`. So one device, many devices and pmap
    draw the same numbers.

    Args:
      state: before the step.
      batch: "image" `[B, H, W, C]` and what else the task needs, `[B, ...]`; under
        pmap this device's rows.

    Returns:
      The state after it, and metrics averaged over the batch: those of the task, and
      "grad_norm", the norm of the gradient before clipping. Of turns: means over the
      turns of a part, with "PART_loss" and "PART_grad_norm"; "loss" is the sum of the
      parts' and "grad_norm" the norm of theirs.

    Raises:
      ValueError: B is no multiple of the number of microbatches, or of turns.
    """
    key = jax.random.fold_in(state.key, state.step)
    if state.task.turns:
        new, metrics = _all_turns(state, batch, key)
    else:
        new, metrics = _turn(state, batch, key)
    ema = _moving_average(state, new.params)
    return dataclasses.replace(new, step=state.step + 1, ema=ema), metrics


def _turn(
    state: TrainState, batch: Batch, key: Array, part: str | None = None
) -> tuple[TrainState, Metrics]:
    """A gradient step of one part of the parameters, or of all."""
    keys = _example_keys(key, batch["image"].shape[0], state)
    if state.accumulate == 1:
        grads, model_state, metrics = _gradient(
            state, state.model_state, batch, keys, part
        )
    else:
        grads, model_state, metrics = _accumulate(state, batch, keys, part)
    if state.axis_name is not None:
        grads, metrics = jax.lax.pmean((grads, metrics), state.axis_name)
    metrics = {**metrics, "grad_norm": optax.tree.norm(grads)}
    before = state.params if part is None else state.params[part]
    named = {} if part is None else {"part": part}
    updates, opt_state = state.optimizer.update(grads, state.opt_state, before, **named)
    after = optax.apply_updates(before, updates)
    new = dataclasses.replace(
        state,
        params=_with_part(state.params, part, after),
        model_state=model_state,
        opt_state=opt_state,
    )
    return new, metrics


def _all_turns(
    state: TrainState, batch: Batch, key: Array
) -> tuple[TrainState, Metrics]:
    turns = state.task.turns
    parts = sorted(set(turns))
    most = max(parts, key=turns.count)
    shares = _cut(batch, turns.count(most), f"turns of the {most}")
    taken = dict.fromkeys(parts, 0)
    measured: dict[str, list[Metrics]] = {part: [] for part in parts}
    for n, part in enumerate(turns):
        share = jax.tree.map(lambda x, i=taken[part]: x[i], shares)
        taken[part] += 1
        state, metrics = _turn(state, share, jax.random.fold_in(key, n), part)
        measured[part].append(metrics)
    merged: Metrics = {}
    total, square = jnp.float32(0), jnp.float32(0)
    for part, of_turns in measured.items():
        mean = jax.tree.map(lambda *m: sum(m) / len(m), *of_turns)
        total += mean["loss"]
        square += jnp.square(mean["grad_norm"])
        for name in ("loss", "grad_norm"):
            merged[f"{part}_{name}"] = mean.pop(name)
        merged |= mean
    return state, {"loss": total, **merged, "grad_norm": jnp.sqrt(square)}


def eval_step(state: TrainState, batch: Batch) -> Metrics:
    """The metrics of each example, by the averaged parameters where there are any.

    Args:
      state: of the run.
      batch: as in `train_step`, and "index" int32 `[B]`, the place of each example in
        the data set: what is random, such as noise on the input, depends on it and on
        state.key alone, so that every evaluation sees the same inputs; "weight" `[B]`,
        which is passed through.

    Returns:
      Arrays `[B]`, and `[B, ...]` for what `task.collected` names.
    """
    model, keys = _evaluated(state, batch)
    loss, metrics = state.task.loss(model, batch, keys, training=False)
    return {"loss": loss, **metrics, "weight": batch["weight"]}


def image_step(state: TrainState, batch: Batch) -> dict[str, Array]:
    """What `state.task.figure` shows of a batch.

    Args:
      state: of the run.
      batch: as in `eval_step`, without "weight".
    """
    model, keys = _evaluated(state, batch)
    return state.task.images(model, batch, keys)


def _evaluated(state: TrainState, batch: Batch) -> tuple[nnx.Module, Array]:
    model = nnx.merge(state.graphdef, state.eval_params, state.model_state, copy=True)
    model.eval()
    key = jax.random.fold_in(state.key, jnp.uint32(_EVALUATION))
    return model, jax.vmap(jax.random.fold_in, (None, 0))(key, batch["index"])


def _example_keys(key: Array, size: int, state: TrainState) -> Array:
    index = jnp.arange(size)
    if state.axis_name is not None:
        index += size * jax.lax.axis_index(state.axis_name)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def _gradient(
    state: TrainState,
    model_state: nnx.State,
    batch: Batch,
    keys: Array,
    part: str | None,
):
    def mean_loss(trained):
        params = _with_part(state.params, part, trained)
        # copy=True: without it BatchNorm writes to variables of an outer trace.
        model = nnx.merge(state.graphdef, params, model_state, copy=True)
        if part is None:
            loss, metrics = state.task.loss(model, batch, keys, training=True)
        else:
            loss, metrics = state.task.turn_loss(part, model, batch, keys)
        _, _, *rest = nnx.split(model, nnx.Param, ...)
        metrics = jax.tree.map(jnp.mean, {"loss": loss, **metrics})
        return metrics["loss"], (nnx.as_pure(rest[0]), metrics)

    trained = state.params if part is None else state.params[part]
    grads, (new_model_state, metrics) = jax.grad(mean_loss, has_aux=True)(trained)
    return grads, new_model_state, metrics


def _with_part(params: nnx.State, part: str | None, values: nnx.State) -> nnx.State:
    """The parameters with those of one part replaced, or all of them."""
    if part is None:
        return values
    return nnx.State({**params.raw_mapping, part: values.raw_mapping})


def _cut(rows, count: int, name: str):
    """Arrays `[B, ...]` to `[count, B / count, ...]`."""

    # Share i has rows i, i + count, ...: where the batch is spread over devices in
    # blocks, every device has its share of each, and nothing is moved.
    def cut(x):
        if x.shape[0] % count:
            raise ValueError(
                f"{name}={count}: must divide the batch of a device, {x.shape[0]}"
            )
        return jnp.moveaxis(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 1, 0)

    return jax.tree.map(cut, rows)


def _accumulate(state: TrainState, batch: Batch, keys: Array, part: str | None):
    count = state.accumulate
    # A loop of XLA would be shorter, but its CPU backend computes convolutions inside
    # a loop 10 times slower. The barrier keeps the microbatches one after the other,
    # so that their activations share the caches, or the memory of an accelerator.
    rows = _cut((batch, keys), count, "accumulate")
    total = None
    model_state = state.model_state
    measured = []
    for i in range(count):
        microbatch = jax.tree.map(lambda x, i=i: x[i], rows)
        if total is not None:
            microbatch, total = jax.lax.optimization_barrier((microbatch, total))
        grads, model_state, metrics = _gradient(
            state, model_state, microbatch[0], microbatch[1], part
        )
        total = grads if total is None else jax.tree.map(jnp.add, total, grads)
        measured.append(metrics)
    grads = jax.tree.map(lambda g: g / count, total)
    metrics = jax.tree.map(lambda *m: sum(m) / count, *measured)
    return grads, model_state, metrics


def _moving_average(state: TrainState, params: nnx.State) -> nnx.State | None:
    if state.ema is None:
        return None
    # Early on the average would remember the random start; this is TensorFlow's rule.
    step = state.step.astype(jnp.float32)
    decay = jnp.minimum(state.ema_decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, state.ema, params)
