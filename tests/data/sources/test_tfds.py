"""TFDS without TensorFlow, on the real data sets where they are at hand."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from jdeconv.data import Loader, default_config, load_source

MNIST_TRAIN_START = [4, 1, 0, 7, 8]


@pytest.fixture(scope="module")
def tfds_dir(shared_data):
    folder = shared_data / "tfds"
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no MNIST at {folder}")
    return folder


@pytest.fixture
def copied(tfds_dir, tmp_path):
    """A data_dir with a MNIST of its own, to be damaged."""
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    for file in (tfds_dir / "mnist" / "3.0.1").iterdir():
        if "train" not in file.name:
            shutil.copyfile(file, folder / file.name)
    return folder


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """A data_dir with 20 PNG-encoded RGB images of different sizes, and the images."""
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (20 + i, 30, 3), np.uint8) for i in range(20)]

    class Sized(tfds.core.GeneratorBasedBuilder):
        """Images of different sizes."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(), "row": np.int64}
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, image in enumerate(images):
                file = io.BytesIO()
                PIL.Image.fromarray(image).save(file, "PNG")
                file.seek(0)
                yield i, {"image": file, "row": i}

    folder = tmp_path_factory.mktemp("tfds")
    Sized(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder, images


def mnist_config(folder, **fields):
    config = default_config()
    config.data_dir = str(folder)
    config.update(fields)
    return config


def test_mnist(tfds_dir):
    source = load_source(mnist_config(tfds_dir), "train")
    assert (len(source), source.image_shape, source.dtype) == (60000, (28, 28, 1), "u1")
    assert (source.num_classes, source.class_names[3]) == (10, "3")
    assert source.element_bytes == 28 * 28 + 4
    records = source.read(range(5))
    assert [r["label"].item() for r in records] == MNIST_TRAIN_START
    # As TFDS decodes it itself.
    import tensorflow_datasets as tfds

    theirs = tfds.builder("mnist", data_dir=tfds_dir).as_data_source(split="train")
    for i in (0, 59999):
        np.testing.assert_array_equal(source[i]["image"], theirs[i]["image"])
        assert source[i]["label"] == theirs[i]["label"]
    np.testing.assert_array_equal(source[-1]["image"], source[59999]["image"])
    with pytest.raises(IndexError, match="60000"):
        source[60000]


def test_splits_and_data_dir_from_the_environment(tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    config = default_config()
    config.source = "tfds:fashion_mnist:3.0.1"
    config.test_split = "test[:100]"
    source = load_source(config, "test")
    assert len(source) == 100
    assert source.class_names[0] == "T-shirt/top"
    assert len(load_source(config, "train+test[5:7]")) == 60002


def test_no_tensorflow(tfds_dir):
    script = f"""
import sys
from jdeconv.data import Loader, load_source
heavy = {{"tensorflow_datasets", "grain", "skimage", "sklearn", "PIL", "tqdm"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
config = {{"source": "tfds:mnist", "data_dir": {str(tfds_dir)!r}}}
config["test_split"] = "test[:200]"
loader = Loader(load_source(config, "test"), batch_size=8, seed=0)
assert next(loader.iterate())["image"].shape == (8, 28, 28, 1)
assert "tensorflow" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert result.returncode == 0, result.stderr.decode()
    assert b"OpenCV" not in result.stderr


def test_missing_set_says_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError) as caught:
        load_source(mnist_config(tmp_path), "train")
    message = str(caught.value)
    assert f"not in {tmp_path}" in message
    assert 'pip install "jdeconv[tf]"' in message
    command = f"tfds build mnist --file_format=array_record --data_dir={tmp_path}"
    assert command in message
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        load_source(default_config(), "train")
    assert list(tmp_path.iterdir()) == []  # nothing was downloaded or made


def test_missing_version_and_illegal_names(tfds_dir):
    with pytest.raises(FileNotFoundError, match=r"mnist:9\.9\.9"):
        load_source(mnist_config(tfds_dir, source="tfds:mnist:9.9.9"), "train")
    for name in ("../mnist", "mnist:latest", "a/b/c"):
        with pytest.raises(ValueError, match="must be NAME"):
            load_source(mnist_config(tfds_dir, source=f"tfds:{name}"), "train")


def test_unknown_split(tfds_dir):
    config = mnist_config(tfds_dir, train_split="training")
    with pytest.raises(ValueError, match="made of train, test"):
        load_source(config, "train")


def test_truncated_file(copied):
    config = mnist_config(copied.parent.parent)
    path = copied / "mnist-test.array_record-00000-of-00001"
    content = path.read_bytes()
    assert len(load_source(config, "test")) == 10000
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cut short or damaged"):
        Loader(load_source(config, "test"), batch_size=4, seed=0).batch(0)
    path.unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="mnist"):
        Loader(load_source(config, "test"), batch_size=4, seed=0).batch(0)


def test_another_file_format(copied):
    info = json.loads((copied / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (copied / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"stored as tfrecord.*--overwrite"):
        load_source(mnist_config(copied.parent.parent), "test")


def test_the_highest_version_is_taken(copied):
    shutil.copytree(copied, copied.parent / "3.0.0")
    shutil.rmtree(copied)
    shutil.copytree(copied.parent / "3.0.0", copied.parent / "10.0.0")
    source = load_source(mnist_config(copied.parent.parent), "test")
    assert source._folder.name == "10.0.0"


def test_images_of_any_size_are_cut(sized):
    folder, images = sized
    config = mnist_config(folder, source="tfds:sized")
    with pytest.raises(ValueError, match="have any size: set"):
        load_source(config, "train")
    config.patch_size = 16
    with pytest.raises(ValueError, match="crop='grid' needs the size"):
        load_source(config, "train")
    config.crop = "center"
    source = load_source(config, "train")
    assert (len(source), source.image_shape, source.num_classes) == (
        20,
        (16, 16, 3),
        None,
    )
    np.testing.assert_array_equal(source[5]["image"], images[5][4:20, 7:23])
    config.patch_size = 24
    with pytest.raises(ValueError, match=r"image 0 of tfds:sized\[train\] is 20 x 30"):
        load_source(config, "train")[0]


def test_patches_of_mnist(tfds_dir):
    config = mnist_config(tfds_dir, patch_size=14, test_split="test[:10]")
    source = load_source(config, "test")
    assert (len(source), source.image_shape) == (40, (14, 14, 1))
    config.patch_size = None
    config.channels = 3
    with pytest.raises(ValueError, match="taken as they are"):
        load_source(config, "test")
