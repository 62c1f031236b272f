"""A network, a state and a config small enough to be compiled in a second."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jdeconv import tasks, train
from jdeconv.data import Degrade, Preprocess

SIZE = 8


class Net(nnx.Module):
    """Image to image, with all that could depend on how a batch is cut up."""

    def __init__(self, *, norm: bool = False, dropout: bool = False, dtype=None):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(1, 4, (3, 3), use_bias=not norm, dtype=dtype, rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs) if norm else None
        self.out = nnx.Conv(4, 1, (3, 3), dtype=dtype, rngs=rngs)
        self.dropout = dropout

    def __call__(self, x, *, key=None):
        y = self.conv(x)
        y = nnx.relu(y if self.norm is None else self.norm(y))
        if self.dropout and key is not None:
            keep = jax.vmap(lambda k: jax.random.bernoulli(k, 0.9, y.shape[1:]))(key)
            y = jnp.where(keep, y, 0)
        return self.out(y)


def make_task(noise_std: float = 0.0, augment: str = "none") -> tasks.Task:
    return tasks.Reconstruct(Preprocess(), augment, "mse", Degrade(noise_std))


def make_state(model=None, task=None, optimizer=None, **options) -> train.TrainState:
    return train.create_state(
        Net() if model is None else model,
        optimizer=optax.adam(1e-3) if optimizer is None else optimizer,
        task=make_task() if task is None else task,
        key=jax.random.key(1),
        **options,
    )


def make_batch(size: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (size, SIZE, SIZE, 1)
    return {"image": rng.integers(0, 256, shape, dtype=np.uint8)}


def make_config():
    """Digits, a classifier with BatchNorm and dropout: 1 ms a step."""
    config = train.default_config()
    config.model.name = "cnn"
    config.model.blocks = ((4,),)
    config.model.pool = 2
    config.data.source = "digits"
    config.data.train_split = "train[:200]"
    config.data.test_split = "test[:50]"
    config.data.augment = "shift"
    config.batch_size = 16
    config.log_every = 5
    config.ema_decay = 0.9
    config.optimizer.schedule = "cosine"
    return config
