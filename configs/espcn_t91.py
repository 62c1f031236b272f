"""How good is super-resolution by ESPCN, trained on 91 images?

Regression from luma shrunk by MATLAB's bicubic and rounded to 8 bits. The folder holds
luma of the 91 images and of Set5, made by

    python -m benchmarks.super_resolution prepare T91 SET5 data/t91
    jdeconv train --config configs/espcn_t91.py:3 --workdir runs/espcn_t91_3-0
    python -m benchmarks.super_resolution evaluate SET5 runs/espcn_t91_3-0

The argument is the scale, 2, 3 (the default) or 4. The PSNR logged in training is of
patches of Set5; the last command measures whole images. Published (Shi et al. 2016, 91
images): 32.55 dB on Set5 at 3; bicubic has 33.65, 30.39 and 28.42 at 2, 3 and 4.
Expected here: 32.73 dB at 3, mean of three seeds from 32.71 to 32.76
(configs/results/espcn_t91_3.json), after 10 minutes on 2 CPU cores.
With Adam, SAME padding and 120,000 steps: 32.28 dB.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """The argument is the scale."""
    if arg not in (None, "2", "3", "4"):
        raise ValueError(f"argument {arg!r}: must be 2, 3 or 4")
    scale = int(arg or 3)
    config = train.default_config()
    config.task = "super_resolve"
    config.loss = "mse"
    config.model.name = "espcn"
    config.model.scale = scale
    config.model.padding = "EDGE"
    config.data.source = "folder:data/t91"
    config.data.channels = 1
    # Many small steps: it is their number that counts, not that of the pixels.
    config.data.patch_size = 12 * scale
    config.data.patch_stride = 8 * scale
    config.data.augment = "flip"
    config.batch_size = 16
    config.duration = "40000 steps"
    config.eval_every = "2000 steps"
    config.checkpoint_every = "1000 steps"
    # Neighbouring pixels are much alike, and Adam, weight by weight, is slow with that.
    config.optimizer.name = "soap"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.beta1 = 0.95
    config.optimizer.beta2 = 0.99
    config.optimizer.basis_every = 10
    config.optimizer.warmup = "200 steps"
    config.optimizer.clip_norm = 0.1  # ten times the usual: rare steps ruin the network
    config.optimizer.schedule = "cosine"
    return config.lock()
