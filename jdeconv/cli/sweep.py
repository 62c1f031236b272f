"""`jdeconv sweep`: train the grid of a config, and compare its cells."""

import argparse
from collections.abc import Sequence

from jdeconv.cli.main import Parser
from jdeconv.cli.train import split_overrides

_EPILOG = """\
The file has, beside get_config(arg), a function sweep() that gives the fields of each
cell of the grid, such as {"model.features": 16, "model.strides": 2}.

Runs go to DIR/CELL-SEED, the table to DIR/sweep.md, the plot to DIR/sweep.png and all
numbers to DIR/sweep.json. Called again with the same DIR, what is finished is not
trained again and the rest goes on; with more --seeds, only the new ones are trained.
--config.FIELD=VALUE overrides a field of all cells.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of `jdeconv sweep`."""
    parser = Parser(
        "jdeconv sweep",
        usage="jdeconv sweep --config FILE[:ARG] --workdir DIR [--seeds N] "
        "[--metric NAME] [--config.FIELD=VALUE]",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", metavar="FILE[:ARG]", help="a Python file with sweep()"
    )
    parser.add_argument("--workdir", metavar="DIR", help="where the runs live")
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="runs per cell (default 1)"
    )
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="of the test set, for table and plot; may be given more than once "
        "(default: the one that chooses the best checkpoint)",
    )
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs `jdeconv sweep` with the given arguments; returns the exit code."""
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
    from jdeconv.train import sweep_report

    result = train.sweep(
        arguments.config, arguments.workdir, overrides=overrides, seeds=arguments.seeds
    )
    files = sweep_report.write(result, metrics=arguments.metric)
    print(sweep_report.table(result, arguments.metric))
    print(f"written to {', '.join(map(str, files))}")
    if result.interrupted:
        print(f"{result.interrupted}: the same command goes on from here")
    return 1 if any(cell.failed for cell in result.cells) else 0
