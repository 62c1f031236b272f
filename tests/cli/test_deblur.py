"""`jdeconv deblur`: files in, files out, and what goes wrong with them."""

import numpy as np
import pytest

from jdeconv import data
from jdeconv.cli.deblur import deblur_images, read_psf
from jdeconv.cli.main import main
from jdeconv.data import stacks
from jdeconv.restore import psf

FAST = dict(method="wiener", weight=0.01)
FLAGS = ["--method", "wiener", "--weight", "0.01"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    inputs = tmp_path / "in"
    inputs.mkdir()
    smooth = np.kron(rng.random((6, 8)), np.ones((4, 4)))
    grey = np.round(smooth * 255).astype("uint8")
    data.write_image(inputs / "grey.png", grey)
    data.write_image(
        inputs / "colour.png", np.stack([grey, grey.T.reshape(24, 32)] * 2, -1)[..., :3]
    )
    stacks.write_array(inputs / "deep.tif", (smooth * 65535).astype("uint16"))
    stacks.write_array(inputs / "stack.tif", np.stack([grey] * 5))
    stacks.write_array(inputs / "floats.npy", smooth.astype("float32"))
    return inputs


def test_every_format_comes_back_as_it_came(folder, tmp_path):
    written, failed = deblur_images(folder, "gaussian:1.0", tmp_path / "out", **FAST)
    assert not failed
    assert sorted(p.name for p in written) == sorted(p.name for p in folder.iterdir())
    for path in written:
        before, after = stacks.read_array(folder / path.name), stacks.read_array(path)
        assert after.dtype == before.dtype and after.shape == before.shape
        assert not np.array_equal(before, after)
        assert path.with_name(f"{path.stem}_figure.png").exists()


def test_a_volume_is_deblurred_as_one(folder, tmp_path):
    kernel = np.asarray(psf.gaussian((1.0, 1.0, 1.0), (3, 3, 3)))
    np.save(tmp_path / "psf.npy", kernel)
    written, _ = deblur_images(
        folder / "stack.tif", tmp_path / "psf.npy", tmp_path / "out", **FAST
    )
    from jdeconv.restore import deconvolve

    expected = deconvolve(stacks.read_array(folder / "stack.tif"), kernel, **FAST)
    np.testing.assert_array_equal(stacks.read_array(written[0]), expected)


def test_a_bad_file_is_told_and_the_others_go_on(folder, tmp_path, capsys):
    for name in ("deep.tif", "stack.tif", "colour.png"):  # other tests' formats
        (folder / name).unlink()
    (folder / "broken.png").write_bytes(b"no picture")
    np.save(folder / "nan.npy", np.full((24, 32), np.nan, "float32"))
    np.save(folder / "tiny.npy", np.ones((3, 3), "float32"))
    out = tmp_path / "out"
    code = main(["deblur", str(folder), "--psf", "disk:2", "--out", str(out), *FLAGS])
    printed = capsys.readouterr()
    assert code == 2
    assert len(printed.out.splitlines()) == 2
    errors = printed.err
    for word in ("broken.png", "nan.npy", "768 values", "tiny.npy", "larger than"):
        assert word in errors
    assert not (out / "broken.png").exists() and not (out / "tiny.npy").exists()
    assert not list(out.glob("*.part*"))


def test_psfs_by_name_and_by_file(tmp_path):
    np.testing.assert_allclose(read_psf("gaussian:2.5"), psf.gaussian(2.5))
    np.testing.assert_allclose(read_psf("motion:15,30"), psf.motion(15.0, 30.0))
    np.testing.assert_allclose(read_psf("disk:4"), psf.disk(4.0))
    lens = "born-wolf:wavelength=0.5,na=0.8,pixel_size=0.2,z_step=0.5,shape=5x9x9"
    assert read_psf(lens).shape == (5, 9, 9)
    picture = np.zeros((5, 5, 3), "uint8")
    picture[2, 1:4] = 80
    data.write_image(tmp_path / "psf.png", picture)
    np.testing.assert_allclose(read_psf(tmp_path / "psf.png"), picture.sum(-1))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--psf", "gaussian:x"], "--psf: psf 'gaussian:x': a value is 'x'"),
        (["--psf", "airy.png"], "--psf=airy.png: there is no such file"),
        (["--psf", "disk:2", "--method", "magic"], "invalid choice: 'magic'"),
        (["--psf", "disk:2", "--device", "abacus"], "--device=abacus: must be one of"),
        ([], "--psf"),
    ],
)
def test_mistakes_are_told_in_a_line(folder, tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    code = main(["deblur", str(folder / "grey.png"), "--out", str(out), *arguments])
    error = capsys.readouterr().err
    assert code == 2 and message in error and len(error.splitlines()) == 1
    assert not out.exists()


def test_an_input_is_never_overwritten(folder, capsys):
    before = (folder / "grey.png").read_bytes()
    code = main(["deblur", str(folder), "--psf", "disk:2", "--out", str(folder)])
    assert code == 2 and "would overwrite an input" in capsys.readouterr().err
    assert (folder / "grey.png").read_bytes() == before


def test_a_full_disk_leaves_no_partial_file(folder, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.save", full)
    out = tmp_path / "out"
    flags = ["--psf", "disk:1", "--out", str(out), *FLAGS]
    assert main(["deblur", str(folder / "floats.npy"), *flags]) == 2
    assert "No space left" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_large_images_go_by_blocks(folder, tmp_path, capfd):
    rng = np.random.default_rng(0)
    large = np.kron(rng.random((20, 16)), np.ones((8, 8)))
    stacks.write_array(folder / "large.npy", large.astype("float32"))
    arguments = ["deblur", str(folder / "large.npy"), "--psf=gaussian:1.0", *FLAGS]
    assert main([*arguments, f"--out={tmp_path / 'whole'}"]) == 0
    assert "large.npy: " not in capfd.readouterr().err
    few = ["--max_memory=0.8MB", f"--out={tmp_path / 'blocks'}"]
    assert main([*arguments, *few]) == 0
    assert "large.npy: " in capfd.readouterr().err
    whole, blocks = (
        stacks.read_array(tmp_path / name / "large.npy") for name in ("whole", "blocks")
    )
    apart = np.abs(whole - blocks)
    assert apart.max() > 0 and apart[8:-8, 8:-8].max() < 1e-3
    assert main([*arguments, "--max_memory=plenty", f"--out={tmp_path}"]) != 0
    assert "must be such as 500MB" in capfd.readouterr().err
