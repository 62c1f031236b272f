"""Deconvolution for JAX, in both senses of the word.

Transposed convolution (`ops`, `nn`, `models`) is the adjoint of convolution; image
deconvolution solves the inverse problem. `train` and `cli` run the networks. The parts
are imported when they are first used: `jdeconv.ops.conv_transpose` just works.
"""

import importlib

__version__ = "0.1.0"

_PARTS = (
    *("checkerboard", "cli", "data", "figures", "generative_metrics", "metrics"),
    *("models", "nn", "ops", "restore", "segmentation_metrics", "tasks", "train"),
)


def __getattr__(name: str):
    if name in _PARTS:
        return importlib.import_module(f"jdeconv.{name}")
    raise AttributeError(f"module 'jdeconv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PARTS])
