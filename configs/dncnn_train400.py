"""How well does DnCNN denoise, trained on 400 small grey photographs?

Patches with Gaussian noise, neither clipped nor rounded, against the clean ones; the
network predicts the noise. The folder has the 400 photographs (180 x 180) in `train`
and photographs to be tested on in `test`.

    jdeconv train --config configs/dncnn_train400.py:25 --workdir runs/dncnn_25-0

The argument is the standard deviation of the noise, of 255: 15, 25 (the default) or 50;
or "blind": any from 0 to 55, which the network is not told, and 20 layers.
The PSNR logged is of patches. Published for whole images (Zhang et al. 2017), Set12:
32.86, 30.44 and 27.18 dB. Not trained to its end here.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """arg: the standard deviation of the noise, of 255, or "blind"."""
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "mse"
    config.model.name = "dncnn"
    if arg == "blind":
        config.model.depth = 20
        config.degrade.noise_std = (0.0, 55 / 255)
    elif (arg or "25").isdigit():
        config.degrade.noise_std = int(arg or 25) / 255
    else:
        raise ValueError(f"argument {arg!r}: must be a whole number or blind")
    config.degrade.clip = False
    config.data.source = "folder:data/train400"
    config.data.channels = 1
    config.data.patch_size = 56
    config.data.patch_stride = 12
    config.data.augment = "dihedral"
    config.batch_size = 64
    config.duration = "40000 steps"
    config.eval_every = "10000 steps"
    config.checkpoint_every = "5000 steps"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
