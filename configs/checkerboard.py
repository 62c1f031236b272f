"""Which way of upsampling makes a checkerboard, at the start and after training?

A narrow DCGAN on Fashion-MNIST at 32 x 32, whose generator doubles the grid three
times. The argument names how:

    transposed3     transposed convolution, window 3, stride 2: 4 to 1 on all ones
    transposed4     transposed convolution, window 4, stride 2: even
    subpixel        sub-pixel convolution, starting as ICNR says
    subpixel_plain  sub-pixel convolution, starting at random
    resize          nearest-neighbour interpolation, then a convolution

    jdeconv train --config configs/checkerboard.py:resize --workdir runs/resize

All five, resumable; the second command adds what patterns their images have, before
and after training, and draws them:

    jdeconv sweep --config configs/checkerboard.py --workdir runs/checkerboard
    python -m benchmarks.checkerboard --workdir runs/checkerboard

Expected: docs/checkerboard.md and configs/results/checkerboard.json, which the last
command writes. Data: TFDS "fashion_mnist".
"""

from jdeconv import train

VARIANTS = {
    "transposed3": ("conv_transpose", 3),
    "transposed4": ("conv_transpose", 4),
    "subpixel": ("subpixel", 3),
    "subpixel_plain": ("subpixel_plain", 3),
    "resize": ("resize", 3),
}


def get_config(arg: str | None = None):
    """arg: one of VARIANTS, by default "transposed4"."""
    arg = arg or "transposed4"
    if arg not in VARIANTS:
        raise ValueError(f"argument {arg!r}: must be one of {', '.join(VARIANTS)}")
    config = train.default_config()
    config.task = "generate"
    config.loss = "non_saturating"
    config.model.name = "dcgan"
    config.model.width = 16
    config.model.upsample, config.model.kernel_size = VARIANTS[arg]
    config.data.source = "tfds:fashion_mnist"
    config.data.test_split = "test[:2000]"
    config.preprocess.size = (32, 32)
    config.preprocess.range = (-1.0, 1.0)
    config.checkerboard = 2
    config.batch_size = 128
    config.optimizer.learning_rate = 2e-4
    config.optimizer.beta1 = 0.5
    config.duration = "1000 steps"
    config.ema_decay = 0.99
    config.log_every = 50
    config.eval_every = "500 steps"
    config.checkpoint_every = "500 steps"
    return config.lock()


def sweep():
    """The ways to upsample, by name."""
    return {
        name: {"model.upsample": upsample, "model.kernel_size": window}
        for name, (upsample, window) in VARIANTS.items()
    }
