"""What does the tutorial's network do with a dense layer per pixel: image to image?

The same network with the "regress" head gives images: here it removes the noise that
is added to MNIST digits.

    jdeconv train --config configs/tutorial_regress.py --workdir runs/tutorial_regress

Expected: see configs/results/tutorial_regress.json; about 3 minutes on 2 CPU cores.
Data: TFDS "mnist".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "mse"
    config.model.name = "conv_deconv"
    config.model.head = "regress"
    config.degrade.noise_std = 0.4
    config.degrade.clip = True
    config.data.source = "tfds:mnist"
    config.batch_size = 32
    config.duration = "2 epochs"
    config.accumulate = 4
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    return config.lock()
