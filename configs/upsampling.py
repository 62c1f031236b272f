"""Is a transposed convolution cheaper than the other ways to upsample, and as good?

The autoencoder of configs/autoencoder_mnist.py on Fashion-MNIST, two epochs. What
doubles the grid in its decoder varies, from 32 channels to 32; all else is the same.

    transposed3  transposed convolution, window 3, stride 2
    transposed4  window 4, which the stride divides: no checkerboard to begin with
    transposed6  window 6: as many multiply-adds as the last two
    subpixel3    convolution of window 3 to 4 times the channels, rearranged
    resize3      nearest-neighbour interpolation, then a convolution of window 3

One of them, and all of them, resumable:

    jdeconv train --config configs/upsampling.py:resize3 --workdir runs/resize3
    jdeconv sweep --config configs/upsampling.py --workdir runs/upsampling --seeds 3

With parameters, multiply-adds and times beside the losses, which takes up the same
runs:

    python -m benchmarks.upsampling --workdir runs/upsampling --seeds 3

Expected: docs/upsampling.md and configs/results/upsampling.json, which the last command
writes; about 4 minutes a run on 2 CPU cores with other work to do. Data: TFDS
"fashion_mnist".
"""

from jdeconv import train

VARIANTS = {
    "transposed3": ("conv_transpose", 3),
    "transposed4": ("conv_transpose", 4),
    "transposed6": ("conv_transpose", 6),
    "subpixel3": ("subpixel", 3),
    "resize3": ("resize", 3),
}


def get_config(arg: str | None = None):
    """arg: one of VARIANTS, by default "transposed3"."""
    arg = arg or "transposed3"
    if arg not in VARIANTS:
        raise ValueError(f"argument {arg!r}: must be one of {', '.join(VARIANTS)}")
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "bce"
    config.model.name = "autoencoder"
    config.model.features = (32, 32)
    config.model.upsample, config.model.upsample_kernel_size = VARIANTS[arg]
    config.data.source = "tfds:fashion_mnist"
    config.checkerboard = 2
    config.batch_size = 128
    config.accumulate = 4
    config.duration = "2 epochs"
    config.checkpoint_every = "200 steps"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    return config.lock()


def sweep():
    """The ways to upsample, by name."""
    return {
        name: {"model.upsample": upsample, "model.upsample_kernel_size": window}
        for name, (upsample, window) in VARIANTS.items()
    }
