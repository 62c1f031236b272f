"""How likely are MNIST's digits to a small convolutional VAE?"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "variational"
    config.loss = "elbo"
    config.variational.binarize = "dynamic"
    config.model.name = "vae"
    config.model.features = (32, 64)
    config.model.decoder_features = (32, 16)
    config.model.hidden = 256
    config.model.decoder_hidden = 256
    config.model.latent = 40
    config.data.source = "tfds:mnist"
    config.batch_size = 128
    config.eval_batch_size = 50
    config.duration = "40 epochs"
    config.eval_every = "5 epochs"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup = "1 epochs"
    config.optimizer.schedule = "cosine"
    config.ema_decay = 0.999
    return config.lock()
