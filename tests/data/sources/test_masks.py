"""Images with masks: what the numbers mean, pairs by name, sorted splits, resizing."""

import numpy as np
import PIL.Image
import pytest

from jdeconv.data import Loader, MaskCode, default_config, load_source, write_image
from jdeconv.data.sources.masks import IGNORE, decode_mask, read_mask
from jdeconv.data.sources.resized import resize_image, resize_mask


def config_for(folder, **fields):
    config = default_config()
    config.source = f"folder:{folder}"
    config.mask = "mask"
    config.mask_values = (0, 255)
    config.update(fields)
    return config


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


@pytest.fixture
def folder(tmp_path, rng):
    """Ten pictures, each 255 where its mask is; numbered, so that 10 is after 9."""
    for i in range(2, 12):
        mask = rng.integers(0, 2, (12, 10, 1)).astype(np.uint8)
        image = np.concatenate([255 * mask, np.full_like(mask, i), mask], -1)
        write(tmp_path / "image" / f"{i}.png", image)
        write(tmp_path / "mask" / f"{i}.png", 255 * mask)
    return tmp_path


def numbers(source):
    return [int(source[i]["image"][0, 0, 1]) for i in range(len(source))]


def test_pairs_by_name_in_the_order_of_their_numbers(folder):
    parts = {"train_split": "sorted[:80%]", "test_split": "sorted[80%:]"}
    config = config_for(folder, mask_names=("sky", "bird"), **parts)
    train, test = (load_source(config, split) for split in ("train", "test"))
    assert numbers(train) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert numbers(test) == [10, 11]
    assert (train.num_classes, train.class_names) == (2, ("sky", "bird"))
    assert train.element_bytes == 12 * 10 * (3 + 1)
    for i in range(len(train)):
        record = train[i]
        assert record["mask"].dtype == np.uint8 and set(record) == {"image", "mask"}
        np.testing.assert_array_equal(record["mask"], record["image"][..., 2])
    batch = next(Loader(train, batch_size=4, seed=0).iterate())
    np.testing.assert_array_equal(batch["mask"], batch["image"][..., 2])


def test_names_that_are_no_numbers_are_sorted_as_text(folder):
    for kind in ("image", "mask"):
        (folder / kind / "5.png").rename(folder / kind / "x5.png")
    source = load_source(config_for(folder), "sorted")
    assert numbers(source) == [10, 11, 2, 3, 4, 6, 7, 8, 9, 5]


@pytest.mark.parametrize(
    "crop", [{"crop": "random", "patches_per_image": 3}, {"crop": "grid"}], ids=str
)
def test_patches_are_cut_from_both(folder, crop):
    source = load_source(config_for(folder, patch_size=(4, 5), **crop), "all")
    assert source.masked and source.element_bytes == 4 * 5 * 4
    for i in range(len(source)):
        record = source[i]
        assert record["mask"].shape == (4, 5)
        np.testing.assert_array_equal(record["mask"], record["image"][..., 2])


def test_pictures_of_any_size_are_resized_with_their_masks(tmp_path):
    for i, size in enumerate([(20, 30), (50, 40)]):
        mask = np.zeros((*size, 1), np.uint8)
        mask[: size[0] // 2] = 255
        write(tmp_path / "image" / f"{i}.png", np.repeat(mask // 2, 3, -1))
        write(tmp_path / "mask" / f"{i}.png", mask)
    source = load_source(config_for(tmp_path, resize=10), "all")
    assert source.image_shape == (10, 10, 3)
    for i in range(2):
        record = source[i]
        expected = np.repeat(np.arange(10) < 5, 10).reshape(10, 10)
        np.testing.assert_array_equal(record["mask"], expected)
        far = np.abs(np.arange(10) - 4.5) > 1
        np.testing.assert_array_equal(
            record["image"][far, :, 0], 127 * expected[far].astype(np.uint8)
        )
    both = config_for(tmp_path, resize=10, patch_size=4, crop="center")
    assert load_source(both, "all").image_shape == (4, 4, 3)


def test_resizing_keeps_centres_types_and_means(rng):
    ramp = np.arange(16.0).reshape(1, 16, 1).astype(np.float32).repeat(8, 0)
    np.testing.assert_allclose(
        resize_image(ramp, (4, 8))[0, 1:-1, 0], 2 * np.arange(1, 7) + 0.5, atol=1e-5
    )
    image = rng.integers(0, 2**16, (9, 9, 3)).astype(np.uint16)
    assert resize_image(image, (3, 3)).dtype == np.uint16
    assert resize_image(image, (9, 9)) is image
    labels = np.arange(36).reshape(6, 6)
    np.testing.assert_array_equal(resize_mask(labels, (2, 2)), [[7, 10], [25, 28]])
    np.testing.assert_array_equal(
        resize_mask(labels[:2, :2], (4, 4))[:, 0], [0, 0, 6, 6]
    )


def test_code_ignores_what_it_is_told_to_and_refuses_the_rest():
    stored = np.array([[1, 2, 3, 9]], np.uint8)
    code = MaskCode((2, 1), ignore=(3, 9))
    np.testing.assert_array_equal(code.encode(stored), [[1, 0, IGNORE, IGNORE]])
    np.testing.assert_array_equal(code.decode(np.array([[0, 1]])), [[2, 1]])
    rest = MaskCode((2, 1, 600), ignore="rest")
    np.testing.assert_array_equal(rest.encode(stored), [[1, 0, IGNORE, IGNORE]])
    assert rest.decode(np.array([[2]])).dtype == np.uint16
    with pytest.raises(ValueError, match=r"a.png holds 9, which .*\(2, 1\)"):
        MaskCode((2, 1), ignore=3).encode(stored, "a.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": (0,)}, r"mask_values=\(0,\)"),
        ({"values": (0, 0)}, "different"),
        ({"values": (0, -1)}, r"0 \.\. 65535"),
        ({"values": (0, 1), "ignore": (1, 2)}, r"\[1\].*are classes"),
        ({"values": (0, 1), "ignore": "all"}, "data.mask_ignore='all'"),
        ({"values": (0, 1), "names": ("a",)}, r"mask_names=\('a',\).*2 different"),
    ],
)
def test_codes_that_make_no_sense_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        MaskCode(**options)


def test_palette_images_are_their_numbers(tmp_path, rng):
    stored = rng.integers(0, 4, (5, 6)).astype(np.uint8)
    picture = PIL.Image.fromarray(stored).convert("P")
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    picture.putdata(stored.ravel().tolist())
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), stored)
    encoded = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(decode_mask(encoded, "a"), stored)
    write_image(tmp_path / "b.png", np.repeat(stored[..., None], 3, -1))
    np.testing.assert_array_equal(read_mask(tmp_path / "b.png"), stored)


def test_what_is_wrong_with_a_folder_is_named(folder, tmp_path):
    config = config_for(folder)
    with pytest.raises(ValueError, match=r"mask_values.*\(0, 255\)"):
        load_source(config_for(folder, mask_values=None), "all")
    with pytest.raises(FileNotFoundError, match=r"labels of masks \(data.mask\)"):
        load_source(config_for(folder, mask="labels"), "all")
    with pytest.raises(FileNotFoundError, match="there is no folder .*pictures of im"):
        load_source(config_for(folder, image="pictures"), "all")
    with pytest.raises(ValueError, match=r"data.mask='mask': digits has no masks"):
        load_source(config_for(folder, source="digits"), "test")
    write_image(folder / "mask" / "3.png", np.zeros((12, 9, 1), np.uint8))
    with pytest.raises(ValueError, match=r"3.png is 12 x 9 .*12 x 10"):
        _ = load_source(config, "sorted")[1]
    colour = np.zeros((12, 10, 3), np.uint8)
    colour[0, 0, 0] = 1
    write_image(folder / "mask" / "3.png", colour)
    with pytest.raises(ValueError, match="colour picture"):
        _ = load_source(config, "sorted")[1]
    (folder / "mask" / "4.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"4.png has no mask"):
        load_source(config, "all")
