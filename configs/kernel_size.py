"""How to choose the kernel of a transposed convolution?

The tutorial's network with half its channels on MNIST, one epoch, for windows 2 to 7
and strides 1 to 3 of the transposed convolution. The argument names one cell of the
grid, WINDOWxSTRIDE:

    jdeconv train --config configs/kernel_size.py:4x2 --workdir runs/4x2

The whole grid, resumable; the second command adds the measure of the checkerboard and
the cost of each cell to the accuracy of the first:

    jdeconv sweep --config configs/kernel_size.py --workdir runs/kernel_size --seeds 3
    python -m benchmarks.kernel_size --workdir runs/kernel_size --seeds 3

Expected: docs/kernel_size.md and configs/results/kernel_size.json, which the last
command writes (three seeds: 54 runs of about half a minute on 2 CPU cores). Data: TFDS
"mnist".
"""

from jdeconv import train

WINDOWS = (2, 3, 4, 5, 6, 7)
STRIDES = (1, 2, 3)


def get_config(arg: str | None = None):
    """arg: WINDOWxSTRIDE, by default the tutorial's 3x2."""
    window, _, stride = (arg or "3x2").partition("x")
    if not (window.isdigit() and stride.isdigit()):
        raise ValueError(f"argument {arg!r}: must be WINDOWxSTRIDE, such as 4x2")
    config = train.default_config()
    config.task = "classify"
    config.loss = "cross_entropy"
    config.model.name = "conv_deconv"
    config.model.features = 16
    config.model.deconv_kernel_size = int(window)
    config.model.strides = int(stride)
    config.data.source = "tfds:mnist"
    config.batch_size = 32
    config.accumulate = 2
    config.duration = "1 epochs"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    return config.lock()


def sweep():
    """Every window with every stride, named as the argument names them."""
    return {
        f"{window}x{stride}": {
            "model.deconv_kernel_size": window,
            "model.strides": stride,
        }
        for stride in STRIDES
        for window in WINDOWS
    }
