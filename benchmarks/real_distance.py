"""How far real images are from real ones: the yardstick of generative models.

    python -m benchmarks.real_distance configs/dcgan_mnist.py:32

Prints the sliced Wasserstein distance of the test images of a config from as many
training images, preprocessed as the run does, and the MS-SSIM of pairs of them. What a
generator can reach at best lies there.
"""

import argparse

import numpy as np

from jdeconv import data, train
from jdeconv.tasks import Generate

CHUNK = 1000


def prepared(config, split: str, indices: np.ndarray) -> np.ndarray:
    """Images of a split as the discriminator sees them, in 8 bits."""
    source = data.load_source(config.data, split, seed=config.seed)
    preprocess = data.Preprocess(size=config.preprocess.size)
    chunks = []
    for start in range(0, len(indices), CHUNK):
        records = source.read(indices[start : start + CHUNK].tolist())
        unit, _ = preprocess.forward(np.stack([r["image"] for r in records]))
        chunks.append(np.asarray(np.round(255 * unit)).astype(np.uint8))
    return np.concatenate(chunks)


def distance(config) -> dict[str, float]:
    """`Generate.measure` with training images in the place of made ones."""
    count = len(data.load_source(config.data, "test", seed=config.seed))
    available = len(data.load_source(config.data, "train", seed=config.seed))
    count = min(count, available)
    test = prepared(config, "test", np.arange(count))
    spread = np.arange(count) * available // count
    sets = {"real": test, "made": prepared(config, "train", spread)}
    task = Generate(data.Preprocess(range=(-1.0, 1.0)))
    return {name: average.mean for name, average in task.measure(sets).items()}


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="configs/NAME.py or configs/NAME.py:ARG")
    arguments = parser.parse_args()
    for name, value in distance(train.read_config(arguments.config)).items():
        print(f"{name}: {value:.4g}")


if __name__ == "__main__":
    main()
