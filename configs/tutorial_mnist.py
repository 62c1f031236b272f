"""Does the tutorial's network, conv -> transposed conv -> dense, learn MNIST?

As the tutorial describes it: Adam, cross-entropy, 10 epochs of batch 32.

    jdeconv train --config configs/tutorial_mnist.py --workdir runs/tutorial_mnist

Expected: accuracy 98.5 % or more (see configs/results/tutorial_mnist.json); about 10
minutes on 2 CPU cores. Data: TFDS "mnist".

How wide must it be? A table and a plot over its channels, shorter if you add
--config.duration="1 epochs":

    jdeconv sweep --config configs/tutorial_mnist.py --workdir runs/tutorial_width
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "classify"
    config.loss = "cross_entropy"
    config.model.name = "conv_deconv"
    config.model.head = "classify"
    config.data.source = "tfds:mnist"
    config.batch_size = 32
    config.duration = "10 epochs"
    # Micro-batches that stay in the CPU's caches; set it to 1 on a GPU or TPU.
    config.accumulate = 4
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    return config.lock()


def sweep():
    """Channels of both layers."""
    for features in (4, 8, 16, 32, 64):
        yield {"model.features": features}
