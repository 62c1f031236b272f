"""How well does a U-Net cut pets out of photographs?

Oxford-IIIT Pet, 3,680 photographs to train and 3,669 to test, brought to 128 x 128;
three classes: background, pet, and the border between, which the set's trimaps mark.

    pip install -e ".[tf]" && tfds build oxford_iiit_pet --file_format=array_record
    jdeconv train --config configs/pets_unet.py --workdir runs/pets_unet
    jdeconv evaluate --workdir runs/pets_unet --figure

Not measured yet: it wants the data (TFDS "oxford_iiit_pet", 0.8 GB) and a GPU.
"""

from jdeconv import train


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "segment"
    config.loss = "cross_entropy"
    config.model.name = "unet"
    config.model.features = 32
    config.model.stages = 4
    config.data.source = "tfds:oxford_iiit_pet"
    config.data.resize = (128, 128)
    config.data.mask = "segmentation_mask"
    config.data.mask_values = (2, 1, 3)
    config.data.mask_names = ("background", "pet", "border")
    config.data.augment = "flip"
    config.preprocess.standardize = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    config.batch_size = 32
    config.duration = "40 epochs"
    config.eval_every = "2 epochs"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "1 epochs"
    return config.lock()
