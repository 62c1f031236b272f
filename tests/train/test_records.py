import json

import pytest

from jdeconv.train import records
from tests.train import tiny

SOURCE = {"image_shape": [8, 8, 1], "num_classes": 10}


def config(**fields):
    config = tiny.make_config()
    config.update(**fields)
    return config.lock()


def test_config_and_source_come_back(tmp_path):
    original = config(eval_batch_size=25)
    records.claim(tmp_path / "new" / "run", original, SOURCE)
    found, source = records.read_run(tmp_path / "new" / "run")
    assert found.to_dict() == original.to_dict() and found.is_locked
    assert source == {"image_shape": (8, 8, 1), "num_classes": 10}
    environment = json.loads((tmp_path / "new/run/environment.json").read_text())
    assert environment["versions"]["jax"] and environment["device"] == "cpu"


def test_the_same_run_goes_on_and_may_be_longer(tmp_path):
    records.claim(tmp_path, config(), SOURCE)
    records.claim(
        tmp_path, config(duration="99 epochs", log_every=1, parallel="pmap"), SOURCE
    )
    assert records.read_run(tmp_path)[0].duration == "99 epochs"


def test_another_config_is_refused_and_the_fields_named(tmp_path):
    records.claim(tmp_path, config(), SOURCE)
    other = tiny.make_config()
    other.optimizer.learning_rate = 0.5
    other.model.extra = 1
    with pytest.raises(ValueError) as error:
        records.claim(tmp_path, other.lock(), SOURCE)
    assert "optimizer.learning_rate was 0.001 and is 0.5" in str(error.value)
    assert "model.extra was 'absent' and is 1" in str(error.value)
    assert "batch_size" not in str(error.value)
    assert records.read_run(tmp_path)[0].optimizer.learning_rate == 0.001


def test_run_older_than_a_field_goes_on(tmp_path):
    records.claim(tmp_path, config(), SOURCE)
    path = tmp_path / "config.json"
    old = json.loads(path.read_text())
    del old["ema_decay"], old["optimizer"]["nesterov"]
    old["model"]["dropout"] = 0.25  # the default of the network, named
    path.write_text(json.dumps(old))
    records.check(tmp_path, config(ema_decay=0.0))
    found, _ = records.read_run(tmp_path)
    assert (found.ema_decay, found.optimizer.nesterov) == (0.0, False)
    assert found.optimizer.schedule == "cosine" and found.model.dropout == 0.25
    with pytest.raises(ValueError, match="ema_decay was 0.0 and is 0.9"):
        records.check(tmp_path, config(ema_decay=0.9))


def test_what_is_no_workdir(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no training run"):
        records.read_run(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        records.claim(tmp_path / "file", config(), SOURCE)
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(ValueError, match="config.json is damaged"):
        records.check(tmp_path, config())
