"""Trained weights in one file, and `load`, which makes the network that they are of.

    jdeconv/models/weights/NAME.npz    what was published with this version
    jdeconv/models/weights/NAME.md     its model card: data, metrics, limits, licence

A file is a plain .npz: each variable of the network by its dotted path, float32, and
"about", a JSON text with all that building the network takes: the config of its run,
the size of its images and its number of classes. `train.save_weights` writes one.
"""

import difflib
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import nnx

FORMAT = 1
FOLDER = pathlib.Path(__file__).with_name("weights")

_ABOUT = "about"


def published() -> tuple[str, ...]:
    """The names that `load` knows.

    >>> "mnist_cnn" in published()
    True
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))


def load(name: str | os.PathLike) -> nnx.Module:
    """A trained network, with its weights, in evaluation mode.

    What it takes and gives is preprocessed: the model card says how. For images as they
    come from files there is `jdeconv.train.load_published`, which has the preprocessing
    and its inverse.

    Args:
      name: one of `published()`, or the path of a file that `train.save_weights` wrote:
        what ends in ".npz".

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: an unknown name, a file that is none of ours, or arrays that are not
        those of the network; the message names them.

    >>> import jax.numpy as jnp
    >>> load("mnist_cnn")(jnp.zeros((1, 28, 28, 1))).shape
    (1, 10)
    """
    about, arrays = read_weights(name)
    return _filled(name, abstract_model(about), arrays)


def model_card(name: str) -> str:
    """The model card of a published network, Markdown.

    Raises:
      ValueError: an unknown name; the message lists the known ones.
    """
    return _path(name).with_suffix(".md").read_text()


def read_weights(
    name: str | os.PathLike,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file of weights says of its network, and the arrays by dotted path.

    Args:
      name: as for `load`.

    Raises:
      FileNotFoundError, ValueError: see `load`.
    """
    path = _path(name)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
            about = json.loads(str(arrays.pop(_ABOUT)))
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no weights of a network, or is damaged "
            f"({type(error).__name__}: {error})"
        ) from None
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{path} is of format {about.get('format')!r}: this version of jdeconv "
            f"reads {FORMAT}"
        )
    return without_lists(about), arrays


def npz_arrays(model: nnx.Module, about: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What a file of weights holds, by name.

    Args:
      model: with the variables to keep.
      about: JSON; "config" of the run, of which "model" and "dtype" are needed here,
        "image_shape" of what the network sees, and "source" with "num_classes".
    """
    arrays = {name: np.asarray(v[...]) for name, v in variables(model).items()}
    text = json.dumps({"format": FORMAT, **about}, sort_keys=True)
    return {**arrays, _ABOUT: np.array(text)}


def variables(model: nnx.Module) -> dict[str, nnx.Variable]:
    """The variables of a network by dotted path, such as "convs.0.kernel"."""
    flat = nnx.to_flat_state(nnx.state(model))
    return {".".join(map(str, path)): variable for path, variable in flat}


def abstract_model(about: Mapping[str, Any]) -> nnx.Module:
    """The network that a file describes, with shapes in place of arrays."""
    from jdeconv.models import build

    return nnx.eval_shape(
        lambda: build(
            about["config"]["model"],
            image_shape=about["image_shape"],
            num_classes=about["source"]["num_classes"],
            dtype=about["config"]["dtype"],
            rngs=nnx.Rngs(0),
        )
    )


def without_lists(value: Any) -> Any:
    """JSON with tuples for its lists: JSON has no tuples, and configs have no lists."""
    if isinstance(value, dict):
        return {name: without_lists(v) for name, v in value.items()}
    return tuple(map(without_lists, value)) if isinstance(value, list) else value


def _filled(name, model: nnx.Module, arrays: Mapping[str, np.ndarray]) -> nnx.Module:
    import jax.numpy as jnp

    wanted = {n: (v.shape, str(v.dtype)) for n, v in variables(model).items()}
    found = {n: (a.shape, str(a.dtype)) for n, a in arrays.items()}
    if wanted != found:

        def said(kind):
            return "absent" if kind is None else f"{kind[1]} {kind[0]}"

        differing = [
            f"{n} is {said(found.get(n))} and should be {said(wanted.get(n))}"
            for n in sorted(wanted.keys() | found.keys())
            if wanted.get(n) != found.get(n)
        ]
        more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise ValueError(
            f"weights {os.fspath(name)!r} are not those of their network: "
            f"{'; '.join(differing[:5])}{more}"
        )
    graphdef, state = nnx.split(model)
    flat = [
        (path, variable.replace(jnp.asarray(arrays[".".join(map(str, path))])))
        for path, variable in nnx.to_flat_state(state)
    ]
    model = nnx.merge(graphdef, nnx.from_flat_state(flat))
    model.eval()
    return model


def _path(name: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(name)
    if path.suffix == ".npz":
        if not path.is_file():
            raise FileNotFoundError(f"there is no file of weights {str(path)!r}")
        return path
    if str(name) not in published():
        near = difflib.get_close_matches(str(name), published(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"no weights {str(name)!r} are published: {hint}There are "
            f"{', '.join(published())}; files of your own end in .npz"
        )
    return FOLDER / f"{name}.npz"
