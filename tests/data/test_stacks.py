"""Arrays in files: what is written is read, and what is neither is told."""

import numpy as np
import pytest

from jdeconv.data import stacks


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
@pytest.mark.parametrize("shape", [(7, 9), (4, 7, 9), (7, 9, 3), (4, 7, 9, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_what_is_written_is_read(tmp_path, suffix, shape, dtype):
    if suffix == ".tif" and shape == (7, 9, 3) and dtype not in ("uint8", "uint16"):
        pytest.skip("three channels of these are read as a stack of nine rows")
    array = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    stacks.write_array(tmp_path / f"a{suffix}", array)
    read = stacks.read_array(tmp_path / f"a{suffix}")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, array)


def test_what_cannot_be_read(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "nan.npy", np.array([1.0, np.nan]))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    for name, words in [
        ("text.npy", "holds <U1"),
        ("nan.npy", "holds 1 values that are NaN or infinite, of 2"),
        ("cut.npy", "cannot be read as NPY"),
        ("cut.tif", "cut.tif"),
    ]:
        with pytest.raises(ValueError, match=words):
            stacks.read_array(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        stacks.read_array(tmp_path / "none.npy")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        stacks.write_array(tmp_path / "none" / "a.npy", np.ones(3))
