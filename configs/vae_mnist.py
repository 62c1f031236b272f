"""How likely are MNIST's digits to a small convolutional VAE?

The setting of Burda et al. 2016: pixels are binary, drawn anew in every step with the
grey level as probability, and the likelihood of the test images is estimated by 5000
importance samples each. Two convolutions, two transposed ones, 40 latent variables.

    jdeconv train    --config configs/vae_mnist.py --workdir runs/vae_mnist
    jdeconv evaluate --workdir runs/vae_mnist --checkpoint latest --figure

The 50 million images that the second command decodes take half a minute on an NVIDIA
H200, and on two CPU cores 1 to 1.6 hours, by the time of the first thousand (`--split
"test[:1000]"`); `--samples 500` takes a tenth, and gives a larger (weaker) bound, 86.46
nats. The network is as large as its weights may be to be published (2 MB), 0.76 million
numbers; one of 1.7 million had 85.75 nats by 500 samples
(`--config.model.features="(32, 64)" --config.model.hidden=256
--config.model.decoder_hidden=256`).

Measured: -log p(x) at most 86.04 nats (configs/results/vae_mnist.json).
Published: -log p(x) 86.76 nats (Burda et al., table 1, VAE with one stochastic layer).
Data: TFDS "mnist".

Arguments: "fixed", one binarisation of each image, which is the same in every run;
"batch_norm".
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """arg: None, "fixed" or "batch_norm"."""
    if arg not in (None, "fixed", "batch_norm"):
        raise ValueError(f"argument {arg!r}: must be fixed or batch_norm")
    config = train.default_config()
    config.task = "variational"
    config.loss = "elbo"
    config.variational.binarize = "fixed" if arg == "fixed" else "dynamic"
    config.model.name = "vae"
    config.model.features = (32, 32)
    config.model.decoder_features = (32, 16)
    config.model.hidden = 224
    config.model.decoder_hidden = 224
    config.model.latent = 40
    config.model.batch_norm = arg == "batch_norm"
    config.data.source = "tfds:mnist"
    config.batch_size = 128
    if arg != "batch_norm":
        config.accumulate = 4  # which suits the caches of a CPU
    config.eval_batch_size = 50  # and 20 samples at once, for the likelihood
    config.duration = "40 epochs"
    config.eval_every = "5 epochs"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup = "1 epochs"
    config.optimizer.schedule = "cosine"
    config.ema_decay = 0.999
    return config.lock()
