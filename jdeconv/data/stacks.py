"""Arrays in files, of more axes than a picture's: TIFF stacks and NumPy's NPY.

What `images` reads is read here too, so one function serves folders that hold both.
"""

import pathlib

import numpy as np

from jdeconv.data import images

SUFFIXES = (*images.SUFFIXES, ".npy")
_TIFF = (".tif", ".tiff")
_NUMBERS = ("uint8", "uint16", "uint32", "float32", "float64")


def read_array(path: images.Path) -> np.ndarray:
    """The numbers in a file, as stored.

    Args:
      path: PNG, JPEG, TIFF with one page or many, or NPY.

    Returns:
      `[H, W]` for grey pictures, `[H, W, 3]` for colours, `[pages, H, W]` or
      `[pages, H, W, 3]` for stacks, whatever is in an NPY file; uint8, uint16, uint32,
      float32 or float64.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no such file, is damaged, or holds other numbers or NaN.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".npy":
        array = _read_npy(path)
    elif path.suffix.lower() in _TIFF and not _is_picture(path):
        array = _read_stack(path)
    else:
        image = images.read_image(path)
        return image[..., 0] if image.shape[-1] == 1 else image
    if array.dtype.name not in _NUMBERS or array.size == 0:
        raise ValueError(
            f"{path} holds {array.dtype} of shape {array.shape}; legal are "
            f"{', '.join(_NUMBERS)}, and no empty axis"
        )
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise ValueError(
            f"{path} holds {bad} values that are NaN or infinite, of {array.size}"
        )
    return array


def write_array(path: images.Path, array: np.ndarray) -> None:
    """Writes what `read_array` reads, whole or not at all.

    Raises:
      ValueError: a shape, or TypeError: a type of number, that the suffix's format does
        not hold.
      FileNotFoundError: the folder does not exist.
    """
    path = pathlib.Path(path)
    array = np.asarray(array)
    suffix = path.suffix.lower()
    is_stack = suffix in _TIFF and (
        array.ndim > 3
        or (array.ndim == 3 and array.shape[-1] != 3)
        or array.dtype == np.uint32
    )
    if suffix != ".npy" and not is_stack:
        images.write_image(path, array)
        return
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    with images.replacing(path) as file:
        if is_stack:
            import tifffile

            colors = array.ndim == 4 and array.shape[-1] == 3
            tifffile.imwrite(file, array, photometric="rgb" if colors else "minisblack")
        else:
            np.save(file, array, allow_pickle=False)


def _read_npy(path: pathlib.Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as NPY ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds several arrays; give each its own NPY file")
    return array


def _is_picture(path: pathlib.Path) -> bool:
    """Whether a TIFF file is one that `images` reads: one page, no 32-bit integers."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            pages = sum(len(series.pages) for series in tiff.series[:1])
            return pages == 1 and tiff.series[0].dtype != np.uint32
    except FileNotFoundError:
        raise
    except Exception:
        return True  # whatever it is, reading it as an image says what is wrong


def _read_stack(path: pathlib.Path) -> np.ndarray:
    import tifffile

    try:
        return tifffile.imread(path)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read, it may be cut short or damaged "
            f"({type(error).__name__}: {error})"
        ) from error
