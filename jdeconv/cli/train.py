"""`jdeconv train`: train the network of a config, or go on with training it."""

import argparse
import sys
from collections.abc import Sequence

from jdeconv.cli.main import Parser

_EPILOG = """\
--config.FIELD=VALUE overrides a field of the config, such as
--config.optimizer.learning_rate=3e-4, and may stand before or after --config.
Called again with the same workdir, training goes on from the newest checkpoint.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of `jdeconv train`."""
    parser = Parser(
        "jdeconv train",
        usage="jdeconv train --config FILE[:ARG] --workdir DIR [--config.FIELD=VALUE]",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", metavar="FILE[:ARG]", help="a Python file with get_config(arg)"
    )
    parser.add_argument("--workdir", metavar="DIR", help="where the run lives")
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs `jdeconv train` with the given arguments; returns the exit code."""
    rest, overrides = split_overrides(argv)
    arguments, unknown = parser().parse_known_args(rest)
    if unknown:
        raise ValueError(
            f"unknown argument {unknown[0]!r}: fields of the config are set by "
            "--config.FIELD=VALUE"
        )
    for name in ("config", "workdir"):
        if not getattr(arguments, name):
            raise ValueError(f"--{name} is missing")
    from jdeconv import train

    config = train.read_config(arguments.config, overrides)
    result = train.train_and_evaluate(config, arguments.workdir)
    stopped = result.pop("interrupted")
    if not stopped:
        print(format_metrics(result))
    sys.stdout.flush()
    return 0


def split_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separates `--config.FIELD=VALUE` (or `--config.FIELD VALUE`) from the rest.

    Raises:
      ValueError: a field without a value, or one that is set twice.

    >>> split_overrides(["--config.seed=1", "--config", "a.py", "--config.loss", "l1"])
    (['--config', 'a.py'], {'seed': '1', 'loss': 'l1'})
    """
    rest: list[str] = []
    overrides: dict[str, str] = {}
    arguments = iter(argv)
    for argument in arguments:
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        name, equals, value = argument.removeprefix("--config.").partition("=")
        if not equals:
            following = next(arguments, None)
            if following is None or following.startswith("--"):
                raise ValueError(f"--config.{name} needs a value: --config.{name}=...")
            value = following
        if name in overrides:
            raise ValueError(f"--config.{name} is given twice")
        overrides[name] = value
    return rest, overrides


def format_metrics(metrics: dict[str, float]) -> str:
    """Metrics as a line each, with the standard error where there is one."""
    lines = []
    for name, value in metrics.items():
        if name.endswith("_sem"):
            continue
        error = metrics.get(f"{name}_sem")
        number = f"{value:.6g}" if isinstance(value, float) else str(value)
        lines.append(f"{name}: {number}" + (f" ± {error:.2g}" if error else ""))
    return "\n".join(lines)
