"""Training: a pure step, run by one loop on one device or many.

A run lives in a workdir and is described by a config; `train_and_evaluate` makes or
continues it, `evaluate` measures it, `load_model` opens the trained network. `sweep`
does so for a grid of them.
"""

from jdeconv.train.config import default_config, override, read_config
from jdeconv.train.duration import Duration, parse_duration
from jdeconv.train.evaluation import TrainedRun, evaluate, load_model, load_run
from jdeconv.train.logging import read_metrics
from jdeconv.train.loop import NonFiniteError, train_and_evaluate
from jdeconv.train.optim import make_optimizer, make_schedule
from jdeconv.train.parallel import Parallel, make_parallel
from jdeconv.train.published import load_published, save_weights
from jdeconv.train.state import TrainState, create_state
from jdeconv.train.step import eval_step, train_step
from jdeconv.train.sweeps import Sweep, finished, sweep

__all__ = [
    "Duration",
    "NonFiniteError",
    "Parallel",
    "Sweep",
    "TrainState",
    "TrainedRun",
    "create_state",
    "default_config",
    "eval_step",
    "evaluate",
    "finished",
    "load_model",
    "load_published",
    "load_run",
    "make_optimizer",
    "make_parallel",
    "make_schedule",
    "override",
    "parse_duration",
    "read_config",
    "read_metrics",
    "save_weights",
    "sweep",
    "train_and_evaluate",
    "train_step",
]
