import pytest

from jdeconv.train.logging import Meter, Writer, read_metrics


def test_one_object_per_step_in_order(tmp_path):
    with Writer(tmp_path) as writer:
        writer.scalars(5, {"train/loss": 1.0})
        writer.scalars(5, {"test/loss": 2.0})
        writer.scalars(10, {"train/loss": 0.5})
    assert read_metrics(tmp_path) == [
        {"step": 5, "train/loss": 1.0, "test/loss": 2.0},
        {"step": 10, "train/loss": 0.5},
    ]
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_going_on_drops_what_was_recorded_later_and_half_lines(tmp_path):
    with Writer(tmp_path) as writer:
        for step in (5, 10, 15):
            writer.scalars(step, {"x": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "x"')
    with Writer(tmp_path, step=10) as writer:
        writer.scalars(12, {"x": 12.0})
    assert [r["step"] for r in read_metrics(tmp_path)] == [5, 10, 12]


def test_meter_averages_and_goes_on_from_its_notes():
    meter = Meter()
    meter.add({"loss": 1.0})
    meter.add({"loss": 2.0})
    again = Meter(meter.notes)
    again.add({"loss": 6.0})
    assert again.take() == {"loss": 3.0}
    again.add({"loss": 5.0})
    assert again.take() == {"loss": 5.0}
    assert meter.take() == pytest.approx({"loss": 1.5})


def test_no_file_no_metrics(tmp_path):
    assert read_metrics(tmp_path) == []
