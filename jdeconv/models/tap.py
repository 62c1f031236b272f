"""What the layers of a network receive and return, for any Flax NNX network."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flax import nnx
from jax import Array


class Call(NamedTuple):
    """One call of a module.

    name: the module's place in the network, "" for the network itself.
    module: of the copy that `tap` made.
    args, kwargs: received.
    output: returned.
    innermost: whether it called no other module.
    """

    name: str
    module: nnx.Module
    args: tuple
    kwargs: dict
    output: Any
    innermost: bool


Watch = Callable[[Call], None]


def tap(model: nnx.Module, watch: Watch) -> nnx.Module:
    """A copy of a network, in evaluation mode, that reports every call of a module.

    The modules of the copy get a subclass of their class, whose call is the original
    followed by the report: the model given, its classes and other threads see nothing.

    Args:
      model: any NNX network.
      watch: receives every call when it is over, the inner modules first. Under a
        transformation its arrays are tracers.

    Returns:
      The copy; it shares no parameter with the model.
    """
    copy = nnx.clone(model)
    copy.eval()
    calls = [0]

    def count(call: Call) -> None:
        calls[0] += 1
        watch(call)

    # Collected first: what is changed must not be walked.
    for path, module in list(nnx.iter_modules(copy)):
        name = ".".join(map(str, path))
        if callable(module):
            object.__setattr__(
                module, "__class__", _reporting(module, name, count, calls)
            )
    return copy


def _reporting(module: nnx.Module, name: str, watch: Watch, calls: list) -> type:
    original = type(module)

    class Reporting(original):  # type: ignore[valid-type, misc]
        def __call__(self, *args, **kwargs):
            before = calls[0]
            output = super().__call__(*args, **kwargs)
            watch(Call(name, self, args, kwargs, output, calls[0] == before))
            return output

    Reporting.__name__, Reporting.__qualname__ = (original.__name__,) * 2
    return Reporting


def layer_names(model: nnx.Module) -> tuple[str, ...]:
    """The names of all modules that can be called: their places in the network.

    Args:
      model: any NNX network.

    >>> from jdeconv import models
    >>> layer_names(models.CNN((8, 8, 1), num_classes=3, rngs=nnx.Rngs(0)))[:3]
    ('dense', 'dropout', 'layers.0.0')
    """
    return tuple(
        ".".join(map(str, path))
        for path, module in nnx.iter_modules(model)
        if path and callable(module)
    )


def layer_output(model: nnx.Module, name: str) -> Callable[[Array], Array]:
    """The network up to one of its layers, as a function.

    The network is in evaluation mode (batch norm by its running averages, no dropout)
    and as it is now: later training does not change the function. Compiled by
    `jax.jit`, the layers above are not computed.

    Args:
      model: any NNX network that takes images alone.
      name: of the layer, one of `layer_names(model)`.

    Returns:
      A function from images to what that layer returns, before any ReLU that follows.

    Raises:
      ValueError: an unknown name; the message lists the known ones. When called: a
        layer that is not called once, so that "its output" is none or several.

    >>> import jax.numpy as jnp
    >>> from jdeconv import models
    >>> model = models.CNN((8, 8, 1), num_classes=3, rngs=nnx.Rngs(0))
    >>> layer_output(model, "layers.1.0")(jnp.ones((2, 8, 8, 1))).shape
    (2, 4, 4, 64)
    """
    if name not in layer_names(model):
        raise ValueError(
            f"name={name!r}: must be one of {', '.join(layer_names(model))}"
        )

    # Tapped once per call: two traces at a time must not share a list of outputs.
    frozen = nnx.clone(model)

    def features(x: Array) -> Array:
        outputs = []

        def watch(call):
            if call.name == name:
                outputs.append(call.output)

        tap(frozen, watch)(x)  # type: ignore[operator]
        if len(outputs) != 1:
            raise ValueError(
                f"name={name!r}: this layer is called {len(outputs)} times for one "
                "image, and must be called once"
            )
        return outputs[0]

    return features
