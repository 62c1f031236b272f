"""Does the whole road work: data, training, evaluation, picture?

A very small deblurring network on photographs bundled with scikit-image. It is what
`make demo` and the tests run.

    jdeconv train --config configs/smoke.py --workdir runs/smoke

Expected: the result is closer to the sharp photographs than the blurred input by
about 1 dB; about 30 seconds on 2 CPU cores.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "mse"
    config.model.name = "autoencoder"
    config.model.features = (24,)
    config.model.kernel_size = 5
    config.model.downsample = "stride"
    config.model.residual = True
    config.degrade.blur_sigma = 1.5
    config.degrade.clip = False
    config.data.source = "photos"
    config.data.patch_size = 48
    config.batch_size = 8
    config.duration = "400 steps"
    config.eval_every = "200 steps"
    config.checkpoint_every = "200 steps"
    config.log_every = 20
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
