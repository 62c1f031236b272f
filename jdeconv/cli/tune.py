"""`jdeconv tune`: measure how the convolutions of a config are best computed here.

The choice of `algorithm="auto"` follows a cost model. This measures all lowerings on
the shapes of your own training step and on your device, and keeps the fastest for each
shape in ~/.cache/jdeconv/lowerings.json (or where JDECONV_LOWERINGS says), which
`auto` reads from then on, in this version of jax. Delete the file to go back.
"""

import argparse
import pathlib
from collections.abc import Callable, Sequence

from jdeconv.cli.main import Parser
from jdeconv.cli.train import split_overrides


def tune_config(
    config, *, repeats: int = 9, report: Callable[..., None] | None = None
) -> pathlib.Path:
    """Tunes every conv and transposed conv in the training step of a config.

    Args:
      config: as for `train.train_and_evaluate`; its data are needed for their shapes.
      repeats: runs per lowering and computation; the median counts.
      report: called with each problem, its times and the choice.

    Returns:
      The file of choices.

    Raises:
      ValueError: a config whose training step has no convolution.
    """
    from jdeconv import data
    from jdeconv.ops.lowering import tune, tuned
    from jdeconv.train import setup
    from jdeconv.train.parallel import make_parallel

    parallel = make_parallel(config.parallel)
    source = data.load_source(config.data, "train")
    state = setup.build_state(config, setup.describe(source), parallel)
    loader = data.Loader(source, batch_size=config.batch_size, seed=config.seed)
    batch = parallel.put_batch(loader.batch(0))
    problems = tune.problems_of(parallel.train_step, state, batch)
    if not problems:
        raise ValueError("the training step of this config has no convolution to tune")
    tune.tune(problems, repeats=repeats, report=report)
    return tuned.path()


def parser() -> argparse.ArgumentParser:
    """The command line of `jdeconv tune`."""
    parser = Parser(
        "jdeconv tune",
        usage="jdeconv tune --config FILE[:ARG] [--config.FIELD=VALUE] [--repeats N]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", metavar="FILE[:ARG]", help="a Python file with get_config(arg)"
    )
    parser.add_argument(
        "--repeats", type=int, default=9, metavar="N", help="runs of each (default 9)"
    )
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs `jdeconv tune` with the given arguments; returns the exit code."""
    rest, overrides = split_overrides(argv)
    arguments, unknown = parser().parse_known_args(rest)
    if unknown:
        raise ValueError(
            f"unknown argument {unknown[0]!r}: fields of the config are set by "
            "--config.FIELD=VALUE"
        )
    if not arguments.config:
        raise ValueError("--config is missing")
    if arguments.repeats < 1:
        raise ValueError(f"--repeats={arguments.repeats}: must be at least 1")
    from jdeconv import train

    config = train.read_config(arguments.config, overrides)
    file = tune_config(config, repeats=arguments.repeats, report=_print)
    print(f"written to {file}")
    return 0


def _print(problem, times, choice) -> None:
    from jdeconv.ops.lowering import tuned

    print(tuned.key(problem), flush=True)
    for computation, seconds in times.items():
        taken = getattr(choice, computation)
        row = "  ".join(f"{n} {1e3 * t:.2f} ms" for n, t in seconds.items())
        print(f"  {computation:16s} {taken:13s} of  {row}", flush=True)
