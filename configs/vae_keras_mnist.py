"""How well does a plane of two latent variables hold MNIST's digits?"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "variational"
    config.loss = "elbo"
    config.variational.binarize = "none"
    config.model.name = "vae"
    config.model.features = (32, 64)
    config.model.decoder_features = (64, 32)
    config.model.hidden = 16
    config.model.decoder_hidden = None
    config.model.latent = 2
    config.data.source = "tfds:mnist"
    config.batch_size = 128
    config.eval_batch_size = 50
    config.duration = "30 epochs"
    config.eval_every = "5 epochs"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
