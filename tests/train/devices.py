"""Trains ten steps on one device, on four, and under pmap; prints the differences.

Run in a process of its own, with four fake devices, by test_parallel.
"""

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jdeconv import tasks, train
from jdeconv.data import Degrade, Preprocess
from jdeconv.train import setup

STEPS, BATCH = 10, 16


class Net(nnx.Module):
    """Small, with everything that could depend on how the batch is spread."""

    def __init__(self, norm: bool, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), use_bias=not norm, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs) if norm else None
        self.out = nnx.Conv(4, 1, (3, 3), rngs=rngs)

    def __call__(self, x, *, key=None):
        y = self.conv(x)
        y = nnx.relu(y if self.norm is None else self.norm(y))
        if key is not None:
            keep = jax.vmap(lambda k: jax.random.bernoulli(k, 0.9, y.shape[1:]))(key)
            y = jnp.where(keep, y, 0)
        return self.out(y)


def run(kind, devices, norm, accumulate):
    parallel = train.make_parallel(kind, devices=devices)
    state = train.create_state(
        Net(norm, nnx.Rngs(0)),
        optimizer=optax.adam(1e-3),
        task=tasks.Reconstruct(Preprocess(), "shift", "mse", Degrade(noise_std=0.1)),
        key=jax.random.key(1),
        ema_decay=0.9,
        accumulate=accumulate,
        axis_name=parallel.axis_name,
    )
    state = parallel.put_state(state)
    rng = np.random.default_rng(0)
    compiled = []
    for _ in range(STEPS):
        batch = {"image": rng.integers(0, 256, (BATCH, 8, 8, 1), dtype=np.uint8)}
        with jax.log_compiles():
            state, metrics = parallel.train_step(state, parallel.put_batch(batch))
        compiled.append(len(COMPILED))
    batch["index"] = np.arange(BATCH, dtype=np.int32)
    batch["weight"] = np.ones(BATCH, np.float32)
    tested = parallel.eval_step(state, parallel.put_batch(batch))
    return state, {k: float(v) for k, v in metrics.items()}, tested, compiled
