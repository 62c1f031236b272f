"""Measures the lowerings on given problems and keeps the fastest for `auto`."""

import concurrent.futures
import contextlib
import functools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import jax.numpy as jnp
from jax import Array

from jdeconv.ops import lowering
from jdeconv.ops.lowering import choose, merged, tuned
from jdeconv.ops.lowering.choose import MERGED, REFERENCE, WHOLE, Forms
from jdeconv.ops.lowering.problem import Problem

_DTYPES = {2: jnp.bfloat16, 4: jnp.float32, 8: jnp.float64}
_QUEUED_S, MOST_AT_ONCE = 3e-3, 20  # that an accelerator is given: time, runs
_MARGIN = 0.97  # the reference stays unless another takes less than this share


@contextlib.contextmanager
def recorded() -> Iterator[list[Problem]]:
    """The problems that `auto` is asked about while the context is open, each once."""
    found: list[Problem] = []
    choose.listeners.append(found)
    try:
        yield found
    finally:
        choose.listeners.remove(found)
        found[:] = list(dict.fromkeys(found))


def problems_of(function: Callable, *args, **kwargs) -> list[Problem]:
    """Every conv and transposed conv in the function, found by tracing it.

    Gradients taken outside it need not be traced: all three computations of a problem
    are tuned in any case.
    """
    with recorded() as found:
        jax.eval_shape(function, *args, **kwargs)
    return found


def applicable(p: Problem, computation: str, platform: str) -> list[str]:
    """The lowerings worth a measurement: those not hopeless, to run or to compile."""
    on_cpu = platform == "cpu"
    names = [REFERENCE, "phases"]
    if p.pieces * p.groups <= 256:
        names.append("matmul" if on_cpu else WHOLE)
    if p.group_out * math.prod(p.blocks) <= 64 and p.group_in * p.group_out <= 16:
        names.append("shifts")
    if p.taps <= 64 and p.group_in * p.group_out <= 16:
        names += ["sums", "spread"]
    if len(p.axes) > 2:
        names.append("planes")
    if not on_cpu:
        # A forward convolution's kernel gradient is so already.
        swapped = computation == "kernel_gradient" and not p.forward
        return [*names, "swapped"] if swapped else names
    if p.groups <= 8 and max(p.blocks) > 1:
        names.append("winograd")
    if computation == "kernel_gradient":
        if p.taps * p.groups <= 128:
            names.append("taps")
    elif p.groups > 1 and p.group_in + p.group_out <= 32:
        names.append("lanes")
    if merged.count(p) > 1:
        names.append(MERGED)
    return names


def measure(p: Problem, repeats: int = 9) -> dict[str, dict[str, float]]:
    """Median seconds of each lowering for each of the three computations.

    The lowerings take turns, so that a machine that slows down slows all of them. They
    are compiled side by side. An accelerator is given several runs at once, as in
    training: what Python needs to start one is no part of the time.

    Returns:
      computation (a field of `choose.Forms`) -> lowering -> seconds.
    """
    dtype = _DTYPES[p.itemsize]
    keys = jax.random.split(jax.random.key(0), 3)
    sizes = [a.output_size for a in p.axes]
    y = jax.random.normal(keys[0], (p.batch, *sizes, p.groups * p.group_out), dtype)
    window = [a.window for a in p.axes]
    out = p.groups * p.group_out
    kernel = jax.random.normal(keys[1], (*window, p.group_in, out), dtype)
    sizes = [a.input_size for a in p.axes]
    x = jax.random.normal(keys[2], (p.batch, *sizes, p.groups * p.group_in), dtype)
    platform = jax.default_backend()
    lowered = {
        (computation, name): _lowered(computation, name, p, x, y, kernel)
        for computation in Forms._fields
        for name in applicable(p, computation, platform)
    }
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = dict(
            zip(lowered, pool.map(lambda low: low.compile(), lowered.values()))
        )
    times: dict[str, dict[str, float]] = {}
    for computation in Forms._fields:
        runs = {
            name: functools.partial(compiled[computation, name], x, y, kernel)
            for name in applicable(p, computation, platform)
        }
        times[computation] = _alternate(runs, repeats)
    return times


def _lowered(
    computation: str, name: str, p: Problem, x: Array, y: Array, kernel: Array
) -> jax.stages.Lowered:
    transposed = lowering.conv_transpose_by(name, p.axes, p.groups, part=computation)
    forward = lowering.conv_by(name, p.axes, p.groups, part=computation)

    def transpose(linear: Callable, at: Array, cotangent: Array) -> Array:
        return jax.linear_transpose(linear, at)(cotangent)[0]

    # In training one image's gradient is the transpose of the other's computation.
    functions = {
        (False, "conv_transpose"): lambda x, y, k: transposed(y, k),
        (False, "conv"): lambda x, y, k: transpose(lambda y: transposed(y, k), y, x),
        (False, "kernel_gradient"): lambda x, y, k: transpose(
            lambda k: transposed(y, k), k, x
        ),
        (True, "conv_transpose"): lambda x, y, k: transpose(
            lambda x: forward(x, k), x, y
        ),
        (True, "conv"): lambda x, y, k: forward(x, k),
        (True, "kernel_gradient"): lambda x, y, k: transpose(
            lambda k: forward(x, k), k, y
        ),
    }
    return jax.jit(functions[p.forward, computation]).lower(x, y, kernel)


def calls_at_once(run: Callable[[], object]) -> int:
    """How many runs an accelerator should be given at once when they are timed.

    It works on one while Python prepares the next, as in training, so that a run's
    share of the time is the device's, unless Python is the slower of the two. 1 on a
    CPU.

    Args:
      run: waits for its result; it is run twice, the first time untimed.
    """
    run()
    start = time.perf_counter()
    run()
    needed = math.ceil(_QUEUED_S / (time.perf_counter() - start))
    return 1 if jax.default_backend() == "cpu" else min(needed, MOST_AT_ONCE)


def _waited(run: Callable[[], Array]) -> Array:
    return jax.block_until_ready(run())


def _alternate(
    runs: Mapping[str, Callable[[], Array]], repeats: int
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    calls = {
        name: calls_at_once(functools.partial(_waited, run))
        for name, run in runs.items()
    }
    for _ in range(repeats):
        for name, run in runs.items():
            if times[name] and times[name][0] > 20 * min(t[0] for t in times.values()):
                continue  # out of the race
            start = time.perf_counter()
            for _ in range(calls[name]):
                result = run()
            jax.block_until_ready(result)
            times[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(t) for name, t in times.items()}


def fastest(times: dict[str, dict[str, float]]) -> Forms:
    """The fastest per computation; the reference unless another is clearly faster."""
    best = []
    for computation in Forms._fields:
        seconds = times[computation]
        name = min(seconds, key=seconds.__getitem__)
        if seconds[name] > _MARGIN * seconds[REFERENCE]:
            name = REFERENCE
        best.append(name)
    return Forms(*best)


def tune(
    problems: Iterable[Problem],
    *,
    repeats: int = 9,
    report: Callable[[Problem, dict, Forms], None] | None = None,
) -> dict[Problem, Forms]:
    """Measures problems on the default device and writes the choices to the file.

    Args:
      problems: e.g. from `problems_of`.
      repeats: runs per lowering and computation.
      report: called after each problem with it, its times and the choice.
    """
    choices = {}
    for p in problems:
        times = measure(p, repeats)
        choices[p] = fastest(times)
        if report is not None:
            report(p, times, choices[p])
        tuned.store(jax.default_backend(), {p: choices[p]})
    return choices
