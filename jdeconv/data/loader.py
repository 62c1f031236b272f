"""`Loader`: batches that are a function of (source, seed, n).

Batch n holds the examples at the places n B .. n B + B - 1 of an endless sequence of
epochs, each a new permutation of the source drawn from (seed, epoch). So a run resumed
at step n sees what it would have seen, and no state of the data need be saved. With P
processes, process p gets rows p B / P .. (p + 1) B / P - 1 of each batch: together
they see the same batches whatever P.
"""

import functools
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np

from jdeconv.data.images import check_values
from jdeconv.data.sources.base import Record, Source

Batch = dict[str, np.ndarray]

_CHUNK = 256  # records decoded between two looks at the progress bar


class Loader:
    """Batches of a source, in numpy arrays, images as stored.

    A source that fits in `cache_bytes` is decoded once, when the first batch is asked
    for, and batches are drawn from the array by index. A larger one is read and
    decoded record by record, ahead of time by a thread of Grain or by `num_workers`
    processes.

    Args:
      source: to read.
      batch_size: B, over all processes.
      seed: of the order of the examples.
      shuffle: False: the source's own order, again and again.
      cache_bytes: the largest decoded source that is held in memory.
      num_workers: processes that decode what is not held in memory. As always with
        Python processes, a script that uses them needs `if __name__ == "__main__":`.
      process_index, process_count: which shard; None: as `jax` says.

    Raises:
      ValueError: an argument out of its range.

    >>> from jdeconv.data import ArraySource
    >>> source = ArraySource(np.zeros((10, 4, 4, 1), np.uint8), np.arange(10))
    >>> loader = Loader(source, batch_size=4, seed=0)
    >>> loader.steps_per_epoch
    2.5
    >>> loader.batch(1000)["image"].shape
    (4, 4, 4, 1)
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        cache_bytes: int = 2**30,
        num_workers: int = 0,
        process_index: int | None = None,
        process_count: int | None = None,
    ):
        if process_index is None or process_count is None:
            import jax

            process_index, process_count = jax.process_index(), jax.process_count()
        if not 0 <= process_index < process_count:
            raise ValueError(
                f"process_index={process_index}: must be 0 .. {process_count - 1} "
                f"(process_count={process_count})"
            )
        if batch_size < 1 or batch_size % process_count:
            raise ValueError(
                f"batch_size={batch_size}: must be > 0 and a multiple of the number of "
                f"processes, {process_count}"
            )
        if seed < 0:
            raise ValueError(f"seed={seed}: must be >= 0")
        if num_workers < 0:
            raise ValueError(f"num_workers={num_workers}: must be >= 0")
        if len(source) == 0:
            raise ValueError(f"source {source.name} is empty")
        self.source = source
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.cached = len(source) * source.element_bytes <= cache_bytes
        self._num_workers = 0 if self.cached else num_workers
        self._local_size = batch_size // process_count
        self._first_row = process_index * self._local_size

    @property
    def steps_per_epoch(self) -> float:
        """Batches in an epoch; not a whole number where batches span two epochs."""
        return len(self.source) / self.batch_size

    @property
    def num_batches(self) -> int:
        """Batches that `epoch_batches` gives."""
        return math.ceil(self.steps_per_epoch)

    def batch(self, n: int) -> Batch:
        """This process's rows of batch n, a pure function of (source, seed, n).

        Returns:
          "image" `[B / P, H, W, C]` as stored; "label" int32 `[B / P]`, or "mask" uint8
          `[B / P, H, W]`, where the source has them.
        """
        if n < 0:
            raise ValueError(f"n={n}: must be >= 0")
        return self._read(self._indices(n))

    def iterate(self, start: int = 0) -> Iterator[Batch]:
        """Batches start, start + 1, ..., without end, prepared ahead of time.

        Closing the iterator (`.close()`, or letting go of it) ends its threads and
        processes.
        """
        if start < 0:
            raise ValueError(f"start={start}: must be >= 0")
        return self._prefetch(_Sequence(self.batch, start, sys.maxsize))

    def epoch_batches(self, pad: bool = True) -> Iterator[Batch]:
        """One pass in the source's order, every example once; for evaluation.

        Args:
          pad: True: all batches have the full size; the last one is filled up with
            copies of the last example, of weight 0. False: it is short.

        Yields:
          As `batch`, and "weight" float32 `[B / P]`: 1, for padding 0.

        Raises:
          ValueError: pad=False with several processes, whose rows would not match.
        """
        if not pad and self._local_size != self.batch_size:
            raise ValueError("pad=False: works with one process only")
        make = functools.partial(self._pass_batch, pad=pad)
        return self._prefetch(_Sequence(make, 0, self.num_batches))

    def _indices(self, n: int) -> np.ndarray:
        length = len(self.source)
        start = n * self.batch_size + self._first_row
        places = np.arange(start, start + self._local_size)
        if not self.shuffle:
            return places % length
        epochs, places = np.divmod(places, length)
        indices = np.empty_like(places)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            here = epochs == epoch
            indices[here] = epoch_order(length, self.seed, epoch)[places[here]]
        return indices

    def _pass_batch(self, n: int, pad: bool) -> Batch:
        start = n * self.batch_size + self._first_row
        places = np.arange(start, start + self._local_size)
        real = places < len(self.source)
        if not pad:
            places, real = places[real], real[real]
        batch = self._read(np.minimum(places, len(self.source) - 1))
        return {**batch, "weight": real.astype(np.float32)}

    def _read(self, indices: np.ndarray) -> Batch:
        if self.cached:
            return {name: array[indices] for name, array in self._arrays.items()}
        return _stack(self.source, indices)

    @functools.cached_property
    def _arrays(self) -> Batch:
        return decode_all(self.source)

    def _prefetch(self, batches: "_Sequence") -> Iterator[Batch]:
        if self.cached:
            # Drawing a batch takes microseconds: a thread would only contend with the
            # training loop for the interpreter.
            threads, ahead = 0, 0
            _ = self._arrays
        else:
            threads, ahead = 1, 2
        import grain

        dataset = grain.MapDataset.source(batches).to_iter_dataset(
            grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
        )
        if self._num_workers:
            _parse_no_flags()
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(
                    num_workers=self._num_workers, per_worker_buffer_size=2
                )
            )
        return _closing(iter(dataset))


def decode_all(source: Source) -> Batch:
    """Every record of a source, stacked: "image" `[N, H, W, C]` and so on.

    A progress bar shows when it takes more than a second.

    Raises:
      ValueError: records that differ in shape, NaN.
    """
    from tqdm import tqdm

    arrays: Batch = {}
    bar = tqdm(
        total=len(source),
        desc=f"decoding {source.name}",
        unit=" images",
        delay=1.0,
        mininterval=0.5,
        leave=False,
        dynamic_ncols=True,
    )
    with bar:
        for start in range(0, len(source), _CHUNK):
            indices = np.arange(start, min(start + _CHUNK, len(source)))
            chunk = _stack(source, indices)
            for name, values in chunk.items():
                if start == 0:
                    shape = (len(source), *values.shape[1:])
                    arrays[name] = np.empty(shape, values.dtype)
                if values.shape[1:] != arrays[name].shape[1:]:
                    raise ValueError(_differ(source, name))
                arrays[name][indices] = values
            bar.update(len(indices))
    return arrays


@functools.lru_cache(maxsize=2)
def epoch_order(length: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of 0 .. length - 1 in which an epoch goes through a source."""
    order = np.random.default_rng((seed, epoch)).permutation(length)
    order.flags.writeable = False  # it is shared
    return order


def _stack(source: Source, indices: np.ndarray) -> Batch:
    records: list[Record] = source.read(indices.tolist())
    batch = {}
    for name in records[0]:
        values = [record[name] for record in records]
        if len({value.shape for value in values}) > 1:
            raise ValueError(_differ(source, name))
        batch[name] = np.stack(values)
    check_values(f"image of {source.name}", batch["image"])
    return batch


def _differ(source: Source, name: str) -> str:
    return (
        f"the records of {source.name} differ in the shape of {name!r}; they must have "
        "one (data.patch_size and data.crop cut images to one size)"
    )


class _Sequence:
    """make(first), make(first + 1), ... as a random-access data source of Grain."""

    def __init__(self, make: Callable[[int], Batch], first: int, length: int):
        self._make = make
        self._first = first
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        return self._make(self._first + int(index))


def _parse_no_flags() -> None:
    # Grain's processes ask for absl flags, which nobody parses in a notebook.
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _closing(iterator) -> Iterator[Batch]:
    try:
        yield from iterator
    finally:
        iterator.close()
