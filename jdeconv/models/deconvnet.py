"""The deconvnet: any unit of a trained network, projected back to pixels.

The network runs forwards on an image; then one unit of one feature map is sent back
down to pixels through every layer in reverse order. The three ways to do so differ in
one thing, what a ReLU y = max(x, 0) does to the signal g that comes down:

    "gradient"    g where x > 0              Simonyan, Vedaldi and Zisserman, 2014
    "deconvnet"   max(g, 0)                  Zeiler and Fergus, 2014
    "guided"      max(g, 0) where x > 0      Springenberg et al., 2015, figure 1

All else they share, and it is what the reverse pass of automatic differentiation does
anyhow: a convolution's is the transposed convolution by its own kernel (tied, no
parameter of its own), max pooling's is unpooling with switches, the place where each
maximum was. So the network is differentiated, with another rule for its ReLUs, which
are found in the traced program: it works for any network, whatever its code looks like.

Biases take no part on the way down, as in the papers: what comes down is linear in the
unit for "gradient", and scales with it for the other two. Batch norm is in evaluation
mode a scale per channel and a bias: the scale is applied on the way down, the bias not.
Any other nonlinearity (leaky ReLU, sigmoid, ...) keeps its derivative.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend import core

METHODS = ("deconvnet", "guided", "gradient")


class Projection(NamedTuple):
    """What `project` returns.

    pixels: of the shape of the images.
    values: `[batch]`, the activations that were projected.
    positions: `[batch, grid axes]`, where on the grid they are.
    """

    pixels: Array
    values: Array
    positions: Array


def project(
    features: Callable[[Array], Array],
    x: Array,
    channel: int | Sequence[int] | np.ndarray,
    *,
    positions: Sequence[int] | np.ndarray | None = None,
    method: str = "deconvnet",
) -> Projection:
    """Projects one unit per image back to pixels.

    The signal starts as 1 at the unit and 0 elsewhere, so that "gradient" is the
    gradient of the unit with respect to the image. Zeiler and Fergus start from the
    activation itself: `values` times these pixels, when it is positive.

    Args:
      features: images to activations `[batch, *grid, channels]`, a function of one
        image each, such as `layer_output(model, name)` or a classifier in evaluation
        mode (logits have no grid).
      x: images `[batch, H, W, C]`.
      channel: feature map, or one per image.
      positions: where on the grid: one per grid axis, or `[batch, grid axes]`. Default:
        the strongest activation of the feature map in each image.
      method: "deconvnet", "guided" or "gradient".

    Raises:
      ValueError: an unknown method, a channel or position that is not there.
      NotImplementedError: a ReLU within a loop, a branch or a function that brings its
        own derivative, where its rule cannot be replaced.

    >>> features = lambda x: jax.nn.relu(x @ jnp.array([[1.0], [-2.0]]))
    >>> x = jnp.array([[3.0, 1.0], [5.0, 2.0]])
    >>> project(features, x, 0, method="gradient").pixels.tolist()
    [[1.0, -2.0], [1.0, -2.0]]
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: must be one of {', '.join(METHODS)}")
    y, down = jax.vjp(with_relu_rule(features, method), x)
    batch, *grid, num_channels = y.shape
    channels = _indices("channel", channel, (batch,), [num_channels])
    maps = y[jnp.arange(batch), ..., channels].reshape(batch, -1)
    if positions is None:
        flat = jnp.argmax(maps, axis=1)
    else:
        given = _indices("positions", positions, (batch, len(grid)), grid)
        flat = jnp.asarray(np.ravel_multi_index(tuple(given.T), grid) if grid else 0)
        flat = jnp.broadcast_to(flat, (batch,))
    values = jnp.take_along_axis(maps, flat[:, None], axis=1)[:, 0]
    at = jnp.unravel_index(flat, grid) if grid else ()
    seed = jnp.zeros_like(y).at[(jnp.arange(batch), *at, channels)].set(1)
    places = jnp.stack(at, axis=1) if grid else jnp.zeros((batch, 0), jnp.int32)
    return Projection(down(seed)[0], values, places)


def _indices(name: str, value, shape: tuple[int, ...], sizes: list[int]) -> np.ndarray:
    """Indices below `sizes`, the last axis, as an array of the shape asked for."""
    given = np.asarray(value)
    legal = ", ".join(f"0 .. {size - 1}" for size in sizes) or "()"
    message = f"{name}={value!r}: must be {legal}, or one such for each of {shape[0]}"
    try:
        indices = np.broadcast_to(given, shape)
    except ValueError:
        raise ValueError(message) from None
    whole = given.size == 0 or np.issubdtype(given.dtype, np.integer)
    if not whole or (indices < 0).any() or (indices >= np.asarray(sizes)).any():
        raise ValueError(message)
    return indices.astype(int)


def with_relu_rule(function: Callable, method: str) -> Callable:
    """The same function, whose ReLUs have the backward rule of a method.

    A ReLU is `jax.nn.relu`, which `flax.nnx.relu` is too.

    Args:
      function: of one array, to one array.
      method: one of METHODS.
    """
    if method == "gradient":
        return function

    def ruled(x):
        program = jax.make_jaxpr(function)(x)
        (y,) = _run(
            program.jaxpr, program.consts, [x], _relu(guided=method == "guided")
        )
        return y

    return ruled


def _relu(*, guided: bool) -> Callable:
    @jax.custom_vjp
    def relu(x):
        return jax.nn.relu(x)

    def forward(x):
        return relu(x), x > 0 if guided else None

    def backward(active, g):
        g = jnp.maximum(g, 0)
        return (g if active is None else jnp.where(active, g, 0),)

    relu.defvjp(forward, backward)
    return relu


def _run(jaxpr, consts: Sequence, args: Sequence, relu: Callable) -> list:
    """Evaluates a traced program with another function in place of its ReLUs."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args)))

    def read(v):
        return v.val if isinstance(v, core.Literal) else values[v]

    for eqn in jaxpr.eqns:
        inputs = [read(v) for v in eqn.invars]
        inner = _inlined(eqn)
        if _is_relu(eqn):
            outputs = [relu(*inputs)]
        elif not any(map(_has_relu, core.jaxprs_in_params(eqn.params))):
            params = eqn.primitive.get_bind_params(eqn.params)
            outputs = eqn.primitive.bind(*inputs, **params)
            outputs = outputs if eqn.primitive.multiple_results else [outputs]
        elif inner is not None:
            program, constants = inner
            outputs = _run(program, constants, inputs, relu)
        else:
            raise NotImplementedError(
                f"a ReLU within {eqn.primitive.name!r}: its backward rule cannot be "
                "replaced there, only method='gradient' works"
            )
        values.update(zip(eqn.outvars, outputs))
    return [read(v) for v in jaxpr.outvars]


def _inlined(eqn) -> tuple[Any, Sequence] | None:
    """Program and constants of a call that may be replaced by what it calls."""
    if eqn.primitive is core.primitives.jit_p:
        return eqn.params["jaxpr"].jaxpr, eqn.params["jaxpr"].consts
    if eqn.primitive is core.primitives.remat_p:
        return eqn.params["jaxpr"], ()
    return None


def _is_relu(eqn) -> bool:
    """Whether this is jax.nn.relu: a function of this name with its own derivative."""
    if eqn.primitive is not core.primitives.custom_jvp_call_p:
        return False
    body = eqn.params["call_jaxpr"].eqns
    return len(body) == 1 and body[0].params.get("name") == "relu"


def _has_relu(jaxpr) -> bool:
    return any(
        _is_relu(eqn) or any(map(_has_relu, core.jaxprs_in_params(eqn.params)))
        for eqn in jaxpr.eqns
    )
