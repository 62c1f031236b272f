"""What a sweep has reached: sweep.json, a table and a plot of any of its metrics."""

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jdeconv import figures
from jdeconv.train import records

if TYPE_CHECKING:
    from jdeconv.train.sweeps import Cell, Sweep


def check_plotting() -> None:
    """Says that matplotlib is missing before hours of training, and not after.

    Raises:
      ModuleNotFoundError: it is.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError(
            'a sweep is plotted with matplotlib: pip install "jdeconv[demo]"'
        )


def write(
    sweep: "Sweep", *, metrics: Sequence[str] = (), plot: bool = True
) -> list[pathlib.Path]:
    """Writes sweep.json, sweep.md and, with a plot, sweep.png into the sweep's folder.

    Args:
      sweep: with any number of its runs done.
      metrics: of the test set, such as "accuracy"; (): the one that counts.
      plot: whether to draw.

    Returns:
      The files written.

    Raises:
      ValueError: an unknown metric; the message lists the known ones.
    """
    text = table(sweep, metrics)
    folder = sweep.folder
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "sweep.json", folder / "sweep.md"]
    records.write_json(written[0], sweep.to_json())
    written[1].write_text(f"{text}\n")
    if plot and any(cell.results for cell in sweep.cells):
        written.append(folder / "sweep.png")
        figures.save_plot(draw(sweep, metrics), written[-1])
    return written


def table(sweep: "Sweep", metrics: Sequence[str] = ()) -> str:
    """A line per cell, Markdown: its fields, the metrics, and what it took.

    Of several seeds the mean and their standard deviation; of one, its value and the
    standard error of the test set.

    Args:
      sweep: with any number of its runs done.
      metrics: as in `write`.

    Raises:
      ValueError: an unknown metric.
    """
    from jdeconv.train.sweeps import short_names

    metrics = _known(sweep, metrics)
    fields = list(sweep.cells[0].fields)
    titles = ["cell", *short_names(fields).values(), *metrics]
    lines = [f"| {' | '.join([*titles, 'seeds', 'steps', 'time'])} |"]
    lines.append("|---" * (len(titles) + 3) + "|")
    for cell in sweep.cells:
        row = [cell.name, *(str(cell.fields[f]) for f in fields)]
        row += [_shown(*value(cell, metric)) for metric in metrics]
        steps = {r["step"] for r in cell.results.values()}
        seconds = [r["wall_time_s"] for r in cell.results.values()]
        diverged = f", {len(cell.failed)} not finite" if cell.failed else ""
        row.append(f"{len(cell.results)}{diverged}")
        row.append(", ".join(map(str, sorted(steps))) or "-")
        row.append(f"{np.mean(seconds):.0f} s" if seconds else "-")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def draw(sweep: "Sweep", metrics: Sequence[str] = ()) -> Any:
    """A panel per metric, a matplotlib figure.

    The numeric field with the most values is the axis, and each combination of the
    others a line. Without a numeric field the cells stand beside each other.

    Args:
      sweep: with at least one run done.
      metrics: as in `write`.
    """
    import matplotlib.pyplot as plt

    metrics = _known(sweep, metrics)
    cells = [cell for cell in sweep.cells if cell.results]
    along = _axis_field(sweep.cells)
    figure, axes = plt.subplots(
        1,
        len(metrics),
        figsize=(5 * len(metrics), 3.8),
        layout="constrained",
        squeeze=False,
    )
    for axis, metric in zip(axes[0], metrics):
        for label, line in _lines(cells, along).items():
            x = [c.name if along is None else c.fields[along] for c in line]
            found = [value(c, metric) for c in line]
            axis.errorbar(
                x,
                [mean for mean, _ in found],
                [spread or 0 for _, spread in found],
                fmt="o" if along is None else "o-",
                capsize=3,
                label=label,
            )
        axis.set_title(metric)
        axis.grid(alpha=0.3)
        if along is None:
            axis.tick_params(axis="x", rotation=30)
        else:
            axis.set_xlabel(along)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if any(labels):
        axes[0, 0].legend(handles, labels)
    return figure


def value(cell: "Cell", metric: str) -> tuple[float, float | None]:
    """The mean of a metric over the seeds, and how sure it is.

    Returns:
      (mean, standard deviation over the seeds); of one seed (value, standard error of
      the test set or None); of none (nan, None).
    """
    name = f"test/{metric}"
    found = [r[name] for r in cell.results.values() if name in r]
    if len(found) > 1:
        return float(np.mean(found)), float(np.std(found, ddof=1))
    if not found:
        return float("nan"), None
    return found[0], next(iter(cell.results.values())).get(f"{name}_sem")


def _known(sweep: "Sweep", metrics: Sequence[str]) -> list[str]:
    known = {
        name.removeprefix("test/")
        for cell in sweep.cells
        for result in cell.results.values()
        for name in result
        if name.startswith("test/") and not name.endswith("_sem")
    }
    for metric in metrics:
        if known and metric not in known:
            raise ValueError(
                f"metric {metric!r}: the runs have {', '.join(sorted(known))}"
            )
    return list(metrics) or [sweep.criterion[0]]


def _shown(mean: float, spread: float | None) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.5g}" if spread is None else f"{mean:.5g} ± {spread:.2g}"


def _axis_field(cells: "Sequence[Cell]") -> str | None:
    """The numeric field with the most values, two at least."""
    counts = {}
    for field in cells[0].fields:
        values = {cell.fields[field] for cell in cells}
        if all(type(v) in (int, float) for v in values) and len(values) > 1:
            counts[field] = len(values)
    return max(counts, key=lambda field: counts[field]) if counts else None


def _lines(cells: "Sequence[Cell]", along: str | None) -> "dict[str, list[Cell]]":
    """Cells by what they have in common beside the axis, in the order of the axis."""
    from jdeconv.train.sweeps import short_names

    if along is None:
        return {"": list(cells)}
    others = [f for f in cells[0].fields if f != along]
    varying = [f for f in others if len({str(c.fields[f]) for c in cells}) > 1]
    short = short_names(varying)
    lines: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda c: c.fields[along]):
        label = ", ".join(f"{short[f]} {cell.fields[f]}" for f in varying)
        lines.setdefault(label, []).append(cell)
    return lines
