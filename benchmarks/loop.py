"""What feeding and driving the training step costs.

    python -m benchmarks.loop [--data_dir DIR]

Three numbers: images per second of the loader alone, from a source in memory; and the
time of a step within `train_and_evaluate` against a bare loop over the same compiled
step with one fixed batch, for a short step and for a long one. Bare loop and training
alternate, medians over their runs. Writes runs/benchmarks/loop.json and prints a table.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import jax

from configs import autoencoder_mnist, tutorial_mnist
from jdeconv import data, train
from jdeconv.train import setup
from jdeconv.train.parallel import make_parallel
from jdeconv.train.records import environment

OUT = pathlib.Path("runs/benchmarks/loop.json")


def loader_speed(source, batch_size: int, batches: int = 2000) -> float:
    """Images per second of the loader alone."""
    loader = data.Loader(source, batch_size=batch_size, seed=0)
    stream = loader.iterate()
    next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return batches * batch_size / (time.perf_counter() - start)


def bare_step(config, source, steps: int) -> float:
    """Seconds per step of a loop that does nothing but call the compiled step."""
    parallel = make_parallel(config.parallel)
    state = setup.build_state(config, setup.describe(source), parallel)
    loader = data.Loader(source, batch_size=config.batch_size, seed=0)
    batch = parallel.put_batch(loader.batch(0))
    for _ in range(5):
        state, metrics = parallel.train_step(state, batch)
    jax.block_until_ready(metrics)
    start = time.perf_counter()
    for _ in range(steps):
        state, metrics = parallel.train_step(state, batch)
    jax.block_until_ready((state.params, metrics))
    return (time.perf_counter() - start) / steps


def loop_step(config, steps: int) -> float:
    """Seconds per step within `train_and_evaluate`, evaluation and start excluded."""
    config.duration = f"{steps} steps"
    config.eval_every = config.checkpoint_every = "0 steps"
    config.log_every = 100  # the default
    with tempfile.TemporaryDirectory() as workdir:
        train.train_and_evaluate(config, workdir)
        speeds = [r.get("images_per_s") for r in train.read_metrics(workdir)]
    # The first line has the compilation in it.
    return config.batch_size / statistics.median([s for s in speeds if s][1:])


def compare(make_config, source_name, data_dir, steps: int, runs: int) -> dict:
    """Bare and driven step times, alternating."""
    bare, driven = [], []
    for _ in range(runs):
        config = make_config()
        config.data.source = source_name
        if data_dir:
            config.data.data_dir = data_dir
        source = data.load_source(config.data, "train")
        bare.append(bare_step(config, source, steps))
        driven.append(loop_step(config, steps))
    a, b = statistics.median(bare), statistics.median(driven)
    return {
        "bare_ms": 1e3 * a,
        "loop_ms": 1e3 * b,
        "added_ms": 1e3 * (b - a),
        "added_percent": 100 * (b / a - 1),
        "bare_ms_all": [1e3 * t for t in bare],
        "loop_ms_all": [1e3 * t for t in driven],
    }


def short_config():
    """A step of about a millisecond."""
    config = tutorial_mnist.get_config()
    with config.unlocked():
        config.model.features = 2
    config.batch_size = 8
    config.accumulate = 1
    return config


def main(argv=None):
    """Runs the benchmark, prints a table and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", default=None)
    parser.add_argument("--source", default="digits", help="e.g. tfds:mnist")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--long_steps", type=int, default=500)
    arguments = parser.parse_args(argv)
    source = data.load_source(
        {"source": arguments.source, "data_dir": arguments.data_dir}, "train"
    )
    result = {
        "source": arguments.source,
        "loader_images_per_s": {size: loader_speed(source, size) for size in (32, 128)},
        "short_step": compare(
            short_config, arguments.source, arguments.data_dir, 1000, arguments.runs
        ),
        "long_step": compare(
            autoencoder_mnist.get_config,
            arguments.source,
            arguments.data_dir,
            arguments.long_steps,
            arguments.runs,
        ),
        "environment": environment(),
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    for size, speed in result["loader_images_per_s"].items():
        print(f"loader, batch {size}: {speed:,.0f} images/s")
    for name in ("short_step", "long_step"):
        r = result[name]
        print(
            f"{name}: bare {r['bare_ms']:.2f} ms, in training {r['loop_ms']:.2f} ms, "
            f"added {r['added_ms']:.2f} ms ({r['added_percent']:.1f} %)"
        )
    print(OUT)


if __name__ == "__main__":
    main()
