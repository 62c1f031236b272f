"""Batches as a function of (source, seed, n)."""

import time

import numpy as np
import pytest

from jdeconv.data import ArraySource, Loader, Source
from jdeconv.data.loader import decode_all, epoch_order


def numbered(n, size=4):
    """A source whose image i is full of i and whose label is i."""
    images = np.broadcast_to(np.arange(n).reshape(n, 1, 1, 1), (n, size, size, 1))
    return ArraySource(images.astype(np.uint16), np.arange(n), name="numbered")


def loader(source, batch_size, seed=0, **options):
    options = {"process_index": 0, "process_count": 1, **options}
    return Loader(source, batch_size=batch_size, seed=seed, **options)


def take(iterator, n):
    taken = [next(iterator) for _ in range(n)]
    iterator.close()
    return taken


def test_every_epoch_holds_every_example_once():
    labels = np.concatenate(
        [loader(numbered(10), 4).batch(n)["label"] for n in range(10)]
    )
    epochs = labels.reshape(4, 10)  # batches of 4 span the epochs' ends
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_batches_hold_images_with_their_labels():
    batch = loader(numbered(50), 8).batch(3)
    assert batch["image"].shape == (8, 4, 4, 1)
    assert batch["image"].dtype == np.uint16
    assert batch["label"].dtype == np.int32
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["label"])


def test_order_is_pinned():
    """A resumed run depends on it: it may not change with numpy or with us."""
    batches = loader(numbered(10), 10, seed=7)
    assert batches.batch(0)["label"].tolist() == [8, 0, 7, 1, 3, 6, 2, 4, 5, 9]
    assert batches.batch(5)["label"].tolist() == [8, 5, 1, 2, 9, 7, 4, 3, 0, 6]


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_a_pure_function_of_seed_and_n(cache_bytes):
    a, b = (loader(numbered(23), 5, seed=1, cache_bytes=cache_bytes) for _ in range(2))
    for n in (7, 0, 3):
        np.testing.assert_array_equal(a.batch(n)["label"], b.batch(n)["label"])
    other = loader(numbered(23), 5, seed=2, cache_bytes=cache_bytes)
    assert a.batch(0)["label"].tolist() != other.batch(0)["label"].tolist()


@pytest.mark.parametrize("options", [{}, {"cache_bytes": 0}])
def test_iterate_is_batch_by_batch(options):
    batches = loader(numbered(23), 5, **options)
    for n, batch in enumerate(take(batches.iterate(3), 12), 3):
        expected = batches.batch(n)
        assert batch.keys() == expected.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], expected[name])


def test_worker_processes_keep_the_order():
    batches = loader(numbered(23), 5, cache_bytes=0, num_workers=2)
    for n, batch in enumerate(take(batches.iterate(2), 7), 2):
        np.testing.assert_array_equal(batch["label"], batches.batch(n)["label"])


def test_unshuffled():
    batches = loader(numbered(5), 3, shuffle=False)
    assert [batches.batch(n)["label"].tolist() for n in range(3)] == [
        [0, 1, 2],
        [3, 4, 0],
        [1, 2, 3],
    ]


def test_processes_share_one_global_batch():
    whole = loader(numbered(23), 6)
    parts = [
        loader(numbered(23), 6, process_index=i, process_count=3) for i in range(3)
    ]
    for n in range(6):
        labels = [part.batch(n)["label"] for part in parts]
        assert [len(part) for part in labels] == [2, 2, 2]
        np.testing.assert_array_equal(np.concatenate(labels), whole.batch(n)["label"])
    for batches in zip(whole.epoch_batches(), *(p.epoch_batches() for p in parts)):
        for name in ("label", "weight"):
            np.testing.assert_array_equal(
                np.concatenate([b[name] for b in batches[1:]]), batches[0][name]
            )


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@pytest.mark.parametrize("length", [10, 12, 3])
def test_an_evaluation_pass_counts_every_example_once(cache_bytes, length):
    batches = loader(numbered(length), 4, cache_bytes=cache_bytes)
    passed = list(batches.epoch_batches())
    assert len(passed) == batches.num_batches == -(-length // 4)
    assert all(b["image"].shape == (4, 4, 4, 1) for b in passed)
    labels = np.concatenate([b["label"] for b in passed])
    weights = np.concatenate([b["weight"] for b in passed])
    assert weights.dtype == np.float32
    assert labels[weights == 1].tolist() == list(range(length))
    assert weights.sum() == length
    short = list(batches.epoch_batches(pad=False))
    assert np.concatenate([b["label"] for b in short]).tolist() == list(range(length))


def test_steps_per_epoch():
    assert loader(numbered(10), 4).steps_per_epoch == 2.5


def test_cached_sources_are_read_once():
    class Counting(Source):
        name, image_shape, dtype = "counting", (2, 2, 1), np.dtype(np.uint8)
        reads = 0

        def __len__(self):
            return 6

        def __getitem__(self, index):
            self.reads += 1
            return {"image": np.full((2, 2, 1), index, np.uint8)}

    source = Counting()
    assert source.element_bytes == 4
    batches = loader(source, 4, cache_bytes=24)
    take(batches.iterate(), 10)
    list(batches.epoch_batches())
    assert source.reads == 6
    assert not loader(source, 4, cache_bytes=23).cached


@pytest.mark.parametrize(
    "options, match",
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 5, "process_count": 2}, "multiple of the number of processes"),
        ({"batch_size": 4, "process_index": 2, "process_count": 2}, "process_index=2"),
        ({"batch_size": 4, "seed": -1}, "seed=-1"),
        ({"batch_size": 4, "num_workers": -1}, "num_workers=-1"),
    ],
)
def test_illegal_arguments(options, match):
    with pytest.raises(ValueError, match=match):
        loader(numbered(10), **options)


def test_illegal_batches():
    batches = loader(numbered(10), 4)
    with pytest.raises(ValueError, match="n=-1"):
        batches.batch(-1)
    with pytest.raises(ValueError, match="start=-2"):
        batches.iterate(-2)
    part = loader(numbered(10), 4, process_index=0, process_count=2)
    with pytest.raises(ValueError, match="one process only"):
        part.epoch_batches(pad=False)


class Broken(Source):
    """Its last image is another: larger, or NaN."""

    name, image_shape, dtype = "broken", (2, 2, 1), np.dtype(np.float32)

    def __init__(self, last):
        self.last = last

    def __len__(self):
        return 3

    def __getitem__(self, index):
        image = self.last if index == 2 else np.zeros((2, 2, 1), np.float32)
        return {"image": image}


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
@pytest.mark.parametrize(
    "last, error, match",
    [
        (np.zeros((3, 2, 1), np.float32), ValueError, "differ in the shape of 'image'"),
        (np.full((2, 2, 1), np.nan, np.float32), ValueError, "4 values that are NaN"),
    ],
)
def test_bad_records(cache_bytes, last, error, match):
    batches = loader(Broken(last), 3, cache_bytes=cache_bytes)
    with pytest.raises(error, match=match):
        batches.batch(0)
    with pytest.raises(error, match=match):
        next(batches.iterate())


def test_shapes_that_differ_between_chunks():
    class Late(Source):
        name, image_shape, dtype = "late", (2, 2, 1), np.dtype(np.uint8)

        def __len__(self):
            return 600

        def __getitem__(self, index):
            return {"image": np.zeros((2 if index < 512 else 3, 2, 1), np.uint8)}

    with pytest.raises(ValueError, match="differ in the shape"):
        decode_all(Late())


def test_epoch_order_is_shared_and_read_only():
    order = epoch_order(100, 0, 0)
    with pytest.raises(ValueError, match="read-only"):
        order[0] = 1


def test_speed():
    """50,000 images/s is the number asked for; a tenth of what is measured."""
    source = ArraySource(np.zeros((20_000, 28, 28, 1), np.uint8))
    batches = loader(source, 32).iterate()
    next(batches)
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(300):
            next(batches)
        best = max(best, 300 * 32 / (time.perf_counter() - start))
    assert best >= 50_000
