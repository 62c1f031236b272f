"""Ten steps on one device, on four and under pmap; prints how far they are apart.

Run by test_parallel in a process of its own: `python -m tests.train.devices FOLDER`.
"""

import json
import os
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np

from jdeconv import train
from jdeconv.train.checkpoint import Checkpoints
from tests.train import tiny

STEPS, BATCH = 10, 16


def count_compilations(log: list) -> None:
    def listen(event, seconds, **_):
        if event.endswith("backend_compile_duration"):
            log.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)


def run(kind: str, devices, norm: bool, accumulate: int, log: list):
    parallel = train.make_parallel(kind, devices=devices)
    # What is random takes long to compile: it is in one of the two networks.
    state = tiny.make_state(
        tiny.Net(norm=norm),
        tiny.make_task(noise_std=0.0 if norm else 0.1),
        ema_decay=0.9,
        accumulate=accumulate,
        axis_name=parallel.axis_name,
    )
    state = parallel.put_state(state)
    for step in range(STEPS):
        batch = parallel.put_batch(tiny.make_batch(BATCH, seed=step))
        state, metrics = parallel.train_step(state, batch)
        if step == 0:
            first = len(log)
    recompiled = len(log) - first
    if norm:
        metrics |= evaluate(parallel, state)
    moved = []
    if kind == "jit" and accumulate > 1:
        text = parallel.train_step.lower(state, batch).compile().as_text()
        moved = [
            name
            for name in ("all-to-all", "all-gather", "collective-permute")
            if f"{name}(" in text
        ]
    return state, metrics, recompiled, moved


def evaluate(parallel: train.Parallel, state: train.TrainState):
    batch = tiny.make_batch(BATCH)
    batch["index"] = np.arange(BATCH, dtype=np.int32)
    batch["weight"] = np.ones(BATCH, np.float32)
    return parallel.eval_step(state, parallel.put_batch(batch))


def apart(one, other) -> float:
    """The largest difference relative to the largest value of its array."""
    gaps = []
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        gaps.append(np.abs(a - b).max() / np.abs(a).max())
    return float(max(gaps))


def main(folder: str) -> None:
    log: list = []
    count_compilations(log)
    results = []
    for norm, accumulate in ((False, 1), (True, 2)):
        runs = {
            "one": run("jit", jax.devices()[:1], norm, accumulate, log),
            "four": run("jit", jax.devices(), norm, accumulate, log),
            "pmap": run("pmap", jax.devices(), norm, accumulate, log),
        }
        one = runs["one"][0]
        for name, (state, metrics, recompiled, moved) in runs.items():
            results.append(
                {
                    "run": f"{name}, norm={norm}",
                    "params": apart(one.params, state.params),
                    "ema": apart(one.ema, state.ema),
                    "model_state": apart(one.model_state, state.model_state)
                    if norm
                    else 0.0,
                    "metrics": apart(runs["one"][1], metrics),
                    "recompiled": recompiled,
                    "moved": moved,
                }
            )
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(runs["four"][0], STEPS, notes={})
    np.savez(
        f"{folder}/params.npz",
        *map(np.asarray, jax.tree.leaves(runs["four"][0].params)),
    )
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1])
