"""What a network costs, layer by layer: parameters, multiply-adds, bytes and time."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jdeconv import nn
from jdeconv.models.tap import Call, tap


class Row(NamedTuple):
    """One call of a layer; all but the parameters are per image.

    name: the layer's place in the network.
    type: its class.
    output_shape: without the batch.
    parameters: numbers trained, each counted where it is first used.
    multiply_adds: None where jdeconv does not know the layer.
    bytes: of what the layer returns.
    seconds: on this device, None if not measured.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int | None
    bytes: int
    seconds: float | None


class Summary(NamedTuple):
    """What `summary` returns; `str()` of it is a table.

    rows: one per call of a layer, in this order.
    total: of the network. Its time is that of the whole network, measured at once.
    batch_size: of the measurement.
    device: of the measurement.
    """

    rows: tuple[Row, ...]
    total: Row
    batch_size: int
    device: str

    def __str__(self) -> str:
        head = ("layer", "type", "output", "parameters", "multiply-adds", "bytes")
        table = [(*head, "time/image"), *map(_cells, self.rows), _cells(self.total)]
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 3 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths))
            ).rstrip()
            for cells in table
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        lines = [lines[0], rule, *lines[1:-1], rule, lines[-1]]
        if self.total.seconds is not None:
            lines.append(f"time: {self.device}, batch of {self.batch_size}")
        return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    adds = "?" if row.multiply_adds is None else f"{row.multiply_adds:,}"
    shape = " x ".join(map(str, row.output_shape))
    seconds = "" if row.seconds is None else f"{row.seconds * 1e6:,.1f} us"
    sizes = f"{row.parameters:,}", adds, f"{row.bytes:,}", seconds
    return row.name, row.type, shape, *sizes


def summary(
    model: nnx.Module,
    input_shape: Sequence[int],
    *,
    batch_size: int = 1,
    repeats: int = 0,
) -> Summary:
    """The cost of every layer of a network, in evaluation mode, and of the whole.

    Multiply-adds are those of the definition, whatever algorithm computes it: of a
    convolution, outputs x window x channels in / groups, its margins included; a
    transposed convolution has those of the conv that it transposes, with the same
    kernel and geometry; of a dense layer, in x out per position. Layers that only scale
    and shift have 0. What lies between layers (ReLU, pooling, resizing) has no row; it
    is in the time of the whole. The times of the rows need not add up to that: alone, a
    layer is not fused with its neighbours.

    Args:
      model: any NNX network that takes one array.
      input_shape: of one example, such as (H, W, C) or (latent,).
      batch_size: examples at a time when measured.
      repeats: runs per layer, after one to compile; the median is given. 0 measures
        nothing, and nothing is computed.

    Returns:
      A Summary; `print(summary(...))` shows it.

    References:
      Sze et al., "Efficient processing of deep neural networks", 2017, section III.

    >>> from jdeconv import models
    >>> model = models.Encoder((8, 8, 1), features=(4,), rngs=nnx.Rngs(0))
    >>> print(summary(model, (8, 8, 1)))
    layer    type  output     parameters  multiply-adds  bytes  time/image
    ----------------------------------------------------------------------
    convs.0  Conv  8 x 8 x 4          40          2,304  1,024
    ----------------------------------------------------------------------
    total          4 x 4 x 4          40          2,304  1,024
    """
    calls: list[Call] = []
    tapped: Any = tap(model, calls.append)
    x = jax.ShapeDtypeStruct((batch_size, *input_shape), jnp.float32)
    output = jax.eval_shape(tapped, x)
    whole = nnx.clone(model)
    whole.eval()
    modules = {".".join(map(str, p)): m for p, m in nnx.iter_modules(whole)}

    counted: set[int] = set()
    rows = []
    for call in calls:
        if call.innermost:
            module: Any = modules[call.name]
            rows.append(
                Row(
                    call.name,
                    type(module).__name__,
                    _shape(call.output),
                    _new_parameters(module, counted),
                    _multiply_adds(module, call, batch_size),
                    _bytes(call.output) // batch_size,
                    _seconds(module, call.args, call.kwargs, repeats, batch_size),
                )
            )
    # Parameters that are used outside any layer's call.
    if outside := _new_parameters(whole, counted):
        rows.append(Row("(outside layers)", "", (), outside, None, 0, None))
    known = [row.multiply_adds for row in rows]
    total = Row(
        "total",
        "",
        _shape(output),
        sum(row.parameters for row in rows),
        None if None in known else sum(n for n in known if n is not None),
        sum(row.bytes for row in rows),
        _seconds(whole, (x,), {}, repeats, batch_size),
    )
    return Summary(tuple(rows), total, batch_size, jax.devices()[0].device_kind)


def _new_parameters(module: nnx.Module, counted: set[int]) -> int:
    """Size of the parameters not counted yet, which then are."""
    size = 0
    for _, node in nnx.iter_graph(module):
        if isinstance(node, nnx.Param) and id(node) not in counted:
            counted.add(id(node))
            size += node[...].size
    return size


def _shape(output) -> tuple[int, ...]:
    """Of the first array, without the batch."""
    return tuple(jax.tree.leaves(output)[0].shape[1:])


def _bytes(output) -> int:
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in jax.tree.leaves(output))


def _multiply_adds(module: nnx.Module, call: Call, batch_size: int) -> int | None:
    cost = _COSTS.get(type(module))
    if cost is not None:
        return cost(module, call) // batch_size
    # A matrix of its own that some unknown rule applies: not to be guessed.
    matrices = any(
        isinstance(node, nnx.Param) and node[...].ndim > 1
        for _, node in nnx.iter_graph(module)
    )
    return None if matrices else 0


def _of_output(module: Any, call: Call) -> int:
    return math.prod(call.output.shape[:-1]) * module.kernel[...].size


def _of_input(module: Any, call: Call) -> int:
    return math.prod(call.args[0].shape[:-1]) * module.kernel[...].size


def _of_tied(module: Any, call: Call) -> int:
    return _of_input(module.conv, call)


# A kernel is applied once at every output of a conv, once at every input of a
# transposed conv, and once at every position of a dense layer: its size is the rest.
_COSTS: dict[type, Callable[[Any, Call], int]] = {
    nn.Conv: _of_output,
    nn.ConvTranspose: _of_input,
    nn.TiedConvTranspose: _of_tied,
    nnx.Conv: _of_output,
    nnx.ConvTranspose: _of_input,
    nnx.Linear: _of_output,
}


def _seconds(
    module: nnx.Module, args: tuple, kwargs: dict, repeats: int, batch_size: int
) -> float | None:
    """Median time per example of a call with arrays of ones like the given ones."""
    if not repeats:
        return None
    graphdef, state = nnx.split(module)
    leaves, tree = jax.tree.flatten((args, kwargs))
    is_array = [hasattr(leaf, "dtype") for leaf in leaves]
    arrays = [jnp.ones(a.shape, a.dtype) for a, yes in zip(leaves, is_array) if yes]

    @jax.jit
    def run(state, arrays):
        given = iter(arrays)
        filled = [next(given) if yes else a for a, yes in zip(leaves, is_array)]
        args, kwargs = jax.tree.unflatten(tree, filled)
        return nnx.merge(graphdef, state)(*args, **kwargs)

    jax.block_until_ready(run(state, arrays))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(state, arrays))
        times.append(time.perf_counter() - start)
    return float(np.median(times)) / batch_size
