"""How much of an underexposed photograph does a small network bring back?

Colour photographs with 1/16 to 1/3 of their light and the photon noise of a small
sensor, against the well-exposed ones: a U-Net with transposed convolutions, which adds
to the image what it lacks. The folder has colour photographs in `train` and in `test`.

    jdeconv train    --config configs/enhance_photos.py --workdir runs/enhance_photos-0
    jdeconv evaluate --workdir runs/enhance_photos-0 --figure
    python -m benchmarks.enhancement runs/enhance_photos-0 --photos data/photos/test

Expected: 25.9 dB on patches (deviation over three seeds 0.1), where the dark ones have
10.8; 15 minutes on 2 CPU cores (configs/results/enhance_photos.json). The last command
sets the network beside gamma correction, histogram equalisation and CLAHE, on whole
photographs (docs/networks.md). The made darkness follows Wei et al. (2018, "Deep
Retinex decomposition for low-light enhancement"), who did it by hand, and Foi et al.
(2008).

The argument "wide" trains from 1/32 to 1/2 in place of 1/16 to 1/3 (not measured yet).
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """arg: None, or "wide"."""
    if arg not in (None, "wide"):
        raise ValueError(f"argument {arg!r}: must be wide")
    config = train.default_config()
    config.task = "reconstruct"
    config.loss = "l1"
    config.model.name = "unet"
    config.model.residual = True
    config.model.features = 16
    config.model.stages = 3
    config.degrade.exposure = (1 / 32, 1 / 2) if arg else (1 / 16, 1 / 3)
    config.degrade.photons = 2000.0
    config.data.source = "folder:data/photos"
    config.data.channels = 3
    config.data.patch_size = 72
    config.data.patch_stride = 36
    config.data.augment = "dihedral"
    config.batch_size = 8
    config.duration = "4000 steps"
    config.eval_every = "1000 steps"
    config.checkpoint_every = "250 steps"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
