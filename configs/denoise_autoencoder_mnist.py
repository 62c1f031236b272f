"""How well does the same autoencoder remove noise?

The second half of Keras' example: the autoencoder that was trained to reproduce its
input goes on for 100 epochs from noisy images (standard deviation 0.4, clipped) to
clean ones.

    jdeconv train --config configs/autoencoder_mnist.py --workdir runs/autoencoder_mnist
    jdeconv train --config configs/denoise_autoencoder_mnist.py \\
        --config.init_from=runs/autoencoder_mnist \\
        --workdir runs/denoise_autoencoder_mnist

Expected: validation BCE 0.0837 (Keras reports 0.0839), in 42 minutes on 2 CPU cores.
Data: TFDS "mnist".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "bce"
    config.model.name = "autoencoder"
    config.model.features = (32, 32)
    config.degrade.noise_std = 0.4
    config.degrade.clip = True
    config.data.source = "tfds:mnist"
    config.batch_size = 128
    config.duration = "100 epochs"
    # Micro-batches that stay in the CPU's caches; set it to 1 on a GPU or TPU.
    config.accumulate = 4
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    return config.lock()
