"""What is learned: loss, metrics and pictures per task, and `build`."""

from typing import Any

from jdeconv.data import Degrade, Preprocess
from jdeconv.tasks.base import Task
from jdeconv.tasks.classify import Classify
from jdeconv.tasks.generate import Generate
from jdeconv.tasks.reconstruct import Reconstruct
from jdeconv.tasks.segment import Segment
from jdeconv.tasks.super_resolve import SuperResolve
from jdeconv.tasks.vae_gan import VaeGan
from jdeconv.tasks.variational import Variational

__all__ = [
    "Classify",
    "Generate",
    "Reconstruct",
    "Segment",
    "SuperResolve",
    "Task",
    "VaeGan",
    "Variational",
    "build",
]


def build(
    config: Any, image_shape: tuple[int, int, int], num_classes: int | None = None
) -> Task:
    """The task that a config describes.

    Args:
      config: a ConfigDict with the fields of `train.default_config`.
      image_shape: (H, W, C) of the stored images.
      num_classes: of a labelled data set, else None.

    Raises:
      ValueError: an unknown task or loss, or one that does not fit the data.
    """
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(f"image_shape={image_shape}: must be (H, W, C)")
    preprocess = Preprocess(**config.preprocess)
    augment = config.data.augment
    if config.task == "segment":
        if not num_classes or config.data.get("mask") is None:
            raise ValueError(
                f"task 'segment' needs masks, and {config.data.source!r} has none: "
                "data.mask names them"
            )
        names = config.data.get("mask_names")
        return Segment(
            preprocess,
            augment,
            num_classes,
            config.loss,
            None if names is None else tuple(names),
            config.segment.crop,
        )
    if config.task == "classify":
        if config.loss != "cross_entropy":
            raise ValueError(
                f"loss={config.loss!r}: task 'classify' has 'cross_entropy' alone"
            )
        if not num_classes or config.data.get("mask") is not None:
            raise ValueError(
                f"task 'classify' needs labels, and {config.data.source!r} has "
                f"{'masks' if num_classes else 'none'}"
            )
        return Classify(preprocess, augment, num_classes, config.label_smoothing)
    if config.task == "reconstruct":
        degrade = Degrade(**config.degrade)
        return Reconstruct(
            preprocess, augment, config.loss, degrade, config.checkerboard
        )
    if config.task == "super_resolve":
        if "scale" not in config.model:
            raise ValueError(
                f"task 'super_resolve' needs a network with model.scale, such as "
                f"'fsrcnn' or 'espcn'; {config.model.name!r} has none"
            )
        return SuperResolve(
            preprocess,
            augment,
            config.loss,
            config.model.scale,
            config.super_resolve.margin,
        )
    if config.task in ("generate", "vae_gan"):
        turns = config.generate.discriminator_steps
        if turns > 0 and config.batch_size % (turns * config.accumulate):
            raise ValueError(
                f"batch_size={config.batch_size}: must be a multiple of {turns} "
                f"(generate.discriminator_steps) x {config.accumulate} (accumulate): "
                "the discriminator's turns share the batch"
            )
        size = preprocess.size if isinstance(preprocess.size, tuple) else image_shape
        if min(size[:2]) < 16:
            raise ValueError(
                f"images of {size[0]} x {size[1]}: task {config.task!r} measures its "
                "images at 16 x 16 and above; set preprocess.size"
            )
        kind, options = Generate, dict(config.generate)
        if config.task == "vae_gan":
            kind, options = VaeGan, options | dict(config.vae_gan)
        return kind(
            preprocess,
            augment,
            config.loss,
            checkerboard=config.checkerboard or 2,
            **options,
        )
    if config.task == "variational":
        if config.loss != "elbo":
            raise ValueError(
                f"loss={config.loss!r}: task 'variational' has 'elbo' alone"
            )
        options = config.variational
        return Variational(preprocess, augment, options.beta, options.binarize)
    raise ValueError(
        f"task={config.task!r}: must be 'classify', 'reconstruct', 'super_resolve', "
        "'segment', 'generate', 'vae_gan' or 'variational'"
    )
