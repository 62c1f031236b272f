"""Where results go: into a folder, over no input and over no other result."""

import pathlib

import pytest

from jdeconv.cli.targets import result_files


def test_results_have_their_own_names_in_a_folder_that_need_not_exist(tmp_path):
    files = [pathlib.Path("a/one.png"), pathlib.Path("b/two.tif")]
    out = tmp_path / "new" / "folder"
    assert result_files(files, out) == {f: out / f.name for f in files}


@pytest.mark.parametrize("out", ["note.txt", "note.txt/results"])
def test_a_file_is_no_folder(out, tmp_path):
    (tmp_path / "note.txt").touch()
    with pytest.raises(ValueError, match=r"note\.txt is a file; name a folder"):
        result_files([pathlib.Path("one.png")], tmp_path / out)


def test_nothing_is_overwritten(tmp_path):
    with pytest.raises(ValueError, match="would overwrite an input"):
        result_files([tmp_path / "one.png"], tmp_path)
    twins = [pathlib.Path("a/one.png"), pathlib.Path("b/one.tif")]
    with pytest.raises(ValueError, match="would both be written as"):
        result_files(twins, tmp_path / "out")
