"""How well do two transposed convolutions reconstruct MNIST?

The network of Keras' example "Convolutional autoencoder for image denoising": 28,353
parameters, Adam, binary cross-entropy, 50 epochs of batch 128.

    jdeconv train --config configs/autoencoder_mnist.py --workdir runs/autoencoder_mnist

Variants, as argument (`configs/autoencoder_mnist.py:tied`): "resize" and "subpixel"
upsample by other means, "tied" uses the encoder's kernels in the decoder.

Expected: validation BCE 0.0648 after 10 epochs and 0.0622 after 50, what Keras reports
(see configs/results/autoencoder_mnist.json); about 20 minutes on 2 CPU cores. Data:
TFDS "mnist".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """arg: None, "resize", "subpixel" or "tied"."""
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "bce"
    config.model.name = "autoencoder"
    config.model.features = (32, 32)
    config.data.source = "tfds:mnist"
    config.batch_size = 128
    config.duration = "50 epochs"
    # Micro-batches that stay in the CPU's caches; set it to 1 on a GPU or TPU.
    config.accumulate = 4
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    if arg == "tied":
        config.model.downsample = "stride"
        config.model.tied = True
    elif arg in ("resize", "subpixel"):
        config.model.upsample = arg
    elif arg is not None:
        raise ValueError(f"argument {arg!r}: must be resize, subpixel or tied")
    return config.lock()
