"""The streamed likelihood, and a run of the real config from end to end."""

import json

import numpy as np
import pytest

from benchmarks import results
from jdeconv import data, train
from jdeconv.cli.main import main
from jdeconv.tasks import Variational
from jdeconv.train.likelihood import negative_log_likelihood
from jdeconv.train.parallel import make_parallel
from tests.models.test_models import make
from tests.train import tiny

NET = {"name": "vae", "features": (4,), "hidden": 8, "latent": 3, "batch_norm": True}


def make_state():
    return tiny.make_state(make(NET, (8, 8, 1)), Variational(binarize="dynamic"))


def make_loader(size=10, batch_size=4):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, 8, 8, 1), dtype=np.uint8)
    return data.Loader(
        data.ArraySource(images), batch_size=batch_size, seed=0, shuffle=False
    )


def test_streamed_equals_unstreamed():
    state, parallel = make_state(), make_parallel()
    found = {
        at_once: negative_log_likelihood(
            state, parallel, make_loader(), num_samples=60, images_at_once=at_once
        )
        for at_once in (4 * 60, 4 * 12)  # in one part, in five
    }
    whole, parts = found.values()
    assert whole.count == parts.count == 10  # the padding of the last batch is not seen
    assert parts.mean == pytest.approx(whole.mean, rel=1e-6)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-5)


def test_more_samples_are_a_tighter_bound_than_the_elbo():
    state, parallel, loader = make_state(), make_parallel(), make_loader(64, 32)
    from jdeconv.train.evaluation import evaluate_state

    elbo = evaluate_state(state, parallel, loader)["elbo"].mean
    nll = [
        negative_log_likelihood(
            state, parallel, loader, num_samples=k, images_at_once=32 * 8
        ).mean
        for k in (8, 400)
    ]
    assert nll[1] < nll[0] < -elbo


def test_illegal_arguments_are_named():
    with pytest.raises(TypeError, match="Reconstruct has no likelihood"):
        negative_log_likelihood(
            tiny.make_state(), make_parallel(), make_loader(), num_samples=1
        )
    with pytest.raises(ValueError, match="num_samples=0"):
        negative_log_likelihood(
            make_state(), make_parallel(), make_loader(), num_samples=0
        )


@pytest.mark.slow
def test_mnist_config_learns_and_is_evaluated(shared_data, tmp_path, capsys):
    config = train.read_config(
        "configs/vae_mnist.py",
        {
            "data.data_dir": str(shared_data / "tfds"),
            "data.train_split": "train[:3000]",
            "data.test_split": "test[:100]",
            "model.features": "(16, 32)",
            "model.decoder_features": "(16, 8)",
            "model.hidden": "64",
            "model.decoder_hidden": "64",
            "model.latent": "8",
            "duration": "60 steps",
            "eval_every": "30 steps",
            "log_every": "1",
            "optimizer.learning_rate": "5e-3",
            "optimizer.warmup": "5 steps",
            "ema_decay": "0",
            "variational.num_samples": "100",
        },
    )
    result = train.train_and_evaluate(config, tmp_path)
    records = train.read_metrics(tmp_path)
    tested = [r["test/elbo"] for r in records if "test/elbo" in r]
    # A network that knows nothing has 784 log 2 = 543 nats, and the KL.
    assert records[0]["train/elbo"] < -784 * np.log(2)
    assert tested[1] > -300 and tested[0] < tested[1] == result["test/elbo"]
    assert result["test/loss"] == pytest.approx(-result["test/elbo"], rel=1e-6)

    assert main(["evaluate", "--workdir", str(tmp_path), "--figure"]) == 0
    printed = capsys.readouterr().out
    lines = dict(line.split(": ") for line in printed.splitlines())
    nll, elbo = (float(lines[f"test/{n}"].split()[0]) for n in ("nll", "elbo"))
    assert nll < -elbo
    kept = json.loads((tmp_path / "likelihood.json").read_text())
    assert kept["test/nll"] == pytest.approx(nll, rel=1e-4)
    assert (kept["num_samples"], kept["step"], kept["examples"]) == (100, 60, 100)
    assert results.kept(tmp_path, 60).keys() == {"test/nll", "test/nll_sem"}
    assert results.kept(tmp_path, 61) == {}
    figure = data.read_image(tmp_path / "figure.png")
    # A sheet of 8 x 8 digits of 28 pixels, a pixel apart, doubled; margins of 8.
    sheet = 2 * (8 * 29 - 1), 2 * (8 * 29 - 1)
    assert figure.shape[0] > sheet[0] and figure.shape[1] > 3 * sheet[1]
    assert "test/nll" not in train.evaluate(tmp_path, samples=0)


def test_samples_where_there_is_no_likelihood_are_refused(tmp_path, capsys):
    config = tiny.make_config()
    config.duration = "1 steps"
    train.train_and_evaluate(config.lock(), tmp_path)
    arguments = ["evaluate", "--workdir", str(tmp_path), "--samples", "10"]
    assert main(arguments) == 2
    assert "samples=10: only task 'variational'" in capsys.readouterr().err
