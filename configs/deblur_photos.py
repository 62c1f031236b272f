"""How much sharper does a small network make blurred photographs?

Regression to a target image: patches of photographs, blurred by a Gaussian of 1.5
pixels and with a little noise, against the sharp ones. A convolutional encoder and
decoder of one stage each, their result added to the input.

    jdeconv train --config configs/deblur_photos.py --workdir runs/deblur_photos

Expected: see configs/results/deblur_photos.json, with the PSNR of the blurred input
beside it; about 5 minutes on 2 CPU cores. Data: photographs bundled with scikit-image
(the extra `demo`); those of the test are not in training.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "mse"
    config.model.name = "autoencoder"
    config.model.features = (32,)
    config.model.kernel_size = 5
    config.model.downsample = "stride"
    config.model.residual = True
    config.degrade.blur_sigma = 1.5
    config.degrade.noise_std = 0.01
    config.degrade.clip = False
    config.data.source = "photos"
    config.data.patch_size = 48
    config.batch_size = 8
    config.duration = "2000 steps"
    config.eval_every = "500 steps"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
