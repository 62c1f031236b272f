"""Steps of a GAN on one device, on four and under pmap; prints how far they are apart.

Run by test_turns in a process of its own: `python -m tests.train.turns_on_devices`.
"""

import json
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import optax
from flax import nnx

from jdeconv import models, train
from jdeconv.data import Preprocess
from jdeconv.tasks import Generate
from jdeconv.train.optim import by_part
from tests.train import tiny
from tests.train.devices import apart

STEPS, BATCH = 3, 32


def run(kind: str, devices):
    parallel = train.make_parallel(kind, devices=devices)
    task = Generate(Preprocess(size=(16, 16), range=(-1.0, 1.0)), discriminator_steps=2)

    def make():
        # SGD: Adam's first steps have the sign of a gradient, whatever its size.
        return train.create_state(
            models.DCGAN((16, 16, 1), width=4, latent=8, rngs=nnx.Rngs(0)),
            optimizer=by_part(
                {"generator": optax.sgd(1e-2), "discriminator": optax.sgd(1e-2)}
            ),
            task=task,
            key=jax.random.key(1),
            ema_decay=0.9,
            axis_name=parallel.axis_name,
        )

    state = parallel.put_state(jax.jit(make)())
    for step in range(STEPS):
        batch = parallel.put_batch(tiny.make_batch(BATCH, seed=step))
        state, metrics = parallel.train_step(state, batch)
    return state, metrics


def main() -> None:
    runs = {
        "one": run("jit", jax.devices()[:1]),
        "four": run("jit", jax.devices()),
        "pmap": run("pmap", jax.devices()),
    }
    state, metrics = runs["one"]
    gaps = {}
    for name, (other, other_metrics) in runs.items():
        gaps[name] = {
            part: apart(getattr(state, part), getattr(other, part))
            for part in ("params", "ema", "model_state")
        }
        gaps[name]["metrics"] = apart(metrics, other_metrics)
    print(json.dumps(gaps))


if __name__ == "__main__":
    main()
