"""How benchmarks measure: candidates take turns, medians and spread, machine limits."""

import math
import os
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jdeconv.ops.lowering.tune import calls_at_once

# For one candidate: a slow one gets fewer turns. A GPU's time is dear.
PATIENCE_S, PATIENCE_OFF_CPU_S = 5.0, 1.0
SHORT_S = 0.3
WARM_S = 0.03


def alternate(runs: dict[str, Callable], turns: int = 15) -> dict[str, list[float]]:
    """Seconds of each call; the candidates take turns, so drift hits all alike.

    A call that takes long gets at least 3 turns, and no more than `PATIENCE_S` allows.
    Each call must wait for its own result. A short call is repeated untimed for
    `WARM_S` before the one that counts, as in a training loop: threads of the library
    before it may still be spinning on a core, and the caches are its predecessor's. An
    accelerator has no such threads, and one call before must do; without it, one and
    the same program took up to a quarter longer in the turn after PyTorch's.
    """
    on_cpu = jax.default_backend() == "cpu"
    patience = PATIENCE_S if on_cpu else PATIENCE_OFF_CPU_S
    least: dict[str, float] = {}
    for name, run in runs.items():
        run()  # compiles, and touches memory for the first time
        start = time.perf_counter()
        run()
        least[name] = time.perf_counter() - start
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns):
        for name, run in runs.items():
            if turn >= 3 and turn * least[name] > patience:
                continue
            if least[name] < SHORT_S:
                warm = time.perf_counter()
                run()
                while on_cpu and time.perf_counter() - warm < WARM_S:
                    run()
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return times


class Queued:
    """A run of `calls_at_once`, of which the last is waited for; returns its result.

    Args:
      start: begins a call and returns its result, which need not be there yet.
      wait: returns the result when it is.
    """

    def __init__(self, start: Callable, wait: Callable):
        self._start, self._wait = start, wait
        self.calls = 0  # not known before the first run

    def __call__(self):
        """The result of the last call."""
        if not self.calls:
            self.calls = calls_at_once(lambda: self._wait(self._start()))
        for _ in range(self.calls):
            result = self._start()
        return self._wait(result)


def per_call(runs: dict[str, Queued], turns: int) -> dict[str, dict]:
    """`alternate` and `summary` of each run, for one of its calls."""
    return {
        name: summary([t / runs[name].calls for t in seconds])
        for name, seconds in alternate(runs, turns).items()
    }


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and quartiles in ms, and the number of runs."""
    ms = sorted(1e3 * t for t in seconds)
    low, _, high = statistics.quantiles(ms, n=4) if len(ms) > 1 else (ms[0],) * 3
    return {
        "median_ms": statistics.median(ms),
        "quartiles_ms": [low, high],
        "runs": len(ms),
    }


def geometric_mean(values) -> float:
    """exp(mean(log))."""
    return statistics.geometric_mean(values)


def machine_limits(dtype: DTypeLike = jnp.float32) -> dict[str, float]:
    """What this device reaches: GFLOP/s of a matrix product, GB/s read and written.

    On a CPU the copy stays within blocks that the allocator keeps, so no page is
    fetched anew; on an accelerator it is beyond all caches.

    Args:
      dtype: of the product's matrices.
    """
    on_cpu = jax.default_backend() == "cpu"
    size, megabytes = (2048, 16) if on_cpu else (8192, 1024)
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    b = jax.random.normal(jax.random.key(1), (megabytes << 18,))
    product = jax.jit(lambda a: a @ a)
    shift = jax.jit(lambda b: b + 1)
    times = per_call(
        {
            "product": Queued(lambda: product(a), jax.block_until_ready),
            "copy": Queued(lambda: shift(b), jax.block_until_ready),
        },
        15,
    )
    best = {name: cell["median_ms"] / 1e3 for name, cell in times.items()}
    return {
        "matmul_gflops": 2e-9 * size**3 / best["product"],
        "copy_gbytes_per_s": 2e-9 * jnp.asarray(b).nbytes / best["copy"],
    }


def median(cell: dict, name: str) -> float:
    """Median ms of a candidate, NaN if it was not there."""
    return cell[name]["median_ms"] if name in cell else math.nan


def len_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
