"""`jdeconv process`: every kind of file, every kind of mistake."""

import json

import numpy as np
import pytest

from configs import autoencoder_mnist, smoke, tutorial_mnist
from jdeconv import data, train
from jdeconv.cli import process


def tiny(config, tmp_path_factory, name):
    config.duration = config.eval_every = "2 steps"
    workdir = tmp_path_factory.mktemp(name)
    train.train_and_evaluate(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def deblurrer(tmp_path_factory):
    pytest.importorskip("skimage")
    config = smoke.get_config()
    config.model.features = (2,)
    config.data.patch_size = 64
    return tiny(config, tmp_path_factory, "deblurrer")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    pytest.importorskip("sklearn")
    config = tutorial_mnist.get_config()
    with config.unlocked():
        config.model.features = 4
    config.data.source = "digits"
    return tiny(config, tmp_path_factory, "classifier")


@pytest.fixture
def folder(tmp_path, rng):
    """One file of each kind; 16 bits where the format holds them."""
    files = {}
    (tmp_path / "in").mkdir()
    for name, dtype, channels in [
        ("grey.png", np.uint8, 1),
        ("rgb.png", np.uint8, 3),
        ("grey16.png", np.uint16, 1),
        ("rgb16.tif", np.uint16, 3),
        ("photo.jpg", np.uint8, 3),
    ]:
        top = np.iinfo(dtype).max
        files[name] = (rng.uniform(size=(21, 18, channels)) * top).astype(dtype)
        data.write_image(tmp_path / "in" / name, files[name])
    return tmp_path / "in", files


def test_every_kind_of_file_keeps_its_size_and_type(deblurrer, folder, tmp_path):
    path, files = folder
    out = tmp_path / "out"
    written, failed = process.process_images(path, deblurrer, out, progress=False)
    assert not failed and len(written) == len(files)
    for name, image in files.items():
        target = out / name.replace(".jpg", ".png")
        result = data.read_image(target)
        assert result.shape == image.shape and result.dtype == image.dtype
        figure = data.read_image(out / f"{target.stem}_figure.png")
        assert figure.shape[1] > 2 * image.shape[1]


def test_result_is_preprocess_network_inverse(deblurrer, folder, tmp_path):
    path, files = folder
    process.process_images(path / "grey.png", deblurrer, tmp_path / "out")
    run = train.load_run(deblurrer)
    x, info = run.task.preprocess.forward(files["grey.png"][None])
    expected = run.task.preprocess.inverse(run.model(x), info)[0]
    result = data.read_image(tmp_path / "out" / "grey.png")
    np.testing.assert_allclose(
        result.astype(int), np.asarray(expected).astype(int), atol=1
    )


def test_one_compilation_per_size(deblurrer, tmp_path, rng, monkeypatch):
    import jax

    (tmp_path / "in").mkdir()
    for i, size in enumerate([(16, 16), (16, 20), (16, 16), (16, 20), (16, 16)]):
        image = rng.integers(0, 255, (*size, 1)).astype(np.uint8)
        data.write_image(tmp_path / "in" / f"{i}.png", image)
    compiled = []
    jit = jax.jit

    def counting(function, **options):
        compiled.append(jit(function, **options))
        return compiled[-1]

    monkeypatch.setattr(jax, "jit", counting)
    process.process_images(tmp_path / "in", deblurrer, tmp_path / "out", progress=False)
    assert compiled[0]._cache_size() == 2


def test_classifier_writes_probabilities_and_a_picture(classifier, folder, tmp_path):
    path, _ = folder
    written, failed = process.process_images(
        path, classifier, tmp_path / "out", progress=False
    )
    assert not failed
    for file in written:
        result = json.loads(file.read_text())
        assert len(result["probabilities"]) == 10
        np.testing.assert_allclose(sum(result["probabilities"].values()), 1, rtol=1e-4)
        best = max(result["probabilities"], key=result["probabilities"].get)
        assert result["label"] == best
        assert file.with_name(f"{file.stem}_figure.png").exists()


@pytest.mark.parametrize("size", ["network", "image", "32x24"])
def test_size_says_what_the_network_sees(size, deblurrer, folder, tmp_path, capsys):
    path, _ = folder
    code = process.run(
        [
            str(path / "rgb.png"),
            *("--workdir", str(deblurrer)),
            *("--out", str(tmp_path / "out")),
            *("--size", size),
        ]
    )
    assert code == 0
    assert str(tmp_path / "out" / "rgb.png") in capsys.readouterr().out
    assert data.read_image(tmp_path / "out" / "rgb.png").shape == (21, 18, 3)


def test_auto_size_is_the_images_for_patches_and_the_networks_otherwise(
    deblurrer, classifier
):
    assert process._network_size(train.load_run(deblurrer), "auto") is None
    assert process._network_size(train.load_run(classifier), "auto") == (8, 8)


def test_a_bad_file_is_reported_and_the_rest_go_on(deblurrer, folder, tmp_path, capsys):
    path, files = folder
    (path / "broken.png").write_bytes((path / "rgb.png").read_bytes()[:100])
    code = process.run(
        [str(path), "--workdir", str(deblurrer), "--out", str(tmp_path / "out")]
    )
    printed = capsys.readouterr()
    assert code == 2
    assert "broken.png" in printed.err and "Traceback" not in printed.err
    assert len(printed.out.splitlines()) == len(files)
    assert not list((tmp_path / "out").glob("*broken*"))
    assert not list((tmp_path / "out").glob(".*"))


def test_mistakes_are_named_before_anything_is_written(deblurrer, folder, tmp_path):
    path, _ = folder
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        process.process_images(tmp_path / "nowhere.png", deblurrer, out)
    with pytest.raises(FileNotFoundError, match="holds no image"):
        process.process_images(tmp_path / "empty", deblurrer, out)
    with pytest.raises(FileNotFoundError):
        process.process_images(path, tmp_path / "empty", out)
    with pytest.raises(ValueError, match="overwrite an input"):
        process.process_images(path, deblurrer, path)
    data.write_image(path / "rgb.tif", data.read_image(path / "rgb.png"))
    with pytest.raises(ValueError, match="both be written"):
        process.process_images(path, deblurrer, out)
    with pytest.raises(ValueError, match="size='big'"):
        process.process_images(path / "grey.png", deblurrer, out, size="big")
    assert not out.exists()


def test_self_ensemble_is_the_mean_over_the_symmetries(
    deblurrer, classifier, tmp_path, rng
):
    image = rng.integers(25000, 40000, (21, 18, 1)).astype(np.uint16)  # none is clipped
    path, out = tmp_path / "grey.png", tmp_path / "out"
    data.write_image(path, image)
    process.run(
        [str(path), f"--workdir={deblurrer}", f"--out={out}", "--self_ensemble"]
    )
    run, results = train.load_run(deblurrer), []
    for turns in range(4):
        for back in (1, -1):
            seen = np.rot90(image, turns)[:, ::back]
            result = np.asarray(run.apply(seen[None])[0], float)
            results.append(np.rot90(result[:, ::back], -turns))
    assert np.std(results, 0).max() > 10
    written = data.read_image(out / "grey.png").astype(float)
    np.testing.assert_allclose(written, np.mean(results, 0), atol=2)
    with pytest.raises(ValueError, match="task 'classify' has no self-ensemble"):
        process.process_images(path, classifier, out, self_ensemble=True)


@pytest.mark.slow
def test_latent_network_gets_its_own_size(tmp_path, tmp_path_factory, folder):
    pytest.importorskip("sklearn")
    config = autoencoder_mnist.get_config()
    config.data.source = "digits"
    config.model.features = (2,)
    with config.unlocked():
        config.model.latent = 3
    workdir = tiny(config, tmp_path_factory, "latent")
    path, _ = folder
    written, failed = process.process_images(path / "rgb.png", workdir, tmp_path / "o")
    assert not failed
    assert data.read_image(written[0]).shape == (21, 18, 3)


def test_published_weights_process_a_photograph(tmp_path, capsys):
    color = pytest.importorskip("skimage").data.astronaut()[:96, :80]
    data.write_image(tmp_path / "photo.png", color)
    arguments = [str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")]
    assert process.run([*arguments, "--weights", "fsrcnn_t91_3"]) == 0
    large = data.read_image(tmp_path / "out" / "photo.png")
    assert large.shape == (288, 240, 3)
    # What was enlarged is the photograph: shrunk again, it is near to it.
    again = large.reshape(96, 3, 80, 3, 3).mean((1, 3))
    assert np.abs(again - color).mean() < 4
    with pytest.raises(ValueError, match="--weights has one state"):
        process.run([*arguments, "--weights", "fsrcnn_t91_3", "--checkpoint", "best"])
    with pytest.raises(ValueError, match="did you mean 'deblur_photos'"):
        process.run([*arguments, "--weights", "deblur_photo"])
    with pytest.raises(ValueError, match="takes no images"):
        process.run([*arguments, "--weights", "dcgan_mnist_32"])


def test_published_weights_sharpen_what_they_were_trained_on(tmp_path):
    photo = pytest.importorskip("skimage").data.camera()[100:260, 100:260, None]
    unit = (photo / 255).astype(np.float32)
    blurred = np.asarray(data.gaussian_blur(unit[None], sigma=1.5)[0])
    pixels = np.clip(np.round(blurred * 255), 0, 255).astype(np.uint8)
    data.write_image(tmp_path / "in.png", pixels)
    run = train.load_published("deblur_photos")
    written, _ = process.process_images(tmp_path / "in.png", run, tmp_path / "out")
    result = data.read_image(written[0])
    error = [np.mean((image / 255 - unit) ** 2) for image in (result, pixels)]
    assert error[0] < 0.8 * error[1]  # 1 dB


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    pytest.importorskip("skimage")
    config = smoke.get_config()
    config.model.unlock()
    config.model = {"name": "ffdnet", "depth": 2, "features": 4}
    config.degrade.noise_std = (0.0, 0.2)
    config.degrade.blur_sigma = 0.0
    config.data.patch_size = 32
    return tiny(config, tmp_path_factory, "denoiser")


@pytest.mark.slow
def test_a_network_is_told_the_noise(denoiser, deblurrer, folder, tmp_path):
    path, files = folder
    run = train.load_run(denoiser)
    results = {}
    for std in (None, 0.0, 0.3):
        out = tmp_path / f"out{std}"
        process.process_images(path / "grey16.png", run, out, noise_std=std)
        results[std] = data.read_image(out / "grey16.png")
        expected = run.apply(files["grey16.png"][None], noise_std=std)[0]
        np.testing.assert_allclose(results[std], expected, atol=1)
    assert (results[0.0] != results[0.3]).any()
    assert (results[None] != results[0.3]).any()
    for std, message in ((0.1, "is not told the noise"), (-1.0, "must be >= 0")):
        with pytest.raises(ValueError, match=message):
            workdir = deblurrer if std > 0 else denoiser
            process.process_images(path, workdir, tmp_path / "no", noise_std=std)
    with pytest.raises(ValueError, match="is not told the noise"):
        train.load_run(deblurrer).apply(files["grey.png"][None], noise_std=0.1)
