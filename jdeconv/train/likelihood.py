"""The likelihood of images under a VAE, by importance sampling, in constant memory."""

import dataclasses

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

    In expectation it is an upper bound of -log p(x) that falls with K. The network
    makes `images_at_once` images at a time, so that memory does not depend on K.

    Args:
      state: to evaluate, of task `Variational`.
      parallel: how to run.
      loader: of the data set.
      num_samples: K.
      images_at_once: images that the decoder makes together, at most, or one per
        example of the batch; None: one per example on a CPU, where they should fit the
        caches, and 50000 elsewhere. The result does not depend on it.
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
        images_at_once = 1 if jax.default_backend() == "cpu" else 50_000
    at_once = _chunk(num_samples, images_at_once // loader.batch_size)
    state = dataclasses.replace(state, task=task.likelihood(num_samples, at_once))
    local = loader.batch_size // jax.process_count()
    first_row = jax.process_index() * local
    average = Average()
    bar = tqdm(
        loader.epoch_batches(),
        total=loader.num_batches,
        unit="batch",
        desc="likelihood",
        disable=not progress,
    )
    for n, batch in enumerate(bar):
        row = n * loader.batch_size + first_row
        batch["index"] = np.arange(row, row + local, dtype=np.int32)
        found = jax.device_get(parallel.eval_step(state, parallel.put_batch(batch)))
        average = average.merge(Average.of(found["loss"], found["weight"]))
    return average


def _chunk(num_samples: int, most: int) -> int:
    """The largest divisor of num_samples up to `most`: one compiled shape serves all.

    >>> _chunk(5000, 30)
    25
    """
    return max(
        (n for n in range(1, min(most, num_samples) + 1) if num_samples % n == 0),
        default=1,
    )
