"""The README's table is what the records say, and the records say all they must."""

import json
import re

import pytest

from benchmarks import results

RECORDS = sorted(results.RESULTS.glob("*.json"))


def test_readme_table_is_made_from_the_records():
    assert results.README.read_text() == results.readme_with(results.table())


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_record_is_complete(path):
    text = path.read_text()
    record = json.loads(text)
    assert record["name"] == path.stem
    for field in ("wall_time_s", "device", "versions", "commit", "command"):
        assert record[field], field
    assert not re.search(r"https?://|/(home|root|tmp|work)/", text)
    if "metrics" not in record:
        return  # a study with a table of its own
    assert (results.ROOT / "configs" / f"{path.stem}.py").exists()
    for field in ("steps", "config"):
        assert record[field], field
    for metric in record["metrics"].values():
        assert metric["seeds"] and metric["sem"] >= 0
