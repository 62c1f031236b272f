"""`jdeconv evaluate`: mean and standard error of the metrics over all test images."""

import argparse
import pathlib
from collections.abc import Sequence

from jdeconv.cli.main import Parser


def parser() -> argparse.ArgumentParser:
    """The command line of `jdeconv evaluate`."""
    parser = Parser("jdeconv evaluate", description=__doc__)
    parser.add_argument("--workdir", required=True, help="of the training run")
    parser.add_argument("--checkpoint", choices=("best", "latest"), default="best")
    parser.add_argument("--split", default="test", help="of the data (default: test)")
    parser.add_argument(
        "--figure",
        nargs="?",
        const="",
        metavar="PATH",
        help="write a picture of some images (default: WORKDIR/figure.png)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        help="importance samples per image for the likelihood of a VAE; 0: none "
        "(default: those of the config)",
    )
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs `jdeconv evaluate` with the given arguments; returns the exit code."""
    arguments = parser().parse_args(argv)
    from jdeconv import train
    from jdeconv.cli.train import format_metrics

    figure = arguments.figure
    if figure == "":
        figure = pathlib.Path(arguments.workdir) / "figure.png"
    metrics = train.evaluate(
        arguments.workdir,
        which=arguments.checkpoint,
        split=arguments.split,
        figure=figure,
        samples=arguments.samples,
        progress=True,
    )
    print(format_metrics(metrics))
    if figure:
        print(f"figure: {figure}")
    return 0
