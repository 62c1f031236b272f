"""Configs: the common fields, reading a file, and overriding fields by name."""

import ast
import difflib
import importlib.util
import inspect
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
from ml_collections import config_dict

from jdeconv import data, models
from jdeconv.train import optim


def default_config() -> ml_collections.ConfigDict:
    """The fields that every config has; only `model` takes new ones.

    - seed: of initial parameters, order of the data and all else that is random.
    - task: "classify", "reconstruct", "super_resolve", "segment", "generate",
      "vae_gan" or "variational".
    - loss: "cross_entropy"; "bce", "mse" or "l1"; "non_saturating", "wasserstein" or
      "hinge"; "cross_entropy", "dice" or "cross_entropy_dice"; "elbo".
    - label_smoothing: of classify.
    - model: `name`, and options of that network (see `jdeconv.models`).
    - data: see `jdeconv.data.default_config`; and `augment`, "none", "shift", "flip",
      "shift_flip" or "dihedral".
    - preprocess: the fields of `jdeconv.data.Preprocess`.
    - degrade: the fields of `jdeconv.data.Degrade`, for reconstruct.
    - generate: of that task: `discriminator_steps` per step, which share the batch;
      `learning_rate_factor`, the discriminator's learning rate over the generator's;
      `gradient_penalty`, of "wasserstein". Of vae_gan, too.
    - vae_gan: of that task: `gamma`, weight of likeness against deceit for the
      generator; `beta`, of the KL for the encoder.
    - segment: of that task: `crop`, height and width of windows cut at random from the
      training images, an int or a pair; None: whole images.
    - super_resolve: of that task: `margin`, the frame of each training patch that the
      loss leaves out, in pixels of the small image.
    - checkerboard: stride of the pattern that evaluation looks for in images made, see
      `jdeconv.checkerboard`; 0: none (for generate: 2).
    - variational: of that task: `beta`, the weight of the KL; `binarize`, "none",
      "dynamic" or "fixed"; `num_samples`, importance samples per image that
      `jdeconv evaluate` takes for the likelihood.
    - optimizer: see `jdeconv.train.optim`.
    - batch_size: over all devices. eval_batch_size: None is the same.
    - accumulate: microbatches that a batch is cut into, to save memory.
    - duration, eval_every, checkpoint_every: such as "10 epochs", "5000 steps",
      "1e6 examples"; the last two "0 steps" for at the end alone.
    - log_every: steps between two entries in metrics.jsonl.
    - keep: number of checkpoints kept, besides the best.
    - parallel: "jit" or "pmap".
    - dtype: to compute in, "float32" or "bfloat16"; parameters are float32.
    - ema_decay: of a moving average of the parameters, which is then what is
      evaluated; 0: none.
    - init_from: a workdir whose newest parameters to start from.
    """
    config = ml_collections.ConfigDict(
        {
            "seed": 0,
            "task": "classify",
            "loss": "cross_entropy",
            "label_smoothing": 0.0,
            "model": {"name": "conv_deconv"},
            "data": data.default_config(),
            "preprocess": {
                "size": config_dict.placeholder(object),
                "standardize": config_dict.placeholder(object),
                "range": (0.0, 1.0),
                "method": "linear",
            },
            "degrade": {
                "noise_std": config_dict.placeholder(object),
                "blur_sigma": 0.0,
                "clip": config_dict.placeholder(object),
                "exposure": config_dict.placeholder(object),
                "photons": config_dict.placeholder(float),
            },
            "generate": {
                "discriminator_steps": 1,
                "learning_rate_factor": 1.0,
                "gradient_penalty": 10.0,
            },
            "vae_gan": {"gamma": 0.01, "beta": 1.0},
            "segment": {"crop": config_dict.placeholder(object)},
            "super_resolve": {"margin": 1},
            "checkerboard": 0,
            "variational": {"beta": 1.0, "binarize": "none", "num_samples": 5000},
            "optimizer": optim.default_config(),
            "batch_size": 32,
            "eval_batch_size": config_dict.placeholder(int),
            "accumulate": 1,
            "duration": "10 epochs",
            "eval_every": "1 epochs",
            "checkpoint_every": "1 epochs",
            "log_every": 100,
            "keep": 2,
            "parallel": "jit",
            "dtype": "float32",
            "ema_decay": 0.0,
            "init_from": config_dict.placeholder(str),
        }
    )
    config.data.augment = "none"
    config.degrade.noise_std = 0.0
    config.degrade.clip = True
    config.lock()  # a misspelt field is an error, with the right one suggested
    config.model.unlock()
    return config


def read_config(
    spec: str, overrides: Mapping[str, str] | None = None
) -> ml_collections.ConfigDict:
    """The config of a file, with fields overridden, locked.

    Args:
      spec: "PATH.py" or "PATH.py:ARGUMENT"; the file's `get_config(ARGUMENT)` is
        called.
      overrides: text by dotted field, such as {"optimizer.learning_rate": "1e-4"}.

    Raises:
      FileNotFoundError: no such file.
      ValueError: no get_config in it, an argument that it does not take, an unknown
        field, or text that does not fit.
    """
    path, _, argument = spec.partition(":")
    module = load_config_file(path)
    if argument and not inspect.signature(module.get_config).parameters:
        raise ValueError(f"argument {argument!r}: config file {path!r} takes none")
    config = module.get_config(argument) if argument else module.get_config()
    if not isinstance(config, ml_collections.ConfigDict):
        raise TypeError(
            f"get_config of {path!r} returned a {type(config).__name__}: must be a "
            "ml_collections.ConfigDict"
        )
    overrides = dict(overrides or {})
    override(config, {k: overrides.pop(k) for k in ["model.name"] if k in overrides})
    complete(config.model)
    override(config, overrides)
    return config.lock()


def load_config_file(path: str) -> Any:
    """The module that a config file is.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is no Python file, or has no get_config.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"config file {path!r} does not exist")
    module_spec = importlib.util.spec_from_file_location("jdeconv_config", path)
    if module_spec is None or module_spec.loader is None:
        raise ValueError(f"config file {path!r}: must be a Python file, *.py")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ValueError(f"config file {path!r}: {error}") from None
    if not callable(getattr(module, "get_config", None)):
        raise ValueError(f"config file {path!r} has no function get_config(arg=None)")
    return module


def complete(model: ml_collections.ConfigDict) -> None:
    """Adds the network's options that a config leaves at their defaults.

    So each can be overridden, and the saved config says what it was.
    """
    with model.unlocked():
        for name, default in models.options(model.name).items():
            if name not in model:
                model[name] = config_dict.placeholder(object)
                if default is not None:
                    model[name] = default


def override(config: ml_collections.ConfigDict, fields: Mapping[str, str]) -> None:
    """Sets fields of a config from text, each by its present type.

    Args:
      config: changed in place.
      fields: text by dotted name.

    Raises:
      ValueError: an unknown field (with the nearest one), or text that is no value of
        the field's type.
    """
    for name, text in fields.items():
        *groups, last = name.split(".")
        group = config
        for depth, part in enumerate(groups):
            _check_field(config, group, part, name, groups[:depth])
            group = group[part]
            if not isinstance(group, ml_collections.ConfigDict):
                whole = ".".join(groups[: depth + 1])
                raise ValueError(f"config.{name}: config.{whole} has no fields")
        _check_field(config, group, last, name, groups)
        if isinstance(group.get(last), ml_collections.ConfigDict):
            inner = ", ".join(f"config.{name}.{key}" for key in group[last])
            raise ValueError(f"config.{name} is a group of fields: set {inner}")
        with group.unlocked():
            group[last] = _parse(f"config.{name}", text, group, last)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of nested dicts by dotted name.

    >>> flatten({"model": {"name": "cnn"}, "seed": 0})
    {'model.name': 'cnn', 'seed': 0}
    """
    leaves = {}
    for name, value in config.items():
        if isinstance(value, Mapping | ml_collections.ConfigDict):
            leaves.update(flatten(value, f"{prefix}{name}."))
        else:
            leaves[prefix + name] = value
    return leaves


def _check_field(config, group, part: str, name: str, groups: list[str]) -> None:
    if part in group:
        return
    prefix = "".join(f"{g}." for g in groups)
    near = difflib.get_close_matches(part, list(group), n=1)
    if near:
        hint = f"did you mean config.{prefix}{near[0]}?"
    else:
        # Perhaps the field is in another group: learning_rate for
        # optimizer.learning_rate.
        last = name.rsplit(".", 1)[-1]
        homes = [f for f in flatten(config) if f.rsplit(".", 1)[-1] == last]
        known = ", ".join(sorted(group))
        hint = f"did you mean config.{homes[0]}?" if homes else f"it has {known}"
    raise ValueError(f"config.{name}: there is no such field; {hint}")


def _parse(name: str, text: str, group: ml_collections.ConfigDict, field: str) -> Any:
    kind = group.get_type(field)
    if kind is str and not (group[field] is None and text in ("None", "none")):
        return text
    if kind is bool:
        if text.lower() in ("true", "1", "yes"):
            return True
        if text.lower() in ("false", "0", "no"):
            return False
        raise ValueError(f"{name}={text!r}: must be true or false")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)
    if kind in (tuple, list) and isinstance(value, tuple | list):
        value = kind(value)
    if value is None and group[field] is None:
        return None
    if kind in (object, type(None)):
        return value
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        example = {int: "8", float: "1e-3", tuple: "(8, 16)"}.get(kind)
        such = f", such as {example}" if example else ""
        raise ValueError(f"{name}={text!r}: must be {_TYPES.get(kind, kind)}{such}")
    return value


_TYPES = {int: "an int", float: "a float", tuple: "a tuple", str: "a string"}
