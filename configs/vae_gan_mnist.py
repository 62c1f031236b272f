"""What does a GAN gain from an encoder, and an autoencoder from a discriminator?

A VAE-GAN on MNIST: the discriminator's features, not the pixels, say how like the image
a reconstruction is. 64 x 64 as `dcgan_mnist.py`, or with the argument "32" the setting
for a CPU, 32 x 32 and narrow, to be set beside `dcgan_mnist.py:32`.

    jdeconv train    --config configs/vae_gan_mnist.py:32 --workdir runs/vae_gan_32-0
    jdeconv evaluate --workdir runs/vae_gan_32-0 --figure

The figure has images, their reconstructions, and images made from noise. The paper
(Larsen et al., 2016) has faces and no number for MNIST. Data: TFDS "mnist".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """arg: None, or "32"."""
    config = train.default_config()
    config.task = "vae_gan"
    config.loss = "non_saturating"
    config.model.name = "vae_gan"
    config.data.source = "tfds:mnist"
    config.preprocess.range = (-1.0, 1.0)
    config.batch_size = 128
    config.optimizer.beta1 = 0.5
    config.optimizer.learning_rate = 4e-4
    config.generate.learning_rate_factor = 0.25
    config.duration = "5000 steps"
    config.ema_decay = 0.999
    config.log_every = 50
    config.eval_every = "1000 steps"
    config.checkpoint_every = "250 steps"
    if arg is None:
        config.preprocess.size = (64, 64)
        config.model.width = 128
    elif arg == "32":
        config.preprocess.size = (32, 32)
        config.model.width = 32
        config.model.latent = 32
        config.model.encoder_features = (16, 32, 64)
    else:
        raise ValueError(f"argument {arg!r}: must be 32")
    return config.lock()
