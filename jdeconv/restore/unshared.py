"""Programs whose Fourier transforms keep all threads of a CPU."""

import functools
import inspect
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

# The passes of XLA that share a step, or a sum, between threads.
_SHARING = "cpu-parallel-task-assigner,dot-library-rewriter"


def unshared(function: Callable, static_argnames: Sequence[str]) -> Callable:
    """As `jax.jit`, for loops that spend their time in Fourier transforms.

    Once jax 0.10 has shared any other step between the threads of a CPU, it carries on
    in one of them, where a transform has that thread only. So no step is shared here.
    Copies of more than 1 MiB still are: it helps where a loop's arrays are written
    over, not where former ones are kept. And so are the steps around the loop if there
    are more than eight (XLA's `execute_sequential_num_thunks_threshold`), by which it
    is chance where the loop runs: prepare its arrays in a program of their own. Newer
    versions of jax are free of it.

    Args:
      function: jitted, as it is used within other programs and under transforms; the
        loop and next to nothing else.
      static_argnames: as given to `jax.jit`.
    """
    if jax.__version_info__ >= (0, 11):
        return function
    alone = jax.jit(
        inspect.unwrap(function),
        static_argnames=static_argnames,
        compiler_options={"xla_disable_hlo_passes": _SHARING},
    )

    @functools.wraps(function)
    def call(*args, **kwargs):
        made = [jnp.zeros(()), *jax.tree.leaves((args, kwargs))]
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in made)
        if traced or jax.default_backend() != "cpu":
            return function(*args, **kwargs)
        return alone(*args, **kwargs)

    return call
