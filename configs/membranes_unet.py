"""How well does the same U-Net find cell membranes in electron microscopy?

ISBI 2012: 30 slices of 512 x 512 of a fly's nerve cord. The labels of the challenge's
own test set are not public, so the labelled slices are divided: 0 to 23 to train, 24 to
29 to test. Neighbouring slices are alike; that is why the test has the last ones.

    jdeconv train --config configs/membranes_unet.py --workdir runs/membranes_unet
    jdeconv evaluate --workdir runs/membranes_unet --figure

What is reported: the pixel error is 1 - "pixel_accuracy", and "dice_membrane" is of
all test pixels together. The challenge's table has other errors (Rand, warping).
Measured: 0.0755 and 0.811 (one seed; configs/results/membranes_unet.json).

Data: a folder `data/isbi2012` (or --config.data.source=folder:PATH) with images
`image/N.png` and labels `label/N.png`, membranes 0, the inside of cells 255.
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
    config.data.source = "folder:data/isbi2012"
    config.data.train_split = "sorted[:80%]"
    config.data.test_split = "sorted[80%:]"
    config.data.channels = 1
    config.data.mask = "label"
    config.data.mask_values = (255, 0)
    config.data.mask_names = ("cell", "membrane")
    config.data.augment = "dihedral"
    config.segment.crop = (128, 128)
    config.preprocess.standardize = "image"
    config.batch_size = 16
    config.eval_batch_size = 2
    config.accumulate = 2
    config.duration = "2000 steps"
    config.eval_every = "500 steps"
    config.checkpoint_every = "50 steps"
    config.log_every = 50
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "100 steps"
    return config.lock()
