"""The README's table is what the records say, and the records say all they must."""

import json
import re

import numpy as np
import pytest

from benchmarks import results
from configs import nuclei_unet
from jdeconv import models
from jdeconv.models.published import read_weights
from jdeconv.train import records

RECORDS = sorted(results.RESULTS.glob("*.json"))


def test_readme_table_is_made_from_the_records():
    assert results.README.read_text() == results.readme_with(results.table())


@pytest.mark.parametrize("name", models.published())
def test_model_card_is_made_from_the_record_and_the_file(name):
    card = models.model_card(name)
    assert card == results.card_of(name)
    assert not re.search(r"https?://|/(home|root|tmp|work)/", card)
    about, _ = read_weights(name)
    assert not re.search(r"/(home|root|tmp|work)/", json.dumps(about))


def test_published_are_all_records_small_enough():
    sizes = {path.stem: path.stat().st_size for path in results.WEIGHTS.glob("*.npz")}
    assert set(sizes) <= {path.stem for path in RECORDS}
    assert max(sizes.values()) <= results.LARGEST
    assert sum(sizes.values()) < len(sizes) << 20  # what a wheel carries, 1 MB each


def test_weights_of_another_run_than_the_record_are_refused(tmp_path):
    record = json.loads((results.RESULTS / "mnist_cnn.json").read_text())
    config = {**record["config"], "seed": 0, "batch_size": 7}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="is no run of the record"):
        results.publish("mnist_cnn", tmp_path)
    with pytest.raises(ValueError, match="no record yet"):
        results.publish("smoke", tmp_path)


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_record_is_complete(path):
    text = path.read_text()
    record = json.loads(text)
    assert results.stem(record["name"], record.get("argument", "")) == path.stem
    for field in ("wall_time_s", "device", "versions", "commit", "command"):
        assert record[field], field
    assert not re.search(r"https?://|/(home|root|tmp|work)/", text)
    if "metrics" not in record:
        return  # a study with a table of its own
    assert (results.ROOT / "configs" / f"{record['name']}.py").exists()
    for field in ("steps", "config"):
        assert record[field], field
    for metric in record["metrics"].values():
        assert metric["seeds"] and metric["sem"] >= 0


def test_record_does_not_say_where_a_machine_keeps_its_folders(tmp_path):
    config = nuclei_unet.get_config()
    config.data.source = f"folder:{tmp_path}/dsb2018"
    config.batch_size += 1  # the command has to say so
    source = {"image_shape": [256, 256, 1], "num_classes": 2, "num_train": 267}
    records.claim(tmp_path / "run", config, source)
    last = {"step": 3000, "wall_time_s": 1.0, "test/loss": 0.5, "test/loss_sem": 0.1}
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps(last) + "\n")
    whole = {"split": "test", "step": 3000, "test/whole": 7.0, "test/whole_sem": 0.5}
    (tmp_path / "run" / "whole_images.json").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="not at its end yet"):
        results.record("nuclei_unet", [tmp_path / "run"])
    (tmp_path / "run" / "checkpoints" / "latest" / "3000").mkdir(parents=True)
    record = results.record("nuclei_unet", [tmp_path / "run"])
    assert record["metrics"]["whole"]["seeds"] == {"0": 7.0}
    assert f" --config.batch_size={config.batch_size} " in record["command"]
    assert record["config"]["data"]["source"] == "folder:data/dsb2018"
    assert record["metrics"]["loss"]["mean"] == 0.5
    assert str(tmp_path) not in json.dumps(record)


def test_further_seeds_are_put_into_a_record():
    old = json.loads((results.RESULTS / "mnist_cnn.json").read_text())
    taken = set(old["metrics"]["accuracy"]["seeds"])
    text = json.dumps(old)
    new = json.loads(text)
    new["commit"] = "another"
    new["config"]["added_since"] = 1
    for values in new["metrics"].values():
        values["seeds"] = {"70": 1.0, "80": 4.0}
    new["curve"] = {"70": [], "80": []}
    both = results.extended(old, new)
    accuracy = both["metrics"]["accuracy"]
    seeds = [*old["metrics"]["accuracy"]["seeds"].values(), 1.0, 4.0]
    assert set(accuracy["seeds"]) == taken | {"70", "80"} == set(both["curve"])
    assert accuracy["mean"] == pytest.approx(np.mean(seeds))
    assert accuracy["std_over_seeds"] == pytest.approx(np.std(seeds, ddof=1))
    assert both["commit"] == f"{old['commit']}, another"
    assert len(both["wall_time_s"]) == 2 * len(old["wall_time_s"])
    assert json.dumps(old) == text
    with pytest.raises(ValueError, match="in the record already"):
        results.extended(old, old)
    for change, message in (
        ({"steps": 1}, "steps: 1 now"),
        ({"versions": {}}, "versions: {} now"),
        ({"config": {"batch_size": 7}}, "config.batch_size: 7 now, and 32"),
        ({"metrics": {"loss": new["metrics"]["loss"]}}, "no accuracy of the new runs"),
    ):
        with pytest.raises(ValueError, match=message):
            results.extended(old, new | change)
