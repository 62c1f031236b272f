"""Image folders, labelled and not."""

import numpy as np
import pytest

from jdeconv.data import Loader, default_config, load_source, write_image


def config_for(folder, **fields):
    config = default_config()
    config.source = f"folder:{folder}"
    config.update(fields)
    return config


def write(folder, name, value, shape=(8, 8, 1), dtype=np.uint8):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full(shape, value, dtype))


@pytest.fixture
def labelled(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        for k, animal in enumerate(("cat", "dog")):
            for i in range(count):
                write(tmp_path, f"{split}/{animal}/{i}.png", 10 * k + i)
    return tmp_path


@pytest.fixture
def flat(tmp_path):
    for i in range(10):
        write(tmp_path, f"{i}.png", i)
    return tmp_path


def values(source):
    return [int(source[i]["image"].max()) for i in range(len(source))]


def test_labelled(labelled):
    source = load_source(config_for(labelled), "train")
    assert (len(source), source.image_shape) == (6, (8, 8, 1))
    assert (source.num_classes, source.class_names) == (2, ("cat", "dog"))
    assert values(source) == [0, 1, 2, 10, 11, 12]
    assert [source[i]["label"].item() for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert values(load_source(config_for(labelled), "test")) == [0, 1, 10, 11]


def test_the_training_classes_number_those_of_the_test(labelled):
    for file in (labelled / "test/cat").iterdir():
        file.unlink()
    source = load_source(config_for(labelled), "test")
    assert source.num_classes == 2
    assert [source[i]["label"].item() for i in range(2)] == [1, 1]
    write(labelled, "test/cow/0.png", 3)
    with pytest.raises(ValueError, match=r"classes \['cow'\], which the split 'train'"):
        load_source(config_for(labelled), "test")


def test_one_folder_divided(flat):
    config = config_for(flat, train_split="all[:70%]", test_split="all[70%:]")
    train, test = (load_source(config, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (7, 3)
    assert sorted(values(train) + values(test)) == list(range(10))
    assert values(train) != list(range(7))
    assert train.num_classes is None
    assert values(load_source(config, "all")) == list(range(10))


def test_a_labelled_folder_divided(labelled):
    config = config_for(
        labelled / "train", train_split="all[:50%]", test_split="all[50%:]"
    )
    train, test = (load_source(config, split) for split in ("train", "test"))
    assert train.num_classes == test.num_classes == 2
    assert sorted(values(train) + values(test)) == [0, 1, 2, 10, 11, 12]


def test_missing_and_empty(tmp_path, flat):
    with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
        load_source(config_for(tmp_path / "absent"), "train")
    with pytest.raises(FileNotFoundError, match=r"train_split='all\[:80%\]'"):
        load_source(config_for(flat), "train")
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no image"):
        load_source(config_for(tmp_path), "train")
    with pytest.raises(ValueError, match=r"'all\[:0\]' of .* holds no image"):
        load_source(config_for(flat, train_split="all[:0]"), "train")


def test_labelled_and_not(flat):
    write(flat, "dog/0.png", 0)
    with pytest.raises(ValueError, match=r"0\.png, .* and folders .*dog"):
        load_source(config_for(flat, train_split="all"), "train")


def test_sizes_that_differ(flat):
    write(flat, "a.png", 0, (9, 8, 1))
    config = config_for(flat, train_split="all")
    with pytest.raises(ValueError, match=r"a\.png is 9 x 8 .*0\.png 8 x 8: set"):
        load_source(config, "train")
    config.patch_size = 4
    source = load_source(config, "train")
    assert len(source) == 4 * 11
    assert Loader(source, batch_size=44, seed=0).batch(0)["image"].shape == (
        44,
        4,
        4,
        1,
    )
    config.patch_size, config.crop = (8, 8), "center"
    assert len(load_source(config, "train")) == 11
    config.patch_size = 9
    with pytest.raises(ValueError, match=r"0\.png is 8 x 8 pixels, smaller than"):
        load_source(config, "train")


def test_channels_and_types_that_differ(flat):
    write(flat, "a.png", 0, (8, 8, 3))
    config = config_for(flat, train_split="all")
    loader = Loader(load_source(config, "train"), batch_size=4, seed=0)
    with pytest.raises(ValueError, match=r"a\.png is uint8 with 3 channels"):
        loader.batch(0)
    for channels in (1, 3):
        config.channels = channels
        source = load_source(config, "train")
        assert source.image_shape == (8, 8, channels)
        assert values(source)[:10] == list(range(10))
    write(flat, "b.png", 0, dtype=np.uint16)
    with pytest.raises(ValueError, match=r"b\.png is uint16"):
        load_source(config, "train")[11]


def test_damaged_file(flat):
    (flat / "5.png").write_bytes((flat / "5.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"5\.png cannot be read"):
        load_source(config_for(flat, train_split="all"), "train")[5]


def test_16_bit(tmp_path):
    write(tmp_path, "a.tif", 40000, dtype=np.uint16)
    source = load_source(config_for(tmp_path, train_split="all"), "train")
    assert source.dtype == np.uint16
    assert values(source) == [40000]
