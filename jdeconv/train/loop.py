"""The training loop: `train_and_evaluate`."""

import collections
import dataclasses
import math
import os
import pathlib
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from flax import nnx

from jdeconv import data
from jdeconv.train import checkpoint, records, setup
from jdeconv.train.checkpoint import Checkpoints
from jdeconv.train.duration import is_due
from jdeconv.train.evaluation import (
    evaluate_state,
    load_run,
    make_eval_loader,
    pictures,
    summary,
)
from jdeconv.train.interrupt import Interrupt
from jdeconv.train.logging import Meter, Writer, read_metrics
from jdeconv.train.parallel import make_parallel
from jdeconv.train.state import TrainState

# Steps that may be under way while the numbers of an earlier one are looked at.
_STEPS_AHEAD = 3


class NonFiniteError(FloatingPointError):
    """The loss or the gradient is NaN or infinite; training has stopped."""


def train_and_evaluate(
    config: ml_collections.ConfigDict, folder: str | os.PathLike
) -> dict[str, Any]:
    """Trains the network of a config, or goes on with training it.

    The workdir gets config.json, source.json, environment.json, metrics.jsonl,
    TensorBoard files and checkpoints. Called again with the same workdir it goes on
    from the newest checkpoint, exactly as if it had not been interrupted.

    Args:
      config: see `jdeconv.train.default_config`.
      folder: workdir of the run, made if needed.

    Returns:
      Of the last evaluation each metric's mean as "test/NAME", and its standard error
      as "test/NAME_sem"; "step"; "wall_time_s", of training and evaluation over all
      calls with this workdir; "interrupted", the name of the signal that stopped it,
      or None.

    Raises:
      FileNotFoundError: data is missing.
      ValueError: a field of the config is illegal, or the workdir is that of another
        config.
      NonFiniteError: loss or gradient is not finite.
    """
    return _Run(config, folder).train()


class _Run:
    def __init__(self, config: ml_collections.ConfigDict, folder: str | os.PathLike):
        self.config = config
        self.folder = pathlib.Path(folder)
        records.check(self.folder, config)
        self.parallel = make_parallel(config.parallel)
        self.parallel.check_batch_size(
            "batch_size", config.batch_size, config.accumulate
        )
        self.source = data.load_source(config.data, "train", seed=config.seed)
        self.test_source = data.load_source(config.data, "test", seed=config.seed)
        self.loader = data.Loader(
            self.source,
            batch_size=config.batch_size,
            seed=config.seed,
            cache_bytes=config.data.cache_bytes,
            num_workers=config.data.num_workers,
        )
        self.test_loader = make_eval_loader(config, self.test_source, self.parallel)
        described = setup.describe(self.source)
        self.plan = setup.make_plan(config, len(self.source))
        self.schedule = setup.make_schedule(config, len(self.source))
        self.state = setup.build_state(config, described, self.parallel)
        records.claim(self.folder, config, described)
        self.meter = Meter()
        self.elapsed = 0.0
        self.tested: dict[str, Any] = {}

    def train(self) -> dict[str, Any]:
        keep = self.config.keep
        with Interrupt() as interrupt, Checkpoints(self.folder, keep=keep) as saved:
            self.interrupt, self.checkpoints = interrupt, saved
            start = self._resume()
            for sentence in setup.advice(self.state):
                self._say(f"advice: {sentence}")
            with Writer(self.folder, start) as self.writer:
                self._bar = self._make_bar(start)
                with self._bar:
                    step = self._steps(start)
        return {
            **self.tested,
            "step": step,
            "wall_time_s": self.elapsed,
            "interrupted": interrupt.name,
        }

    def _resume(self) -> int:
        """Restores the newest checkpoint; returns the steps done."""
        found = checkpoint.restore(self.folder, self.state, self.parallel.replicated)
        if found is None:
            self._initialize()
            return 0
        for kind, step in found.damaged:
            self.checkpoints.forget(step, kind=kind)
        self.state = found.state
        self.meter = Meter(found.notes["meter"])
        self.elapsed = found.notes["wall_time_s"]
        self._say(f"resuming {self.folder} at step {found.step}")
        return found.step

    def _initialize(self) -> None:
        if self.config.init_from:
            other = load_run(self.config.init_from, "latest")
            self.state = with_params(self.state, other.model, self.config.init_from)
            self.state = self.parallel.put_state(self.state)

    def _steps(self, start: int) -> int:
        plan, parallel = self.plan, self.parallel
        step = start
        self._clock = self._last_log = time.perf_counter()
        self._last_logged_step = start
        self._recall_test(start)
        batches = self.loader.iterate(start)
        pending: collections.deque = collections.deque()
        while step < plan.total and not self.interrupt.has_come(step):
            batch = parallel.put_batch(next(batches))
            self.state, metrics = parallel.train_step(self.state, batch)
            step += 1
            # Numbers are fetched some steps late: the devices never wait for Python.
            pending.append((step, metrics))
            if len(pending) > _STEPS_AHEAD:
                self._record(*pending.popleft())
            at_end = step == plan.total
            evaluate = at_end or is_due(step, plan.evaluate)
            save = at_end or is_due(step, plan.checkpoint)
            if evaluate or save or self.interrupt.name:
                while pending:
                    self._record(*pending.popleft())
                if evaluate:
                    self._evaluate(step)
                if save and not self.interrupt.name:
                    self._save(step)
        if self.interrupt.name:
            while pending:
                self._record(*pending.popleft())
            self._save(step)
            self._say(
                f"{self.interrupt.name}: saved at step {step} of {plan.total}; the "
                "same command goes on from there"
            )
        return step

    def _record(self, step: int, metrics: dict[str, jax.Array]) -> None:
        values = {name: float(x) for name, x in jax.device_get(metrics).items()}
        for name in ("loss", "grad_norm"):
            if not math.isfinite(values[name]):
                raise self._not_finite(f"{name} is {values[name]} at step {step}")
        self.meter.add(values)
        self._bar.update()
        if step % self.plan.log == 0:
            self._log(step)

    def _log(self, step: int) -> None:
        now = time.perf_counter()
        passed = max(now - self._last_log, 1e-9)
        examples = (step - self._last_logged_step) * self.config.batch_size
        values = {f"train/{name}": x for name, x in self.meter.take().items()}
        speed = examples / passed
        self._bar.set_postfix_str(
            f"loss {values['train/loss']:.4f}, {speed:,.0f} images/s", refresh=False
        )
        values |= {
            "learning_rate": float(self.schedule(step - 1)),
            "epoch": float(step / self.plan.epoch),
            "images_per_s": speed,
            "wall_time_s": self._wall_time(),
        }
        self.writer.scalars(step, values)
        self._last_log, self._last_logged_step = now, step

    def _evaluate(self, step: int) -> None:
        begun = time.perf_counter()
        averages = evaluate_state(
            self.state,
            self.parallel,
            self.test_loader,
            stop=lambda: bool(self.interrupt.name),
        )
        if averages is None:
            return  # a resumed run will do it
        values = summary(averages)
        if not math.isfinite(averages["loss"].mean):
            raise self._not_finite(f"the test loss is not finite after step {step}")
        self.tested = values
        self.writer.scalars(step, values | {"wall_time_s": self._wall_time()})
        figure = pictures(self.state, self.parallel, self.test_source)
        self.writer.image(step, "test/examples", figure)
        self._say(
            f"step {step} (epoch {float(step / self.plan.epoch):.4g}): test "
            + ", ".join(
                f"{name} {a.mean:.5g} ± {a.standard_error:.2g}"
                for name, a in averages.items()
            )
        )
        self._keep_best(step, averages[self.state.task.criterion].mean)
        # Evaluation is no part of the images/s of training.
        self._last_log += time.perf_counter() - begun

    def _keep_best(self, step: int, value: float) -> None:
        task = self.state.task
        sign = 1 if task.better == "higher" else -1
        name = f"test/{task.criterion}"
        best = self.checkpoints.best_value(name)
        if best is None or sign * value > sign * best:
            self._save(step, "best", {name: value})

    def _save(self, step: int, kind: str = "latest", notes: Any = None) -> None:
        self.writer.flush()
        if not _all_finite(self.state.params):
            raise self._not_finite(f"parameters are not finite after step {step}")
        notes = {
            "meter": self.meter.notes,
            "wall_time_s": self._wall_time(),
            **(notes or {}),
        }
        self.checkpoints.save(self.state, step, kind=kind, notes=notes)

    def _not_finite(self, what: str) -> NonFiniteError:
        self.checkpoints.wait()
        good = checkpoint.steps(self.folder)
        last = f"is of step {good[-1]}" if good else "was not reached"
        return NonFiniteError(
            f"{what}: training stopped; the last good checkpoint in {self.folder} "
            f"{last}"
        )

    def _recall_test(self, start: int) -> None:
        """Sets the evaluation of the step we start from, or does it."""
        plan = self.plan
        for record in reversed(read_metrics(self.folder)):
            tests = {k: v for k, v in record.items() if k.startswith("test/")}
            if tests:
                self.tested = tests
                if record["step"] == start:
                    return
                break
        if start and (start >= plan.total or is_due(start, plan.evaluate)):
            self._evaluate(start)

    def _wall_time(self) -> float:
        now = time.perf_counter()
        self.elapsed += now - self._clock
        self._clock = now
        return self.elapsed

    def _make_bar(self, start: int):
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        return tqdm(
            total=self.plan.total,
            initial=start,
            unit="step",
            desc=self.folder.name,
            dynamic_ncols=True,
            mininterval=0.5 if terminal else 30.0,
            disable=jax.process_index() != 0,
        )

    def _say(self, text: str) -> None:
        if jax.process_index() == 0:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)


@jax.jit
def _all_finite(params: nnx.State) -> jax.Array:
    finite = [jnp.isfinite(x).all() for x in jax.tree.leaves(params)]
    return jnp.stack(finite).all()


def with_params(state: TrainState, model: nnx.Module, name: str) -> TrainState:
    """The state with the parameters and other variables of a model.

    Args:
      state: before the first step.
      model: of the same architecture.
      name: where it comes from, for the message.

    Raises:
      ValueError: the parameters are not the same in name and shape.
    """
    _, *split = nnx.split(model, nnx.Param, ...)
    params, model_state = map(nnx.as_pure, split)
    for have, given in ((state.params, params), (state.model_state, model_state)):
        wanted, found = checkpoint.shapes(have), checkpoint.shapes(given)
        if wanted != found:
            differing = sorted(
                f"{k}: {found.get(k, 'absent')} instead of {wanted.get(k, 'absent')}"
                for k in wanted.keys() | found.keys()
                if wanted.get(k) != found.get(k)
            )
            raise ValueError(
                f"init_from={name!r}: its network is another one: "
                f"{'; '.join(differing[:3])}"
            )
    ema = None if state.ema is None else jax.tree.map(np.asarray, params)
    return dataclasses.replace(state, params=params, model_state=model_state, ema=ema)
