"""Evaluating a run, and using its trained network."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from jdeconv import data, models
from jdeconv.data import Loader
from jdeconv.metrics import Average
from jdeconv.tasks import Reconstruct, Segment, SuperResolve, Task, Variational
from jdeconv.tasks.reconstruct import in_network_units, takes_noise_std
from jdeconv.train import checkpoint, records, setup
from jdeconv.train.likelihood import negative_log_likelihood
from jdeconv.train.parallel import Parallel, make_parallel
from jdeconv.train.state import TrainState
from jdeconv.train.step import image_step

_NUM_PICTURES = 8


def evaluate_state(
    state: TrainState,
    parallel: Parallel,
    loader: Loader,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Average] | None:
    """Mean and standard error of each metric over a data set, each example once.

    Args:
      state: to evaluate.
      parallel: how to run.
      loader: of the data set.
      stop: asked before each batch.

    Returns:
      Averages by metric, "loss" among them; None if stopped.
    """
    averages: dict[str, Average] = {}
    collected: dict[str, list[np.ndarray]] = {n: [] for n in state.task.collected}
    pending: Any = None
    local = loader.batch_size // jax.process_count()
    first_row = jax.process_index() * local
    for n, batch in enumerate(loader.epoch_batches()):
        if stop():
            return None
        first = n * loader.batch_size + first_row
        batch["index"] = np.arange(first, first + local, dtype=np.int32)
        metrics = parallel.eval_step(state, parallel.put_batch(batch))
        # Of the batch before: the devices need not wait.
        _merge(averages, collected, pending)
        pending = metrics
    _merge(averages, collected, pending)
    whole = {name: np.concatenate(parts) for name, parts in collected.items()}
    return averages | state.task.measure(whole)


def _merge(averages: dict[str, Average], collected: dict, metrics: Any) -> None:
    if metrics is None:
        return
    values = jax.device_get(metrics)
    weight = values.pop("weight")
    for name, parts in collected.items():
        parts.append(values.pop(name)[weight > 0])
    for name, value in values.items():
        before = averages.get(name, Average())
        averages[name] = before.merge(Average.of(value, weight))


def summary(averages: dict[str, Average], split: str = "test") -> dict[str, float]:
    """Means as "test/NAME", and standard errors as "test/NAME_sem"."""
    means: dict[str, float] = {}
    for name, average in averages.items():
        means[f"{split}/{name}"] = average.mean
        means[f"{split}/{name}_sem"] = average.standard_error
    return means


def pictures(state: TrainState, parallel: Parallel, source: data.Source) -> np.ndarray:
    """A figure, uint8 `[H, W, 3]`, of what the network makes of some images.

    Args:
      state: of the run.
      parallel: how it runs.
      source: of the images; eight of them, evenly spaced, are shown.
    """
    count = min(_NUM_PICTURES, len(source))
    index = np.arange(count) * len(source) // count
    examples = source.read(index.tolist())
    batch = {k: np.stack([e[k] for e in examples]) for k in examples[0]}
    batch["index"] = index.astype(np.int32)
    batch = jax.device_put(batch, parallel.replicated)
    shown = jax.device_get(jax.jit(image_step)(state, batch))
    return state.task.figure(shown)


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A trained network with what is needed to use it.

    Attributes:
      model: in eval mode, with the parameters that evaluation uses.
      config: of the run, locked.
      task: what it has learned.
      step: of the checkpoint.
      image_shape: (H, W, C) of the images the network was trained on.
      class_names: of what it tells apart, if it does, else ().
    """

    model: nnx.Module
    config: ml_collections.ConfigDict
    task: Task
    step: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]

    def apply(
        self,
        images: Array,
        size: tuple[int, int] | None = None,
        *,
        noise_std: ArrayLike | None = None,
    ) -> Array:
        """inverse(network(preprocess(images))), or what it says of their classes.

        Args:
          images: `[B, H, W, C]`, uint8, uint16 or floating.
          size: (height, width) that the network sees; None: that of the images.
          noise_std: of the images' noise, where 1 is white, one or one per image; for
            networks that are told it, such as FFDNet. None: they estimate it.

        Returns:
          Images of the shape and type of `images` (for super-resolution `scale` times
          as high and wide); or the probabilities of the classes, `[B, K]`; or the class
          of each pixel, uint8 `[B, H, W]`.

        Raises:
          ValueError: a network that is not told the noise, and noise_std.
        """
        preprocess = dataclasses.replace(self.task.preprocess, size=size)
        x, info = preprocess.forward(images)
        model: Any = self.model
        if noise_std is not None:
            if not takes_noise_std(model):
                name = self.config.model.name
                raise ValueError(
                    f"noise_std={noise_std}: the network {name!r} is not told the noise"
                )
            std = jnp.broadcast_to(jnp.asarray(noise_std, x.dtype), len(x))
            std = in_network_units(std, preprocess, info)
            model = functools.partial(model, noise_std=std)
        result = self.task.predict(model, x)
        if self.task.output == "logits":
            return result
        if isinstance(self.task, Segment):
            return self.task.labels(result, info.size)
        if isinstance(self.task, SuperResolve):
            height, width = (n * self.task.scale for n in info.size)
            info = dataclasses.replace(info, size=(height, width))
        return preprocess.inverse(result, info)

    def self_ensemble(self) -> "TrainedRun":
        """The same run with its network's mean over flips and quarter turns.

        See `models.SelfEnsemble`: eight times the time.

        Raises:
          ValueError: a network that does not return an image for an image, or classes
            of its pixels.
        """
        if not isinstance(self.task, (Reconstruct, Segment, SuperResolve)):
            raise ValueError(
                f"task {self.config.task!r} has no self-ensemble: only 'reconstruct', "
                "'segment' and 'super_resolve', of images as they are, have"
            )
        return dataclasses.replace(self, model=models.SelfEnsemble(self.model))


def load_run(
    folder: str | os.PathLike, which: str = "best", *, dtype: str | None = None
) -> TrainedRun:
    """The trained network of a workdir; the data it was trained on is not needed.

    Args:
      folder: workdir of the run.
      which: "best" or "latest".
      dtype: to compute in; None: as in training. The parameters are float32 in any
        case, so what was trained in bfloat16 on a GPU may be used in "float32".

    Raises:
      FileNotFoundError: folder holds no run, or no checkpoint.
      ValueError: its checkpoints cannot be read, or an unknown dtype.
    """
    config, source = records.read_run(folder)
    if dtype is not None:
        with config.unlocked():
            config.dtype = dtype
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = setup.abstract_state(config, source)
    state, step = _restore(folder, which, abstract, device, ("model",))
    model = nnx.merge(state.graphdef, state.eval_params, state.model_state)
    model.eval()
    return TrainedRun(
        model=model,
        config=config,
        task=state.task,
        step=step,
        image_shape=setup.network_shape(state.task, source),
        class_names=class_names(source),
    )


def class_names(source: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes of a described data set; () where it has none."""
    names = source["class_names"] or range(source["num_classes"] or 0)
    return tuple(str(name) for name in names)


def load_model(
    folder: str | os.PathLike, which: str = "best"
) -> tuple[nnx.Module, ml_collections.ConfigDict, Task]:
    """The trained network of a workdir in eval mode, its config, and its task.

    Args:
      folder: workdir of the run.
      which: "best" or "latest".

    Raises:
      FileNotFoundError: folder holds no run, or no checkpoint.
      ValueError: its checkpoints cannot be read.
    """
    run = load_run(folder, which)
    return run.model, run.config, run.task


def evaluate(
    folder: str | os.PathLike,
    *,
    which: str = "best",
    split: str = "test",
    figure: str | os.PathLike | None = None,
    samples: int | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """Evaluates the trained network of a workdir on all examples of a split.

    Of a VAE of binary images it also estimates the negative log-likelihood, "nll", see
    `jdeconv.train.likelihood`, and keeps it in the workdir, in likelihood.json: it may
    have taken hours.

    Args:
      folder: workdir of the run.
      which: "best" or "latest" checkpoint.
      split: "test", "train", or another split of the data set.
      figure: where to write a picture of some examples.
      samples: importance samples per image for "nll"; 0: it is left out; None:
        config.variational.num_samples.
      progress: whether to show a progress bar for it.

    Returns:
      The mean of each metric as "SPLIT/NAME", such as "test/accuracy", and its
      standard error as "SPLIT/NAME_sem"; "examples", their number, and "step", of the
      checkpoint.

    Raises:
      FileNotFoundError: folder holds no run or no checkpoint, or the data is missing.
      ValueError: the checkpoints cannot be read, there is no such split, or samples are
        asked for where there is no likelihood.
    """
    config, described = records.read_run(folder)
    samples = _num_samples(config, setup.build_task(config, described), samples)
    parallel = make_parallel(config.parallel)
    source = data.load_source(config.data, split, seed=config.seed)
    loader = make_eval_loader(config, source, parallel)
    abstract = setup.abstract_state(config, described, parallel.axis_name)
    state, step = _restore(
        folder, which, abstract, parallel.replicated, ("model", "training")
    )
    averages = evaluate_state(state, parallel, loader)
    assert averages is not None
    if samples:
        nll = negative_log_likelihood(
            state, parallel, loader, num_samples=samples, progress=progress
        )
        averages["nll"] = nll
        kept = {"split": split, "step": step, "num_samples": samples}
        kept |= {"examples": len(source), **summary({"nll": nll}, split)}
        records.write_json(pathlib.Path(folder) / "likelihood.json", kept)
    if figure is not None:
        data.write_image(figure, pictures(state, parallel, source))
    return {**summary(averages, split), "examples": len(source), "step": step}


def _num_samples(config: ml_collections.ConfigDict, task: Task, given: int | None):
    if isinstance(task, Variational) and task.binarize != "none":
        return config.variational.num_samples if given is None else given
    if given:
        raise ValueError(
            f"samples={given}: only task 'variational' with variational.binarize "
            "'dynamic' or 'fixed' has a likelihood to estimate"
        )
    return 0


def make_eval_loader(
    config: ml_collections.ConfigDict, source: data.Source, parallel: Parallel
) -> Loader:
    """The loader for evaluation, in batches of config.eval_batch_size."""
    size = config.eval_batch_size or config.batch_size
    name = "eval_batch_size" if config.eval_batch_size else "batch_size"
    parallel.check_batch_size(name, size)
    return Loader(
        source,
        batch_size=size,
        seed=config.seed,
        shuffle=False,
        cache_bytes=config.data.cache_bytes,
        num_workers=config.data.num_workers,
    )


def _restore(folder, which: str, abstract: TrainState, sharding, parts):
    found = checkpoint.restore(folder, abstract, sharding, kind=which, parts=parts)
    if found is None:
        raise FileNotFoundError(f"workdir {os.fspath(folder)!r} has no checkpoint yet")
    return found.state, found.step
