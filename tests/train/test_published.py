"""Weights of a run as one file; published ones reach their recorded numbers."""

import json
import pathlib

import jax
import numpy as np
import pytest

from benchmarks import super_resolution
from jdeconv import data, models, train
from jdeconv.models.published import read_weights
from jdeconv.train import setup
from jdeconv.train.evaluation import evaluate_state, make_eval_loader
from jdeconv.train.loop import with_params
from jdeconv.train.published import portable
from tests.train import tiny

RESULTS = pathlib.Path(__file__).parents[2] / "configs" / "results"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run with batch statistics and a moving average of the parameters."""
    pytest.importorskip("sklearn")
    workdir = tmp_path_factory.mktemp("run")
    config = tiny.make_config()
    config.duration = config.eval_every = "6 steps"
    train.train_and_evaluate(config.lock(), workdir)
    return workdir


def test_file_of_a_run_gives_the_logits_of_its_checkpoint(workdir, tmp_path, rng):
    path = tmp_path / "new" / "own.npz"
    train.save_weights(workdir, path, which="latest")
    run, loaded = train.load_run(workdir, "latest"), train.load_published(path)
    x = rng.random((3, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(models.load(path)(x), run.model(x))
    images = rng.integers(0, 256, (3, 9, 7, 1), dtype=np.uint8)
    np.testing.assert_array_equal(
        loaded.apply(images, (8, 8)), run.apply(images, (8, 8))
    )
    assert (loaded.step, loaded.image_shape) == (6, (8, 8, 1))
    assert loaded.class_names == run.class_names == tuple("0123456789")
    assert loaded.task == run.task
    # All options of the network are named: a default that changes later is no matter.
    assert set(loaded.config.model) == {"name", *models.options("cnn")}
    # It is the moving average that is kept: the parameters themselves are elsewhere.
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    abstract = setup.abstract_state(run.config, SOURCE)
    state = train.checkpoint.restore(workdir, abstract, device).state
    _, arrays = read_weights(path)
    raw = np.asarray(state.params["dense"]["kernel"][...])
    assert not np.array_equal(raw, arrays["dense.kernel"])
    np.testing.assert_array_equal(
        np.asarray(state.ema["dense"]["kernel"][...]), arrays["dense.kernel"]
    )


SOURCE = {
    "image_shape": (8, 8, 1),
    "num_classes": 10,
    "class_names": None,
    "num_train": 200,
}


@pytest.mark.slow
def test_what_was_trained_in_one_type_computes_in_another(workdir, tmp_path, rng):
    x = rng.random((3, 8, 8, 1), np.float32)
    exact = train.load_run(workdir, "latest")
    run = train.load_run(workdir, "latest", dtype="bfloat16")
    assert run.config.dtype == "bfloat16" != exact.config.dtype
    found, expected = (np.asarray(r.model(x), np.float32) for r in (run, exact))
    gap = np.abs(found - expected).max() / np.abs(expected).max()
    assert 1e-5 < gap < 0.05
    path = tmp_path / "own.npz"
    train.save_weights(workdir, path, which="latest", dtype="bfloat16")
    np.testing.assert_array_equal(models.load(path)(x), run.model(x))
    with pytest.raises(ValueError, match="dtype='float8'"):
        train.load_run(workdir, "latest", dtype="float8")


def test_rounded_numbers_make_a_smaller_file(workdir, tmp_path):
    paths = {bits: tmp_path / f"{bits}.npz" for bits in (23, 10)}
    for bits, path in paths.items():
        train.save_weights(workdir, path, which="latest", mantissa_bits=bits)
    assert paths[10].stat().st_size < paths[23].stat().st_size
    (_, whole), (_, short) = (read_weights(path) for path in paths.values())
    gaps = [np.abs(short[n] - whole[n]).max() / np.abs(whole[n]).max() for n in whole]
    assert 0 < max(gaps) <= 2**-11
    for name, array in whole.items():
        assert (np.abs(short[name] - array) <= 2**-11 * np.abs(array)).all(), name
    with pytest.raises(ValueError, match="mantissa_bits=0: must be in 1"):
        train.save_weights(workdir, tmp_path / "none.npz", mantissa_bits=0)


def test_suffix_is_part_of_the_name(workdir, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        train.save_weights(workdir, tmp_path / "weights.zip")


def test_nothing_of_the_machine_is_kept():
    config = tiny.make_config().to_dict()
    config["data"] |= {"source": "folder:/home/me/cells", "data_dir": "/home/me/tfds"}
    config["init_from"] = "/home/me/runs/first"
    kept = portable(config)
    assert "/home" not in json.dumps(kept)
    assert kept["data"]["source"] == "folder:data/cells"
    assert kept["init_from"] == "runs/first"
    assert config["data"]["data_dir"] == "/home/me/tfds"


def measured(name, data_dir, *, folder=None, examples=None):
    """All metrics of a published network on its test set."""
    run = train.load_published(name)
    config = run.config.copy_and_resolve_references().unlock()
    config.data.data_dir = data_dir
    if config.data.source.startswith("folder:"):
        config.data.source = f"folder:{folder}"
    if examples:
        config.data.test_split = f"test[:{examples}]"
    about, _ = read_weights(name)
    parallel = train.make_parallel()
    state = setup.build_state(config, about["source"], parallel)
    state = parallel.put_state(with_params(state, run.model, name))
    source = data.load_source(config.data, "test", seed=config.seed)
    return evaluate_state(state, parallel, make_eval_loader(config, source, parallel))


def recorded(name):
    about, _ = read_weights(name)
    metrics = json.loads((RESULTS / f"{name}.json").read_text())["metrics"]
    seed = str(about["config"]["seed"])
    return {n: (m["seeds"][seed], m["sem"]) for n, m in metrics.items()}


@pytest.mark.slow
def test_deblur_photos_reaches_its_recorded_psnr():
    pytest.importorskip("skimage")
    found = measured("deblur_photos", None)
    for name, (value, _) in recorded("deblur_photos").items():
        np.testing.assert_allclose(found[name].mean, value, rtol=1e-4, err_msg=name)


def test_autoencoder_of_500_digits_is_as_recorded(shared_data):
    found = measured("autoencoder_mnist", str(shared_data / "tfds"), examples=500)
    value, _ = recorded("autoencoder_mnist")["loss"]
    assert abs(found["loss"].mean - value) < 2 * found["loss"].standard_error


def of_task(task):
    about = {name: read_weights(name)[0] for name in models.published()}
    return [name for name in about if about[name]["config"]["task"] == task]


@pytest.mark.slow
@pytest.mark.parametrize("name", of_task("super_resolve"))
def test_super_resolution_reaches_its_recorded_psnr_on_set5(name, shared_data):
    run = train.load_published(name)
    found = super_resolution.evaluate(shared_data / "images" / "set5", run)["mean"]
    expected = recorded(name)
    # A pixel that is rounded otherwise moves the mean by less than this.
    assert found["psnr"] == pytest.approx(expected["whole_psnr"][0], abs=1e-3)
    assert found["bicubic"] == pytest.approx(expected["whole_bicubic"][0], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", of_task("segment"))
def test_segmentation_reaches_its_recorded_numbers(name, shared_data):
    source = read_weights(name)[0]["config"]["data"]["source"]
    folder = shared_data / source.removeprefix("folder:data/")
    check_all(name, measured(name, None, folder=folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    sorted({*of_task("classify"), *of_task("reconstruct"), *of_task("generate")}),
)
def test_published_weights_reach_their_recorded_numbers(name, shared_data):
    if read_weights(name)[0]["config"]["data"]["source"].startswith("folder:"):
        pytest.skip("its images are not laid out as a training run wants them")
    check_all(name, measured(name, str(shared_data / "tfds")))


@pytest.mark.slow
@pytest.mark.parametrize("name", of_task("variational"))
def test_autoencoders_reach_their_recorded_bound(name, shared_data):
    apart = {"nll"} | {n for n in recorded(name) if n.startswith("training_")}
    check_all(name, measured(name, str(shared_data / "tfds")), apart)


def check_all(name, found, apart=frozenset()):
    """All metrics but those that another command measures."""
    expected = {n: e for n, e in recorded(name).items() if n not in apart}
    assert expected.keys() == found.keys()
    for metric, (value, sem) in expected.items():
        # Other versions and devices round otherwise: that may tip a few digits.
        np.testing.assert_allclose(
            found[metric].mean, value, rtol=1e-3, atol=0.1 * sem, err_msg=metric
        )
