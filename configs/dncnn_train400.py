"""How well does DnCNN denoise, trained on 400 small grey photographs?

Patches with Gaussian noise, neither clipped nor rounded, against the clean ones; the
network predicts the noise. The folder has the 400 photographs (180 x 180) in `train`
and photographs to be tested on in `test`.

    jdeconv train --config configs/dncnn_train400.py:25 --config.dtype=bfloat16 \
        --workdir runs/dncnn_train400_25-0
    python -m benchmarks.denoising runs/dncnn_train400_25-0 --data FOLDER

It wants a GPU, on which bfloat16 suffices (a step takes 5 ms on an NVIDIA H200, and
seconds on two CPU cores); the second command measures whole images, in float32.
The argument is the standard deviation of the noise, of 255: 15, 25 (the default) or 50;
or "blind": any from 0 to 55, which the network is not told, and 20 layers.
The PSNR logged is of patches. Expected for 25: Set12 30.38 dB and BSD68 29.17, in five
and a half minutes of an H200 with other work to do
(configs/results/dncnn_train400_25.json). Published, after a training that saw three
times as many pixels (Zhang et al. 2017): Set12 32.86, 30.44 and 27.18 dB, BSD68 31.73,
29.23 and 26.23.
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
    config.batch_size = 32
    config.duration = "49000 steps"
    config.eval_every = "25000 steps"
    config.checkpoint_every = "20000 steps"
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    return config.lock()
