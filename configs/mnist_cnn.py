"""How far does a small convolutional network get on MNIST in 10 epochs?

The yardstick beside the tutorial's network: three convolutions, batch norm, dropout,
55,090 parameters, shifts of up to 2 pixels as augmentation, one-cycle learning rate.

    jdeconv train --config configs/mnist_cnn.py --workdir runs/mnist_cnn

Expected: accuracy 99.3 % or more (see configs/results/mnist_cnn.json); about 5 minutes
on 2 CPU cores. Data: TFDS "mnist".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "classify"
    config.loss = "cross_entropy"
    config.model.name = "cnn"
    config.model.blocks = ((24,), (48, 48))
    config.model.dropout = 0.3
    config.data.source = "tfds:mnist"
    config.data.augment = "shift"
    config.batch_size = 32
    config.duration = "10 epochs"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "1 epochs"
    return config.lock()
