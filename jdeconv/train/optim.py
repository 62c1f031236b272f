"""Optimizers and learning rate schedules, made from `config.optimizer` with optax."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from jdeconv.train import soap
from jdeconv.train.duration import parse_duration

Schedule = Callable[[Any], Any]

SCHEDULES = ("constant", "cosine", "linear", "exponential", "piecewise")


def default_config() -> ml_collections.ConfigDict:
    """The fields of `config.optimizer`, unlocked.

    - name: "adam", "adamw", "nadam", "soap", "sgd", "rmsprop", "lion" or "lamb".
    - learning_rate: the peak.
    - schedule: how it goes from the peak, after the warmup, to the end of the run:
      "constant", "cosine", "linear" or "exponential" (all three to `final_scale`
      times the peak), or "piecewise": times `decay` at every one of `boundaries`.
    - warmup: duration of a linear rise from 0.
    - final_scale: see schedule.
    - boundaries: durations from the start, such as ("30 epochs", "60 epochs").
    - decay: see schedule.
    - weight_decay: decoupled, as in AdamW, of arrays with two axes or more (biases and
      the parameters of norms are left alone). Not for "adam", "nadam" and "rmsprop".
    - clip_norm: largest norm of all gradients together; 0: not clipped.
    - beta1, beta2, eps: of the Adam family and lion (beta2 also of rmsprop).
    - basis_every: of soap: steps between corrections of the basis.
    - momentum, nesterov: of sgd.
    """
    return ml_collections.ConfigDict(
        {
            "name": "adam",
            "learning_rate": 1e-3,
            "schedule": "constant",
            "warmup": "0 steps",
            "final_scale": 0.0,
            "boundaries": (),
            "decay": 0.1,
            "weight_decay": 0.0,
            "clip_norm": 0.0,
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "basis_every": 50,
            "momentum": 0.9,
            "nesterov": False,
        }
    )


def make_schedule(
    config: Mapping[str, Any], *, total_steps: int, batch_size: int, num_examples: int
) -> Schedule:
    """The learning rate as a function of the step, from 0.

    Args:
      config: `config.optimizer`.
      total_steps: length of the run.
      batch_size, num_examples: to turn durations into steps.

    Returns:
      A function of an int or an integer array.

    Raises:
      ValueError: an unknown schedule, or a number out of its range.
    """

    def steps(name: str, text: str) -> int:
        duration = parse_duration(text, f"optimizer.{name}")
        return duration.steps(batch_size=batch_size, num_examples=num_examples)

    peak = _at_least_0(config, "learning_rate")
    final = _at_least_0(config, "final_scale")
    decay = _at_least_0(config, "decay")
    warmup = steps("warmup", config["warmup"])
    boundaries = [steps("boundaries", text) for text in config["boundaries"]]
    length = max(total_steps - warmup, 1)
    kind = config["schedule"]
    if kind not in SCHEDULES:
        raise ValueError(
            f"optimizer.schedule={kind!r}: must be one of {', '.join(SCHEDULES)}"
        )
    if kind == "exponential" and final == 0:
        raise ValueError("optimizer.final_scale=0: must be > 0 for 'exponential'")

    def schedule(step):
        step = jnp.asarray(step)
        done = jnp.clip((step - warmup) / length, 0.0, 1.0)
        if kind == "cosine":
            scale = final + (1 - final) * 0.5 * (1 + jnp.cos(math.pi * done))
        elif kind == "linear":
            scale = final + (1 - final) * (1 - done)
        elif kind == "exponential":
            scale = final**done
        elif kind == "piecewise":
            passed = sum(jnp.float32(step >= b) for b in boundaries)
            scale = jnp.float32(decay) ** passed
        else:
            scale = jnp.float32(1)
        if warmup:
            scale = scale * jnp.minimum((step + 1) / warmup, 1.0)
        return jnp.float32(peak * scale)

    return schedule


def make_optimizer(
    config: Mapping[str, Any], schedule: Schedule
) -> optax.GradientTransformation:
    """The optimizer that `config.optimizer` describes.

    Args:
      config: `config.optimizer`.
      schedule: learning rate by step.

    Returns:
      clip, then the named rule, then weight decay, then -learning rate.

    Raises:
      ValueError: an unknown name, or an option that does not go with it.
    """
    name = config["name"]
    b1, b2, eps = config["beta1"], config["beta2"], config["eps"]
    rules = {
        "adam": lambda: optax.scale_by_adam(b1, b2, eps),
        "adamw": lambda: optax.scale_by_adam(b1, b2, eps),
        "nadam": lambda: optax.scale_by_adam(b1, b2, eps, nesterov=True),
        "soap": lambda: soap.scale_by_soap(b1, b2, eps, every=config["basis_every"]),
        "sgd": lambda: (
            optax.trace(config["momentum"], nesterov=config["nesterov"])
            if config["momentum"]
            else optax.identity()
        ),
        "rmsprop": lambda: optax.scale_by_rms(b2, eps),
        "lion": lambda: optax.scale_by_lion(b1, b2),
        "lamb": lambda: optax.scale_by_adam(b1, b2, eps),
    }
    if name not in rules:
        raise ValueError(f"optimizer.name={name!r}: must be one of {', '.join(rules)}")
    weight_decay = _at_least_0(config, "weight_decay")
    if weight_decay and name in ("adam", "nadam", "rmsprop"):
        raise ValueError(
            f"optimizer.weight_decay={weight_decay} with optimizer.name={name!r}: must "
            "be 0; 'adamw', 'soap', 'sgd', 'lion' and 'lamb' have weight decay"
        )
    clip_norm = _at_least_0(config, "clip_norm")
    parts = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    parts.append(rules[name]())
    if weight_decay:
        parts.append(optax.add_decayed_weights(weight_decay, mask=_is_kernel))
    if name == "lamb":
        parts.append(optax.scale_by_trust_ratio())
    parts.append(optax.scale_by_learning_rate(schedule))
    return optax.chain(*parts)


def by_part(
    optimizers: Mapping[str, optax.GradientTransformation],
) -> optax.GradientTransformationExtraArgs:
    """One optimizer per part of the parameters; a turn of one leaves the others alone.

    optax.partition would update all parts in every turn: a gradient of 0 still moves
    what Adam remembers.

    Args:
      optimizers: by the name of the part, a top-level name of the parameters.

    Returns:
      init(params) as always, and update(grads, state, params, part=NAME) of that
      part's gradients and parameters.
    """

    def init(params):
        return {part: rule.init(params[part]) for part, rule in optimizers.items()}

    def update(grads, state, params=None, *, part: str):
        updates, own = optimizers[part].update(grads, state[part], params)
        return updates, {**state, part: own}

    return optax.GradientTransformationExtraArgs(init, update)


def _is_kernel(params):
    return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)


def _at_least_0(config: Mapping[str, Any], name: str) -> float:
    value = config[name]
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"optimizer.{name}={value!r}: must be finite and >= 0")
    return value
