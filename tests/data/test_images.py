"""Reading and writing image files."""

import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import png
import pytest
import tifffile

from jdeconv.data import images
from jdeconv.data.images import find_images, image_size, read_image, write_image


def random_image(rng, dtype, channels, height=13, width=17):
    return rng.integers(
        0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_round_trip(tmp_path, rng, suffix, dtype, channels):
    image = random_image(rng, dtype, channels)
    path = tmp_path / f"image{suffix}"
    write_image(path, image)
    read = read_image(path)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, image)
    assert image_size(path) == (13, 17)
    assert os.listdir(tmp_path) == [path.name]


def test_16_bit_colour_png_is_a_true_one(tmp_path, rng):
    image = random_image(rng, np.uint16, 3)
    write_image(tmp_path / "a.png", image)
    width, height, rows, info = png.Reader(str(tmp_path / "a.png")).asRGB()
    assert (width, height, info["bitdepth"]) == (17, 13, 16)
    np.testing.assert_array_equal(
        np.vstack([np.array(row) for row in rows]), image.reshape(13, -1)
    )


def test_files_of_other_writers(tmp_path, rng):
    grey, color = random_image(rng, np.uint8, 1), random_image(rng, np.uint8, 3)
    PIL.Image.fromarray(color).save(tmp_path / "a.png")
    PIL.Image.fromarray(grey[..., 0]).save(tmp_path / "b.png")
    PIL.Image.fromarray(color).save(tmp_path / "c.tif", compression="tiff_lzw")
    deep = random_image(rng, np.uint16, 1)
    PIL.Image.fromarray(deep[..., 0]).save(tmp_path / "d.png")
    tifffile.imwrite(
        tmp_path / "e.tif",
        np.moveaxis(color, -1, 0),
        photometric="rgb",
        planarconfig="separate",
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), color)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), grey)
    np.testing.assert_array_equal(read_image(tmp_path / "c.tif"), color)
    np.testing.assert_array_equal(read_image(tmp_path / "d.png"), deep)
    np.testing.assert_array_equal(read_image(tmp_path / "e.tif"), color)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path, channels):
    ramp = np.linspace(0, 255, 40 * 24).reshape(40, 24, 1).astype(np.uint8)
    image = np.repeat(ramp, channels, axis=-1)
    write_image(tmp_path / "a.jpg", image)
    read = read_image(tmp_path / "a.jpg")
    assert read.shape == image.shape
    assert np.abs(read.astype(int) - image).max() <= 4


def test_format_is_told_by_content(tmp_path, rng):
    image = random_image(rng, np.uint8, 3)
    write_image(tmp_path / "a.png", image)
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), image)


def test_exif_orientation_is_applied(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn right
    PIL.Image.new("L", (20, 10)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (20, 10, 1)
    assert image_size(tmp_path / "a.jpg") == (20, 10)


def test_palette_bits_and_cmyk(tmp_path):
    palette = PIL.Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png")[0, 0].tolist() == [10, 20, 30]
    PIL.Image.new("1", (4, 3), 1).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "bits.png"), np.full((3, 4, 1), 255, np.uint8)
    )
    PIL.Image.new("1", (4, 3), 1).save(tmp_path / "bits.tif")
    np.testing.assert_array_equal(
        read_image(tmp_path / "bits.tif"), np.full((3, 4, 1), 255, np.uint8)
    )
    PIL.Image.new("CMYK", (4, 3), (0, 0, 0, 0)).save(tmp_path / "cmyk.jpg")
    assert read_image(tmp_path / "cmyk.jpg").shape == (3, 4, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparency_is_laid_over_white(tmp_path, rng, dtype, channels, suffix):
    white = np.iinfo(dtype).max
    pixels = random_image(rng, dtype, channels)
    pixels[0, 0, -1], pixels[0, 1, -1] = 0, white
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        photometric = "rgb" if channels == 4 else "minisblack"
        tifffile.imwrite(
            path, pixels, photometric=photometric, extrasamples=["unassalpha"]
        )
    else:
        writer = png.Writer(
            17, 13, greyscale=channels == 2, alpha=True, bitdepth=8 * pixels.itemsize
        )
        with open(path, "wb") as file:
            writer.write(file, pixels.reshape(13, -1))
    read = read_image(path)
    alpha = pixels[..., -1:] / white
    expected = pixels[..., :-1] * alpha + white * (1 - alpha)
    assert read.dtype == dtype
    assert np.abs(read - expected).max() <= 0.5 + 1e-6
    assert (read[0, 0] == white).all()
    np.testing.assert_array_equal(read[0, 1], pixels[0, 1, :-1])


def test_tiff_white_is_zero_and_floats(tmp_path, rng):
    image = random_image(rng, np.uint16, 1)
    tifffile.imwrite(tmp_path / "a.tif", image[..., 0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), 65535 - image)
    floats = rng.standard_normal((5, 6, 3)).astype(np.float32)
    write_image(tmp_path / "b.tif", floats)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif"), floats)


def test_missing_folder_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "text.png").write_text("not an image at all")
    with pytest.raises(ValueError, match=r"text\.png is no PNG, JPEG or TIFF"):
        read_image(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(ValueError, match=r"empty\.png is empty"):
        read_image(tmp_path / "empty.png")


@pytest.mark.parametrize("name", ["a8.png", "a16.png", "a8.jpg", "a8.tif", "a16.tif"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_files(tmp_path, rng, name, kept):
    dtype = np.uint16 if "16" in name else np.uint8
    path = tmp_path / name
    write_image(path, random_image(rng, dtype, 3, 64, 64))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        read_image(path)


def test_damaged_png(tmp_path, rng):
    path = tmp_path / "a.png"
    write_image(path, random_image(rng, np.uint8, 3, 64, 64))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"a\.png cannot be read"):
        read_image(path)


def test_tiffs_of_another_kind(tmp_path):
    stack = np.zeros((3, 8, 8), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    with pytest.raises(ValueError, match="holds 3 images"):
        read_image(tmp_path / "stack.tif")
    tifffile.imwrite(tmp_path / "wide.tif", np.zeros((8, 8), np.uint32))
    with pytest.raises(ValueError, match="32-bit numbers"):
        read_image(tmp_path / "wide.tif")
    tifffile.imwrite(tmp_path / "signed.tif", np.zeros((8, 8), np.int16))
    with pytest.raises(ValueError, match=r"legal\s+are 8 and 16-bit unsigned"):
        read_image(tmp_path / "signed.tif")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((8, 8), np.nan, np.float32))
    with pytest.raises(ValueError, match="64 values that are NaN"):
        read_image(tmp_path / "nan.tif")


@pytest.mark.parametrize(
    "name, image, error, match",
    [
        ("a.bmp", np.zeros((2, 2, 1), np.uint8), ValueError, "suffix must be one of"),
        ("a.jpg", np.zeros((2, 2, 1), np.uint16), TypeError, "JPEG takes uint8"),
        ("a.png", np.zeros((2, 2, 1), np.float32), TypeError, "uint8 or uint16"),
        ("a.png", np.zeros((2, 2, 1), np.int64), TypeError, "dtype int64"),
        ("a.png", np.zeros((2, 2, 1), bool), TypeError, "dtype bool"),
        ("a.png", np.zeros((2, 2, 4), np.uint8), ValueError, "1 .grey. or 3"),
        ("a.png", np.zeros((0, 2, 1), np.uint8), ValueError, "no empty axis"),
        ("a.png", np.zeros((5, 2, 2, 1), np.uint8), ValueError, "one image at a time"),
        ("a.tif", np.full((2, 2, 1), np.inf, np.float32), ValueError, "infinite"),
        ("b/a.png", np.zeros((2, 2, 1), np.uint8), FileNotFoundError, "no folder"),
    ],
)
def test_write_refuses(tmp_path, name, image, error, match):
    with pytest.raises(error, match=match):
        write_image(tmp_path / name, image)
    assert os.listdir(tmp_path) == []


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), images.replacing(path) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_find_images(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "none").mkdir()
    for name in ("in/b.png", "in/a.JPG", "in/.hidden.png", "in/notes.txt", "c.tif"):
        (tmp_path / name).touch()
    a, b, c = tmp_path / "in/a.JPG", tmp_path / "in/b.png", tmp_path / "c.tif"
    assert find_images(tmp_path / "in") == [a, b]
    assert find_images([c, tmp_path / "in", b]) == [c, a, b]
    with pytest.raises(FileNotFoundError, match="holds no image"):
        find_images([tmp_path / "none"])
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        find_images(tmp_path / "absent")
    with pytest.raises(ValueError, match="suffix must be"):
        find_images(tmp_path / "in/notes.txt")


def test_to_channels(rng):
    color = random_image(rng, np.uint16, 3)
    luma = color @ np.array([0.299, 0.587, 0.114])
    grey = images.to_channels(color, 1)
    assert grey.dtype == np.uint16
    assert np.abs(grey[..., 0] - luma).max() <= 0.5 + 1e-6
    white = np.full((1, 1, 3), 65535, np.uint16)
    assert images.to_channels(white, 1).item() == 65535
    np.testing.assert_array_equal(images.to_channels(grey, 3)[..., 2:], grey)
    with pytest.raises(ValueError, match="channels=2"):
        images.to_channels(color, 2)


def test_filtered_16_bit_png(tmp_path, rng):
    """Other writers filter their rows; here one by each kind of filter."""
    image = random_image(rng, np.uint16, 3, 5, 7)
    raw = image.astype(">u2").reshape(5, -1).view(np.uint8).astype(int)
    rows = []
    for kind, row in enumerate(raw):
        up = raw[kind - 1] if kind else np.zeros_like(row)
        left = np.concatenate([np.zeros(6, int), row[:-6]])
        corner = np.concatenate([np.zeros(6, int), up[:-6]])
        guess = left + up - corner
        near = np.abs(np.stack([left, up, corner]) - guess).argmin(0)
        paeth = np.choose(near, [left, up, corner])
        base = [0 * row, left, up, (left + up) // 2, paeth][kind]
        rows.append(bytes([kind]) + ((row - base) % 256).astype(np.uint8).tobytes())

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    file = io.BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 2, 0, 0, 0)))
    file.write(chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))
    (tmp_path / "a.png").write_bytes(file.getvalue())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
