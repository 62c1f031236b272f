"""Do switches in place of skip connections cost accuracy?

As configs/nuclei_unet.py, data and training alike, with the deconvolution network of
Noh et al. 2015 in SegNet's form: unpooling by the encoder's switches and transposed
convolutions, 16 to 128 channels.

    jdeconv train --config configs/nuclei_deconvnet.py --workdir runs/nuclei_deconvnet
    jdeconv evaluate --workdir runs/nuclei_deconvnet --figure

Measured: "iou_nucleus" 0.813, "image_iou_nucleus" 0.853 (one seed): 0.007 and 0.011
less than the U-Net.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "segment"
    config.loss = "cross_entropy_dice"
    config.model.name = "segnet"
    config.model.features = (16, 32, 64, 128)
    config.data.source = "folder:data/dsb2018"
    config.data.train_split = "sorted[:80%]"
    config.data.test_split = "sorted[80%:]"
    config.data.channels = 1
    config.data.mask = "mask"
    config.data.mask_values = (0, 255)
    config.data.mask_names = ("background", "nucleus")
    config.data.augment = "dihedral"
    config.segment.crop = (128, 128)
    config.preprocess.standardize = "image"
    config.batch_size = 16
    config.eval_batch_size = 8
    config.accumulate = 2
    config.duration = "3000 steps"
    config.eval_every = "500 steps"
    config.checkpoint_every = "50 steps"
    config.log_every = 50
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "100 steps"
    return config.lock()
