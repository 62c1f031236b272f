"""scikit-learn's digits and scikit-image's photographs."""

import concurrent.futures
import subprocess
import sys

import numpy as np
import pytest

from jdeconv.data import default_config, load_source
from jdeconv.data.sources import embedded

datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def digits(cache, split):
    config = default_config()
    config.source, config.data_dir = "digits", str(cache)
    return load_source(config, split)


def test_digits(cache):
    train, test = digits(cache, "train"), digits(cache, "test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.image_shape == (8, 8, 1)
    assert train.num_classes == 10
    original = datasets.load_digits()
    records = train.read(range(1437)) + test.read(range(360))
    images = np.stack([r["image"][..., 0] for r in records])
    labels = np.array([r["label"] for r in records])
    assert images.dtype == np.uint8
    assert images.max() == 255
    # TFDS shuffles within a split, so compare sorted rows.
    rows = np.column_stack([images.reshape(1797, 64) / 255 * 16, labels])
    truth = np.column_stack([original.images.reshape(1797, 64), original.target])
    for part in (slice(1437), slice(1437, None)):
        ours, theirs = np.round(rows[part]), truth[part]
        np.testing.assert_array_equal(
            ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)]
        )


def test_digits_are_built_once_and_quietly(tmp_path, capfd):
    digits(tmp_path, "test")
    folder = tmp_path / "sklearn_digits"
    assert [f.name for f in folder.iterdir()] == ["1.0.0"]
    built = (folder / "1.0.0" / "dataset_info.json").stat().st_mtime_ns
    digits(tmp_path, "test[:10]")
    assert (folder / "1.0.0" / "dataset_info.json").stat().st_mtime_ns == built
    out, err = capfd.readouterr()
    assert out == ""
    assert "Downloading" not in err


@pytest.mark.slow
def test_digits_built_by_two_processes_at_once(tmp_path):
    script = (
        "from jdeconv.data import load_source; import sys\n"
        f"config = dict(source='digits', data_dir={str(tmp_path)!r})\n"
        "assert len(load_source(config, 'test')) == 360\n"
        "assert 'tensorflow' not in sys.modules\n"
    )

    def run(_):
        return subprocess.run([sys.executable, "-c", script], capture_output=True)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for result in pool.map(run, range(2)):
            assert result.returncode == 0, result.stderr.decode()
    assert [f.name for f in (tmp_path / "sklearn_digits").iterdir()] == ["1.0.0"]


def test_digits_lie_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_source({"source": "digits"}, "test")
    assert (tmp_path / "jdeconv/tfds/sklearn_digits/1.0.0/features.json").is_file()


@pytest.mark.parametrize("channels", [1, 3])
def test_photos(channels):
    config = default_config()
    config.source, config.channels = "photos", channels
    train, test = load_source(config, "train"), load_source(config, "test")
    assert train.image_shape == test.image_shape == (64, 64, channels)
    assert len(train) >= (500, 250)[channels == 3]
    assert len(test) >= (140, 80)[channels == 3]
    assert train.dtype == np.uint8
    assert train.num_classes is None
    assert train[0]["image"].std() > 5


def test_photos_of_test_are_others_and_complete():
    assert not set(embedded.PHOTOS["train"]) & set(embedded.PHOTOS["test"])
    names = {
        name
        for split in ("train", "test")
        for name in embedded.Photos(split).file_names
    }
    assert names == set(embedded.PHOTOS["train"] + embedded.PHOTOS["test"])


def test_parts_of_photos_and_strides():
    config = default_config()
    config.update(source="photos", patch_size=128, train_split="train[:1]")
    assert len(load_source(config, "train")) == 16  # of astronaut, 512 x 512
    config.patch_stride = 64
    assert len(load_source(config, "train")) == 49
    config.crop, config.patches_per_image = "random", 5
    a, b = (load_source(config, "train", seed=s) for s in (0, 1))
    assert len(a) == 5
    assert (a[0]["image"] != b[0]["image"]).any()


def test_photos_do_not_import_scikit_image():
    script = (
        "import sys; from jdeconv.data import load_source\n"
        "assert len(load_source(dict(source='photos'), 'test')) > 100\n"
        "assert not {'skimage', 'pooch', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    "package, source", [("skimage", "photos"), ("sklearn", "digits")]
)
def test_missing_package_names_the_extra(tmp_path, package, source):
    script = f"""
import importlib.util
from jdeconv.data import load_source
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == {package!r} else find(name)
try:
    load_source(dict(source={source!r}, data_dir={str(tmp_path)!r}), "test")
except ModuleNotFoundError as error:
    assert 'pip install "jdeconv[demo]"' in str(error), error
else:
    raise SystemExit("did not raise")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
