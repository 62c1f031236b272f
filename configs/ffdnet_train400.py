"""How well does one fast network denoise at any level of noise?

FFDNet is told the noise level, drawn anew for each patch; trained on 400 small grey
photographs, noise neither clipped nor rounded. The folder has the 400 photographs
(180 x 180) in `train` and photographs to be tested on in `test`.

    jdeconv train --config configs/ffdnet_train400.py --workdir runs/ffdnet-0
    python -m benchmarks.denoising runs/ffdnet-0 --data FOLDER

The PSNR logged is of patches at all levels of noise; the second command measures whole
images. Published (Zhang et al. 2018), Set12 at 15, 25 and 50 of 255: 32.75, 30.43 and
27.32 dB, after a training that saw hundreds of times as many pixels. Expected here:
31.71, 29.34 and 26.02 dB, in 2 hours on 2 CPU cores with other work to do; the curve
over the training time is in configs/results/ffdnet_train400.json.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "l1"
    config.model.name = "ffdnet"
    config.degrade.noise_std = (0.0, 55 / 255)
    config.degrade.clip = False
    config.data.source = "folder:data/train400"
    config.data.channels = 1
    config.data.patch_size = 60
    config.data.patch_stride = 30
    config.data.augment = "flip"
    config.batch_size = 16
    config.duration = "14000 steps"
    config.eval_every = "1000 steps"
    config.checkpoint_every = "250 steps"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
