"""`draw` and `jit_once`: compiling what runs once, such as drawing parameters."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

# To draw a U-Net's parameters takes less than a second; to compile that with all
# optimisations took twenty on two CPU cores.
_QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}


def jit_once(function: Callable, **options) -> Callable:
    """`jax.jit` of what takes longer to compile than to run, on a CPU.

    There it is compiled without costly optimisations, by which results may differ in
    the last bits; elsewhere as usual.

    Args:
      function: to be called by itself, not within another transform.
      **options: of `jax.jit`.
    """
    if jax.default_backend() == "cpu":
        options["compiler_options"] = _QUICKLY
    return jax.jit(function, **options)


def draw(
    network: Callable[..., nnx.Module], options: Mapping[str, Any], rngs: nnx.Rngs
) -> nnx.Module:
    """`network(**options, rngs=rngs)`, in one program.

    The program is kept for the next network like it. Lists among the options are given
    as tuples; options that no cache can have as a key are given to the class as usual.

    Args:
      network: a class of this package, whose modules keep no random stream.
      options: of the class.
      rngs: NNX random streams, which go on as they would.
    """
    key = tuple((name, _frozen(value)) for name, value in options.items())
    within_another = isinstance(jnp.zeros(()), jax.core.Tracer)
    # Then one by one is as quick, and finds what other networks have had compiled.
    plain = jax.config.read("jax_disable_most_optimizations")
    if within_another or plain or not _is_hashable(key):
        return network(**options, rngs=rngs)
    graphdef, state = nnx.split(rngs)
    drawn, after = _program(network, key, graphdef)(state)
    nnx.update(rngs, after)
    return nnx.merge(*drawn)


def _frozen(value):
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _is_hashable(key: tuple) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


@functools.lru_cache(maxsize=32)
def _program(network: Callable, options: tuple, graphdef: Any) -> Callable:
    """From the state of the random streams to the network's, and theirs after it."""

    def draw(state):
        rngs = nnx.merge(graphdef, state)
        return nnx.split(network(**dict(options), rngs=rngs)), nnx.state(rngs)

    return jit_once(draw)
