"""The configs of segmentation on made sets of 20 images, and their use on files."""

import io
import json

import jax
import numpy as np
import PIL.Image
import pytest

from configs import (
    cityscapes_fcn,
    membranes_unet,
    nuclei_deconvnet,
    nuclei_unet,
    pets_unet,
)
from jdeconv import data, train
from jdeconv.cli import process


def picture(rng, size, channels, numbers):
    """Grey with a bright rectangle per class, and the mask that says so."""
    image = rng.integers(0, 60, (*size, channels)).astype(np.uint8)
    mask = np.full((*size, 1), numbers[0], np.uint8)
    for k, number in enumerate(numbers[1:], start=1):
        top, left = rng.integers(0, (size[0] // 2, size[1] // 2))
        area = np.s_[top : top + size[0] // 2, left : left + size[1] // 2]
        image[area] += np.uint8(60 + 20 * (k % 7))
        mask[area] = number
    return image, mask


def make_folder(path, config, size):
    rng = np.random.default_rng(0)
    for kind in (config.data.image, config.data.mask):
        (path / kind).mkdir(parents=True)
    for i in range(20):
        image, mask = picture(rng, size, 1, config.data.mask_values)
        data.write_image(path / config.data.image / f"{i}.png", image)
        data.write_image(path / config.data.mask / f"{i}.png", mask)
    config.data.source = f"folder:{path}"


def make_tfds(path, config, sizes, extra, stray):
    """A TFDS set of the config's name and features; class numbers and some others."""
    import tensorflow_datasets as tfds

    name = config.data.source.removeprefix("tfds:").partition("/")
    numbers = (*config.data.mask_values, *stray)

    def encoded(pixels, kind):
        file = io.BytesIO()
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        PIL.Image.fromarray(pixels).save(file, kind)
        file.seek(0)
        return file

    def examples(self, start):
        rng = np.random.default_rng(start)
        for i in range(10):
            size = sizes[i % len(sizes)]
            image, mask = picture(rng, size, 3, numbers)
            yield (
                i,
                {
                    config.data.image: encoded(image, "PNG"),
                    config.data.mask: encoded(mask, "PNG"),
                    **{k: v for k, (_, v) in extra.items()},
                },
            )

    def info(self):
        features = {
            config.data.image: tfds.features.Image(shape=(None, None, 3)),
            config.data.mask: tfds.features.Image(
                shape=(None, None, 1), use_colormap=True
            ),
            **{k: feature for k, (feature, _) in extra.items()},
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features)
        )

    def splits(self, dl_manager):
        test = config.data.test_split
        return {"train": self._generate_examples(0), test: self._generate_examples(1)}

    title = "".join(part.title() for part in name[0].split("_"))
    configs = [tfds.core.BuilderConfig(name=name[2])] if name[2] else []
    methods = {
        "VERSION": tfds.core.Version("1.0.0"),
        "BUILDER_CONFIGS": configs,
        "_info": info,
        "_split_generators": splits,
        "_generate_examples": examples,
        "__doc__": "Made up.",
        "__module__": __name__,
    }
    bases = (tfds.core.GeneratorBasedBuilder,)
    builder = type(title, bases, methods, skip_registration=True)
    builder(data_dir=path, file_format="array_record").download_and_prepare()
    config.data.data_dir = str(path)


def tiny(config, crop):
    """Two steps of a network that is compiled in a second or two."""
    with config.unlocked():
        config.model.update(
            {
                "unet": {"features": 2, "stages": 1},
                "segnet": {"features": (2, 3)},
                "fcn": {"features": (2, 3, 3)},
            }[config.model.name]
        )
    config.segment.crop = crop
    config.batch_size, config.eval_batch_size, config.accumulate = 4, None, 1
    config.duration = config.eval_every = "2 steps"
    config.checkpoint_every = "0 steps"
    config.optimizer.warmup = "0 steps"
    return config


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    """A short run of the U-Net."""
    config = tiny(nuclei_unet.get_config(), 16)
    make_folder(tmp_path_factory.mktemp("data"), config, (24, 24))
    workdir = tmp_path_factory.mktemp("nuclei")
    return workdir, train.train_and_evaluate(config, workdir)


def test_nuclei_run_reports_overlaps_by_name(nuclei):
    workdir, result = nuclei
    assert result["step"] == 2
    for name in ("mean_iou", "iou_nucleus", "dice_nucleus", "image_iou_nucleus"):
        assert 0 <= result[f"test/{name}"] <= 1, name
    expected = np.mean([result["test/iou_background"], result["test/iou_nucleus"]])
    assert result["test/mean_iou"] == pytest.approx(expected)
    source = json.loads((workdir / "source.json").read_text())
    assert (source["num_train"], source["num_classes"]) == (16, 2)


@pytest.mark.slow
def test_deconvnet_trains_on_twenty_nuclei(tmp_path):
    config = tiny(nuclei_deconvnet.get_config(), 16)
    make_folder(tmp_path / "data", config, (24, 24))
    result = train.train_and_evaluate(config, tmp_path / "run")
    assert np.isfinite(result["test/loss"])
    assert 0 <= result["test/iou_nucleus"] <= result["test/dice_nucleus"] <= 1


def test_membranes_are_the_second_class_and_the_last_slices_the_test(tmp_path):
    config = membranes_unet.get_config()
    make_folder(tmp_path, config, (30, 30))
    test = data.load_source(config.data, "test")
    assert len(test) == 4 and test.describe(0) == str(tmp_path / "image" / "16.png")
    stored = data.read_image(tmp_path / "label" / "16.png")[..., 0]
    np.testing.assert_array_equal(test[0]["mask"], stored == 0)
    # Network and training are those of the nuclei.
    nuclei = nuclei_unet.get_config()
    assert (config.model, config.task) == (nuclei.model, nuclei.task)


@pytest.mark.slow
def test_pets_train_on_twenty_images_with_the_set_s_features(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    config = tiny(pets_unet.get_config(), None)
    config.data.resize = (16, 16)
    breeds = tfds.features.ClassLabel(names=["Abyssinian", "beagle", "boxer"])
    extra = {"label": (breeds, 2), "file_name": (tfds.features.Text(), "boxer_1")}
    make_tfds(tmp_path / "data", config, [(30, 20), (17, 40)], extra, stray=())
    source = data.load_source(config.data, "train")
    assert source.num_classes == 3 and "label" not in source[0]
    assert set(np.unique([source[i]["mask"] for i in range(10)])) == {0, 1, 2}
    result = train.train_and_evaluate(config, tmp_path / "run")
    assert {"test/iou_pet", "test/iou_border"} <= set(result)


@pytest.mark.slow
def test_cityscapes_train_on_twenty_images_with_the_set_s_features(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    config = tiny(cityscapes_fcn.get_config(), 16)
    config.data.resize = (16, 32)
    extra = {"image_id": (tfds.features.Text(), "bonn_1")}
    # 3 and 4, "out of roi" and "static", do not count.
    make_tfds(tmp_path / "data", config, [(64, 128)], extra, stray=(3, 4))
    source = data.load_source(config.data, "train")
    seen = np.unique([source[i]["mask"] for i in range(10)])
    assert source.num_classes == 19 and 255 in seen and set(seen) <= {*range(19), 255}
    with pytest.raises(ValueError, match="image_id.*but none called disparity_map"):
        data.load_source({**config.data, "mask": "disparity_map"}, "train")
    with pytest.raises(ValueError, match="image_left' of .* has several channels"):
        data.load_source({**config.data, "mask": "image_left"}, "train")
    with pytest.raises(ValueError, match=r"a mask of .* holds 3, 4, which"):
        _ = data.load_source({**config.data, "mask_ignore": (0,)}, "train")[0]
    result = train.train_and_evaluate(config, tmp_path / "run")
    assert np.isfinite(result["test/mean_iou"]) and "test/iou_road" in result


def test_a_set_that_must_be_downloaded_by_hand_says_how(tmp_path):
    pytest.importorskip("tensorflow_datasets")
    config = cityscapes_fcn.get_config()
    config.data.data_dir = str(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"tfds build city.*gtFine_trainvaltest"
    ):
        data.load_source(config.data, "train")


@pytest.mark.slow
def test_process_writes_a_mask_in_the_numbers_it_has_learned(nuclei, tmp_path, rng):
    workdir, _ = nuclei
    (tmp_path / "in").mkdir()
    for name, shape, dtype in [
        ("grey.png", (21, 18, 1), np.uint8),
        ("deep.tif", (16, 30, 1), np.uint16),
        ("photo.jpg", (20, 20, 3), np.uint8),
    ]:
        image = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        data.write_image(tmp_path / "in" / name, image)
    out = tmp_path / "out"
    written, failed = process.process_images(
        tmp_path / "in", workdir, out, progress=False
    )
    assert not failed and {f.name for f in written} == {
        "grey.png",
        "deep.png",
        "photo.png",
    }
    run = train.load_run(workdir)
    assert run.class_names == ("background", "nucleus")
    assert process._network_size(run, "auto") is None
    for file in written:
        original = next((tmp_path / "in").glob(f"{file.stem}.*"))
        size = data.images.image_size(original)
        mask = data.read_image(file)
        assert mask.shape == (*size, 1) and mask.dtype == np.uint8
        figure = data.read_image(out / f"{file.stem}_figure.png")
        assert figure.shape[1] > 2 * size[1]
    image = data.read_image(tmp_path / "in" / "grey.png")
    labels = np.asarray(jax.jit(run.apply)(image[None]))[0]
    mask = data.read_image(out / "grey.png")[..., 0]
    np.testing.assert_array_equal(mask, np.array([0, 255])[labels])


@pytest.mark.slow
def test_u_net_learns_a_handful_of_real_nuclei_by_heart(shared_data, tmp_path):
    folder = shared_data / "dsb2018"
    if not folder.is_dir():
        pytest.skip(f"no nuclei at {folder}")
    config = nuclei_unet.get_config()
    config.data.source = f"folder:{folder}"
    config.data.train_split = config.data.test_split = "sorted[:4]"
    config.data.augment = "none"
    config.segment.crop = None
    with config.unlocked():
        config.model.update(features=8, stages=2)
    config.batch_size, config.eval_batch_size, config.accumulate = 4, 4, 1
    config.duration = config.eval_every = "300 steps"
    config.checkpoint_every = "0 steps"
    config.optimizer.learning_rate = 1e-2
    config.optimizer.warmup = "10 steps"
    result = train.train_and_evaluate(config, tmp_path)
    assert result["test/iou_nucleus"] > 0.93
