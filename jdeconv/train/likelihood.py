"""The likelihood of images under a VAE, by importance sampling, in constant memory."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jdeconv.data import Loader
from jdeconv.metrics import Average
from jdeconv.tasks import Variational
from jdeconv.train.parallel import Parallel
from jdeconv.train.state import TrainState


def negative_log_likelihood(
    state: TrainState,
    parallel: Parallel,
    loader: Loader,
    *,
    num_samples: int,
    images_at_once: int | None = None,
    progress: bool = False,
) -> Average:
    """-log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) over a data set, z_k ~ q(z|x), in nats.

    In expectation it is an upper bound of -log p(x) that falls with K. The sum is
    streamed: the network makes `images_at_once` images, and the host adds up their
    weights, by log-sum-exp in float64, so that memory does not depend on K. (A loop in
    the program would be shorter, but XLA's CPU backend computes convolutions inside a
    loop 10 times slower.)

    Args:
      state: to evaluate, of task `Variational`.
      parallel: how to run.
      loader: of the data set.
      num_samples: K.
      images_at_once: images that the decoder makes in one call, at most, or one per
        example of the batch; None: 1000 on a CPU, where they should fit the caches,
        and 50000 elsewhere. The result does not depend on it.
      progress: whether to show a progress bar.

    Returns:
      The mean over the examples, and its standard error.

    Raises:
      TypeError: another task.
      ValueError: num_samples < 1.

    References:
      Burda et al., "Importance Weighted Autoencoders", 2016, equation 8 and section 5.
    """
    from tqdm import tqdm

    task = state.task
    if not isinstance(task, Variational):
        raise TypeError(
            f"task {type(task).__name__} has no likelihood: must be Variational"
        )
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples}: must be >= 1")
    if images_at_once is None:
        images_at_once = 1000 if jax.default_backend() == "cpu" else 50_000
    count = _chunk(num_samples, images_at_once // loader.batch_size)
    state = dataclasses.replace(state, task=task.likelihood(count))
    local = loader.batch_size // jax.process_count()
    first_row = jax.process_index() * local
    starts = [
        parallel.put_batch({"first": np.full(local, first, np.int32)})
        for first in range(0, num_samples, count)
    ]
    average = Average()
    bar = tqdm(
        total=loader.num_batches,
        unit="batch",
        desc="likelihood",
        disable=not progress,
    )
    with bar:
        for n, batch in enumerate(loader.epoch_batches()):
            row = n * loader.batch_size + first_row
            batch["index"] = np.arange(row, row + local, dtype=np.int32)
            rows = parallel.put_batch(batch)
            log_sum: Any = -np.inf
            pending: Any = None
            for start in starts:
                parts = parallel.eval_step(state, {**rows, **start})
                log_sum = _add(log_sum, pending)  # of the part before, while this runs
                pending = parts
            log_sum = _add(log_sum, pending)
            nll = np.log(num_samples) - log_sum
            average = average.merge(Average.of(nll, jax.device_get(pending["weight"])))
            bar.update()
    return average


def _add(log_sum: Any, parts: Any) -> Any:
    if parts is None:
        return log_sum
    return np.logaddexp(log_sum, -np.asarray(parts["loss"], np.float64))


def _chunk(num_samples: int, most: int) -> int:
    """The largest divisor of num_samples up to `most`: one compiled shape serves all.

    >>> _chunk(5000, 30)
    25
    """
    return max(
        (n for n in range(1, min(most, num_samples) + 1) if num_samples % n == 0),
        default=1,
    )
