"""How far does a small fully convolutional network, from scratch, read street scenes?

Cityscapes, 2,975 finely labelled images to train and 500 to test, at a quarter of their
resolution, 256 x 512; windows of 256 x 256. The 19 classes of its table; all others do
not count.

    jdeconv train --config configs/cityscapes_fcn.py --workdir runs/cityscapes_fcn
    jdeconv evaluate --workdir runs/cityscapes_fcn --figure

Not measured yet: it wants the data and a GPU. The data must be downloaded by hand, with
an account at Cityscapes: leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip go to
`downloads/manual` in TFDS' folder, then

    pip install -e ".[tf]"
    tfds build cityscapes/semantic_segmentation --file_format=array_record
"""

from jdeconv import train

# As numbered in the labels' files, and named in the table of results.
CLASSES = {
    **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole"},
    **{19: "traffic_light", 20: "traffic_sign", 21: "vegetation", 22: "terrain"},
    **{23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus"},
    **{31: "train", 32: "motorcycle", 33: "bicycle"},
}


def get_config(arg: str | None = None):
    """No argument is used."""
    del arg
    config = train.default_config()
    config.task = "segment"
    config.loss = "cross_entropy"
    config.model.name = "fcn"
    config.model.features = (32, 64, 128, 256, 256)
    config.model.skips = 2
    config.data.source = "tfds:cityscapes/semantic_segmentation"
    config.data.test_split = "validation"
    config.data.resize = (256, 512)
    config.data.image = "image_left"
    config.data.mask = "segmentation_label"
    config.data.mask_values = tuple(CLASSES)
    config.data.mask_names = tuple(CLASSES.values())
    config.data.mask_ignore = "rest"
    config.data.augment = "flip"
    config.data.cache_bytes = 2**31  # decoding a scene takes a tenth of a second
    config.segment.crop = (256, 256)
    config.preprocess.standardize = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    config.batch_size = 16
    config.duration = "100 epochs"
    config.eval_every = "5 epochs"
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = "2 epochs"
    return config.lock()
