"""How far does the same small network get on Fashion-MNIST in 10 epochs?

As configs/mnist_cnn.py: three convolutions, batch norm, dropout, 87,274 parameters;
mirror images as augmentation, one-cycle learning rate.

    jdeconv train --config configs/fashion_cnn.py --workdir runs/fashion_cnn

Expected: accuracy 92.5 % or more (see configs/results/fashion_cnn.json); about 5
minutes on 2 CPU cores. Data: TFDS "fashion_mnist".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "classify"
    config.loss = "cross_entropy"
    config.model.name = "cnn"
    config.model.blocks = ((32,), (64, 64))
    config.model.dropout = 0.25
    config.data.source = "tfds:fashion_mnist"
    config.data.augment = "flip"
    config.batch_size = 32
    config.duration = "10 epochs"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "1 epochs"
    return config.lock()
