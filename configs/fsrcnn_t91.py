"""How good is super-resolution by FSRCNN, trained on 91 images?

Regression from luma shrunk by MATLAB's bicubic and rounded to 8 bits. The folder holds
luma of the 91 images and of Set5, made by

    python -m benchmarks.super_resolution prepare T91 SET5 data/t91
    jdeconv train --config configs/fsrcnn_t91.py:3 --workdir runs/fsrcnn_t91_3-0
    python -m benchmarks.super_resolution evaluate SET5 runs/fsrcnn_t91_3-0

The argument is the scale, 2, 3 (the default) or 4. The PSNR logged in training is of
patches of Set5; the last command measures whole images. Published (Dong et al. 2016, 91
images): 36.94, 33.06 and 30.55 dB on Set5; bicubic has 33.65, 30.39 and 28.42.
Expected here: 36.97 dB at 2; 33.13 at 3, after 47 minutes on 2 CPU cores with other
work to do; 30.88 at 4 (configs/results/fsrcnn_t91_2.json and so on). Data and training
are those of configs/espcn_t91.py, but for the steps.
"""

import pathlib

from jdeconv.train.config import load_config_file


def get_config(arg: str | None = None):
    """The argument is the scale."""
    espcn = pathlib.Path(__file__).with_name("espcn_t91.py")
    config = load_config_file(str(espcn)).get_config(arg)
    with config.unlocked():
        config.model.name = "fsrcnn"
        config.duration = "100000 steps"
    return config
