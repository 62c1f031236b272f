"""scikit-learn's handwritten digits as a TFDS builder. Importing it imports TFDS."""

import numpy as np
import tensorflow_datasets as tfds

_NUM_TEST = 360  # the last fifth; scikit-learn keeps the order of the writers


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Does not ask the network for a description: this set is not there."""


class SklearnDigits(tfds.core.GeneratorBasedBuilder):
    """1797 digits of 8 x 8 pixels, 1437 to train and 360 to test.

    The 17 grey levels k become round(255 k / 16). Images are stored as plain tensors:
    TFDS encodes PNG by TensorFlow only.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(
            builder=self,
            description="Optical recognition of handwritten digits (UCI), by "
            "scikit-learn, 8 x 8 pixels.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = digits.target
        return {
            "train": self._generate_examples(images[:-_NUM_TEST], labels[:-_NUM_TEST]),
            "test": self._generate_examples(images[-_NUM_TEST:], labels[-_NUM_TEST:]),
        }

    def _generate_examples(self, images, labels):
        for i, (image, label) in enumerate(zip(images, labels)):
            yield i, {"image": image, "label": int(label)}
