"""Networks, one architecture per file, and `build`, which makes one from a config.

Every class takes `(image_shape, *, num_classes=None, ..., dtype=None, rngs)` and every
network takes images `[batch, H, W, C]`: it returns logits `[batch, num_classes]`, an
image of exactly the size it received (`scale` times as large for super-resolution), or
logits for each pixel of it, `[batch, H, W, num_classes]`. `output` says which:
"logits", "image" or "labels". What is random in training comes from `key=`, one PRNG
key per example. A network with a `condition` takes one more number per image under that
name, such as `noise_std`. `DCGAN` is two networks in one: it takes latent vectors and
makes images.

`load` gives a trained one of those that `published()` names. `SelfEnsemble` is the mean
of one over the symmetries of the square. `summary`, `project` and `top_patches` look
inside any of them.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from flax import nnx
from jax.typing import DTypeLike

from jdeconv.models.autoencoder import Autoencoder
from jdeconv.models.cnn import CNN
from jdeconv.models.dcgan import DCGAN
from jdeconv.models.decoder import Decoder
from jdeconv.models.deconvnet import project
from jdeconv.models.dncnn import DnCNN
from jdeconv.models.encoder import Encoder
from jdeconv.models.espcn import ESPCN
from jdeconv.models.fcn import FCN
from jdeconv.models.ffdnet import FFDNet
from jdeconv.models.fsrcnn import FSRCNN
from jdeconv.models.once import draw
from jdeconv.models.published import load, model_card, published
from jdeconv.models.segnet import SegNet
from jdeconv.models.self_ensemble import SelfEnsemble
from jdeconv.models.summary import summary
from jdeconv.models.tap import layer_names, layer_output
from jdeconv.models.top_patches import receptive_fields, strongest, top_patches
from jdeconv.models.tutorial import ConvDeconvNet
from jdeconv.models.unet import UNet
from jdeconv.models.vae import VAE
from jdeconv.models.vae_gan import VAEGAN

__all__ = [
    "CNN",
    "DCGAN",
    "ESPCN",
    "FCN",
    "FSRCNN",
    "VAE",
    "VAEGAN",
    "Autoencoder",
    "ConvDeconvNet",
    "Decoder",
    "DnCNN",
    "Encoder",
    "FFDNet",
    "SegNet",
    "SelfEnsemble",
    "UNet",
    "build",
    "layer_names",
    "layer_output",
    "load",
    "model_card",
    "options",
    "project",
    "published",
    "receptive_fields",
    "strongest",
    "summary",
    "top_patches",
]

_BY_NAME: dict[str, Any] = {
    "autoencoder": Autoencoder,
    "cnn": CNN,
    "conv_deconv": ConvDeconvNet,
    "dcgan": DCGAN,
    "fcn": FCN,
    "segnet": SegNet,
    "unet": UNet,
    "dncnn": DnCNN,
    "espcn": ESPCN,
    "ffdnet": FFDNet,
    "fsrcnn": FSRCNN,
    "vae": VAE,
    "vae_gan": VAEGAN,
}


def build(
    config: Mapping,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int | None = None,
    dtype: DTypeLike | None = None,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """The network that a config describes.

    Its parameters are drawn in one program, which is kept for the next network like it:
    drawn one by one, as the class by itself does, most of the time is compiling.

    Args:
      config: `name`, and any options of that network's class.
      image_shape: (H, W, C) of the images it is trained on.
      num_classes: of a labelled data set, else None.
      dtype: type to compute in; parameters are float32.
      rngs: NNX random streams.

    Raises:
      ValueError: an unknown name or option; the message lists the known ones.
    """
    given = dict(config)
    name = given.pop("name", None)
    known = options(name)
    for option in given:
        if option not in known:
            raise ValueError(
                f"config.model.{option}: the network {name!r} has no such option, "
                f"only {', '.join(sorted(known))}"
            )
    fixed = {"image_shape": tuple(image_shape), "num_classes": num_classes}
    return draw(_BY_NAME[name], {**fixed, "dtype": dtype, **given}, rngs)


def options(name: str) -> dict[str, Any]:
    """The options of a network, with their defaults.

    Args:
      name: as `config.model.name`.

    Raises:
      ValueError: an unknown name; the message lists the known ones.

    >>> options("cnn")["dropout"]
    0.25
    """
    if name not in _BY_NAME:
        raise ValueError(
            f"config.model.name={name!r}: must be one of {', '.join(_BY_NAME)}"
        )
    parameters = inspect.signature(_BY_NAME[name].__init__).parameters
    not_options = ("self", "image_shape", "num_classes", "dtype", "rngs")
    return {n: p.default for n, p in parameters.items() if n not in not_options}
