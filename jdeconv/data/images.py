"""Image files to arrays and back: PNG, JPEG and TIFF, 8 and 16 bit, grey and RGB.

An image is `[H, W, 1]` or `[H, W, 3]`, uint8 or uint16 as stored (TIFF: float too).
What is not grey or RGB becomes so in one stated way:

- palette and CMYK images become RGB, bits become 0 and 255;
- transparency is laid over white, so an opaque alpha channel changes nothing;
- the EXIF orientation is applied, and white-is-zero TIFFs are turned round.
"""

import contextlib
import os
import pathlib
import secrets
import struct
from collections.abc import Iterator, Sequence
from typing import IO, Any

import numpy as np

Path = str | os.PathLike[str]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
)
_LUMA = (299, 587, 114)  # ITU-R BT.601, thousandths
_EXIF_ORIENTATION = 0x0112


def read_image(path: Path) -> np.ndarray:
    """The pixels of an image file, exactly as stored.

    The format is told by the file's content, not by its name. 16-bit RGB PNGs are
    decoded in pure Python, some seconds for ten megapixels.

    Args:
      path: a PNG, JPEG or TIFF file with one image in it.

    Returns:
      uint8 or uint16 (from TIFF float32 or float64 too), `[H, W, 1]` or `[H, W, 3]`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not an image, is cut short, holds more than one image,
        numbers of another type, or NaN.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not an image file")
    kind = _format(path)
    read = {"png": _read_png, "jpeg": _read_pillow, "tiff": _read_tiff}[kind]
    try:
        image = read(path)
    except _NotOurs as error:
        raise ValueError(f"{path} {error}") from None
    except Exception as error:  # the decoders raise whatever they stumble over
        raise ValueError(
            f"{path} cannot be read, it may be cut short or damaged "
            f"({type(error).__name__}: {error})"
        ) from error
    return check_image(str(path), image)


def write_image(path: Path, image: np.ndarray, *, quality: int = 95) -> None:
    """Writes an image, whole or not at all: a new file takes the old one's place.

    Args:
      path: where to; its suffix is the format (.png, .jpg, .jpeg, .tif, .tiff).
      image: `[H, W, 1]`, `[H, W, 3]` or `[H, W]`; uint8, for PNG and TIFF also uint16,
        for TIFF also float32.
      quality: of JPEG, 1 to 95.

    Raises:
      ValueError: the suffix or shape is none of these; NaN.
      TypeError: the dtype is none of these, or not one of that format.
      FileNotFoundError: the folder does not exist.
    """
    path = pathlib.Path(path)
    kind = _kind_of_suffix(path)
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    check_image(f"the image for {path}", image)
    if image.ndim != 3:
        raise ValueError(
            f"the image for {path} has shape {image.shape}: must be [H, W, 1 or 3]; "
            "write one image at a time"
        )
    legal = {
        "png": ("uint8", "uint16"),
        "jpeg": ("uint8",),
        "tiff": ("uint8", "uint16", "float32"),
    }[kind]
    if image.dtype.name not in legal:
        raise TypeError(
            f"{path}: the image has dtype {image.dtype}, {kind.upper()} takes "
            f"{' or '.join(legal)}; convert it first, or choose another suffix"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    grey = image.shape[-1] == 1
    pixels = np.ascontiguousarray(image[..., 0] if grey else image)
    with replacing(path) as file:
        if kind == "tiff":
            import tifffile

            tifffile.imwrite(file, pixels, photometric="minisblack" if grey else "rgb")
        elif image.dtype == np.uint16 and not grey:
            _write_png_rgb16(file, pixels)
        else:
            import PIL.Image

            options = {"quality": quality} if kind == "jpeg" else {}
            PIL.Image.fromarray(pixels).save(file, format=kind, **options)


def find_images(
    paths: Path | Sequence[Path], suffixes: Sequence[str] = SUFFIXES
) -> list[pathlib.Path]:
    """The image files named, and those lying in the folders named.

    Args:
      paths: files and folders, one or many. A folder stands for the images directly in
        it, sorted by name; hidden files are passed over.
      suffixes: of files that count as images.

    Returns:
      The files in the order asked for, each once.

    Raises:
      FileNotFoundError: a path does not exist, or a folder holds no image.
      ValueError: a file whose suffix is not an image's.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[pathlib.Path, None] = {}
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            inside = images_in(path, suffixes)
            if not inside:
                raise FileNotFoundError(
                    f"folder {path} holds no image: looked for {', '.join(suffixes)} "
                    "directly in it"
                )
            found.update(dict.fromkeys(inside))
        elif path.exists():
            _check_suffix(path, suffixes)
            found[path] = None
        else:
            raise FileNotFoundError(f"there is no file or folder {path}")
    return list(found)


def images_in(
    folder: pathlib.Path, suffixes: Sequence[str] = SUFFIXES
) -> list[pathlib.Path]:
    """Image files directly in a folder, sorted by name; maybe none."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in suffixes
        and not file.name.startswith(".")
        and file.is_file()
    )


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file, from its header where that can be read."""
    import PIL.Image

    path = pathlib.Path(path)
    _format(path)
    try:
        with PIL.Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
    except Exception:
        # A TIFF that Pillow does not know, or a damaged file: reading it says which.
        height, width, _ = read_image(path).shape
        return height, width
    return (width, height) if turned else (height, width)


def check_image(name: str, image: np.ndarray) -> np.ndarray:
    """The image itself, if it is one that jdeconv takes.

    Args:
      name: what to call it in an error.
      image: to be `[*batch, H, W, 1 or 3]`, uint8, uint16 or finite floats.

    Raises:
      ValueError: another shape, an empty axis, NaN or infinity.
      TypeError: another dtype.
    """
    image = np.asarray(image)
    if image.ndim < 3 or image.shape[-1] not in (1, 3) or 0 in image.shape:
        raise ValueError(
            f"{name} has shape {image.shape}: must be [..., height, width, channels] "
            "with 1 (grey) or 3 (RGB) channels and no empty axis"
        )
    return check_values(name, image)


def check_values(name: str, image: np.ndarray) -> np.ndarray:
    """The array itself, if it is uint8, uint16 or finite floats.

    Raises:
      ValueError: NaN or infinity.
      TypeError: another dtype.
    """
    if image.dtype in (np.uint8, np.uint16):
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise TypeError(
            f"{name} has dtype {image.dtype}: images are uint8, uint16 or floating "
            "(cast it, e.g. .astype('uint8') for numbers from 0 to 255)"
        )
    num_finite = np.count_nonzero(np.isfinite(image))
    if num_finite < image.size:
        raise ValueError(
            f"{name} holds {image.size - num_finite} values that are NaN or infinite, "
            f"of {image.size}"
        )
    return image


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """The image with 1 or 3 channels: grey by BT.601 luma, RGB by repetition.

    >>> to_channels(np.full((2, 2, 3), 7, np.uint8), 1).shape
    (2, 2, 1)
    """
    if channels not in (1, 3):
        raise ValueError(f"channels={channels!r}: must be 1 (grey) or 3 (RGB)")
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=-1)
    if np.issubdtype(image.dtype, np.integer):
        luma = image.astype(np.uint32) @ np.array(_LUMA, np.uint32)
        return ((luma + 500) // 1000).astype(image.dtype)[..., None]
    return (image @ (np.array(_LUMA) / 1000).astype(image.dtype))[..., None]


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when all went well, else vanishes."""
    # Not `tempfile`: its files are readable by their owner alone.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class _NotOurs(Exception):
    """A file that can be read, but holds no image of ours; says what it holds."""


def _format(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        start = file.read(8)
    for signature, kind in _SIGNATURES:
        if start.startswith(signature):
            return kind
    if not start:
        raise ValueError(f"{path} is empty")
    raise ValueError(f"{path} is no PNG, JPEG or TIFF file (it begins with {start!r})")


def _check_suffix(path: pathlib.Path, suffixes: Sequence[str]) -> None:
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: the suffix must be one of {', '.join(suffixes)}")


def _kind_of_suffix(path: pathlib.Path) -> str:
    suffix = path.suffix.lower()
    _check_suffix(path, SUFFIXES)
    return {".png": "png", ".tif": "tiff", ".tiff": "tiff"}.get(suffix, "jpeg")


def _read_png(path: pathlib.Path) -> np.ndarray:
    with open(path, "rb") as file:
        header = file.read(26)
    bit_depth, color_type = struct.unpack(">BB", header[24:26])
    if bit_depth != 16 or color_type == 0:
        return _read_pillow(path)
    # Pillow keeps only the upper 8 bits of these.
    import png

    with open(path, "rb") as file:
        width, height, rows, info = png.Reader(file=file).read()
        pixels = np.stack([np.asarray(row, np.uint16) for row in rows])
    return _over_white(pixels.reshape(height, width, info["planes"]))


def _write_png_rgb16(file: IO[bytes], image: np.ndarray) -> None:
    import png

    height, width, _ = image.shape
    writer = png.Writer(width, height, greyscale=False, bitdepth=16)
    writer.write_packed(file, (row.tobytes() for row in image.astype(">u2")))


def _read_pillow(path: pathlib.Path) -> np.ndarray:
    import PIL.Image
    import PIL.ImageOps

    with PIL.Image.open(path) as file:
        file.load()
        image = PIL.ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16-bit grey: "I;16", of older Pillows "I"
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        return _over_white(np.asarray(image.convert("LA" if grey else "RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    return np.asarray(image.convert("RGB"))


def _read_tiff(path: pathlib.Path) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        if len(tiff.pages) != 1 or page.imagedepth != 1:
            raise _NotOurs(
                f"holds {len(tiff.pages)} images of shape {page.shape}; give each its "
                "own file (tifffile.imread reads stacks into arrays)"
            )
        if page.photometric.name not in ("MINISBLACK", "MINISWHITE", "RGB"):
            return _read_pillow(path)
        if page.bitspersample == 1:
            return _read_pillow(path)
        if page.dtype is None or (page.dtype.kind, page.bitspersample) not in (
            ("u", 8),
            ("u", 16),
            ("f", 32),
            ("f", 64),
        ):
            raise _NotOurs(
                f"holds {page.bitspersample}-bit numbers of type {page.dtype}; legal "
                "are 8 and 16-bit unsigned integers, 32 and 64-bit floats"
            )
        try:
            pixels = page.asarray()
        except (ValueError, KeyError) as error:
            if "imagecodecs" not in str(error):
                raise
            # Pillow can undo LZW and JPEG too, but not for floats and 16-bit colour.
            if page.bitspersample == 8 or (
                page.dtype.kind == "u" and page.samplesperpixel == 1
            ):
                return _read_pillow(path)
            raise _NotOurs(
                f"is compressed by {page.compression.name}, which needs one more "
                "package: pip install imagecodecs"
            ) from None
        return _tiff_colors(page, pixels)


def _tiff_colors(page: Any, pixels: np.ndarray) -> np.ndarray:
    if page.samplesperpixel > 1 and page.planarconfig.name == "SEPARATE":
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.reshape(page.imagelength, page.imagewidth, -1)
    if page.photometric.name == "MINISWHITE":
        if pixels.dtype.kind == "f":
            raise _NotOurs("holds white-is-zero floats, whose white is unknown")
        pixels = np.iinfo(pixels.dtype).max - pixels
    colors = 3 if page.photometric.name == "RGB" else 1
    if pixels.shape[-1] == colors:
        return pixels
    if pixels.shape[-1] != colors + 1 or not any(page.extrasamples):
        raise _NotOurs(
            f"holds {pixels.shape[-1]} channels; legal are grey and RGB, with or "
            "without alpha"
        )
    return _over_white(pixels, premultiplied=page.extrasamples[0] == 1)


def _over_white(pixels: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """Grey or RGB from [H, W, 1 to 4]; the last of 2 or 4 channels is alpha."""
    if pixels.shape[-1] in (1, 3):
        return pixels
    if pixels.dtype.kind == "f":
        raise _NotOurs("holds floats with transparency; legal is alpha of integers")
    white = int(np.iinfo(pixels.dtype).max)
    wide = pixels.astype(np.uint64)
    color, alpha = wide[..., :-1], wide[..., -1:]
    weighted = color * white if premultiplied else color * alpha
    over = (weighted + white * (white - alpha) + white // 2) // white
    return np.minimum(over, white).astype(pixels.dtype)
