"""The one renderer of pictures; `report_html` makes pages of them, `report_run` those of runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astro_jax.workdir import write_bytes


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows with the same keys as aligned text; floats with four decimals."""
    cells = [list(rows[0])] + [[_cell(v) for v in row.values()] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, *rest = (
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *rest]))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def reconstruction_plot(path: Path, examples: Sequence[Mapping[str, Any]], title: str) -> None:
    """Draw curves with their hidden points and what was predicted there, as PNG.

    examples: records of name, time [n] days, mag [n], hidden [n] bool, predicted [n].
    """
    figure, axes = _figure(len(examples))
    for axis, example in zip(axes, examples, strict=True):
        time, hidden = example["time"], example["hidden"]
        axis.plot(time[~hidden], example["mag"][~hidden], ".", color="0.65", ms=4, label="visible")
        axis.plot(
            time[hidden],
            example["mag"][hidden],
            "o",
            mfc="none",
            color="tab:blue",
            ms=5,
            label="hidden, true",
        )
        axis.plot(
            time[hidden],
            example["predicted"][hidden],
            "x",
            color="tab:red",
            ms=5,
            label="hidden, predicted",
        )
        axis.invert_yaxis()
        axis.set_title(example["name"], fontsize=9)
        axis.set_ylabel("magnitude")
    axes[0].legend(fontsize=8, loc="upper right", framealpha=0.9)
    axes[-1].set_xlabel("time (days, MJD)")
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def training_plot(
    path: Path, lines: Sequence[Mapping[str, Any]], title: str, monitor: str = "rmse_hidden"
) -> None:
    """Draw a metric of training and validation against the step, as PNG."""
    figure, (axis,) = _figure(1)
    for split, style in (("train", {"color": "0.7", "lw": 1}), ("valid", {"marker": "o"})):
        part = [line for line in lines if line["split"] == split]
        axis.plot([p["step"] for p in part], [p[monitor] for p in part], label=split, **style)
    valid = [line for line in lines if line["split"] == "valid" and "rmse_mean" in line]
    if valid:
        axis.axhline(valid[-1]["rmse_mean"], color="k", ls=":", label="mean of the visible points")
    axis.set_xlabel("step")
    axis.set_ylabel("RMSE at hidden points (mag)" if monitor == "rmse_hidden" else monitor)
    axis.set_title(title, fontsize=11)
    axis.legend()
    save_figure(figure, path)


def _figure(rows: int) -> tuple[Any, np.ndarray]:
    from matplotlib.figure import Figure  # lazily: it takes half a second

    figure = Figure(figsize=(9, max(2.1 * rows, 4)), layout="constrained")
    return figure, np.atleast_1d(figure.subplots(rows, 1))


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure as PNG under a temporary name, then rename it."""
    write_bytes(Path(path), figure_png(figure, dpi=110))


def confusion_plot(
    path: Path, confusion: np.ndarray, classes: Sequence[str], title: str = ""
) -> None:
    """Draw a confusion matrix, [C, C] counts with true classes in rows, as PNG.

    Colour and the upper number: the share of the true class in per cent; below it the count.
    """
    confusion = np.asarray(confusion)
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    size = 0.62 * len(classes) + 3
    figure, axis = _square(size)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.argwhere(confusion):
        text = f"{100 * share[i, j]:.0f}\n({confusion[i, j]})"
        color = "white" if share[i, j] > 0.55 else "black"
        axis.text(j, i, text, ha="center", va="center", fontsize=7, color=color)
    names = [f"{c} ({n})" for c, n in zip(classes, confusion.sum(1), strict=True)]
    axis.set_xticks(range(len(classes)), classes, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(classes)), names, fontsize=8)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class (objects)")
    axis.set_title(title, fontsize=10)
    save_figure(figure, path)


def calibration_plot(
    path: Path, curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], title: str = ""
) -> None:
    """Draw accuracy against confidence, as PNG.

    curves: name -> (confidence, accuracy, count), [bins] each; the area of a point grows with its
    count, empty bins are left out.
    """
    figure, axis = _square(5)
    axis.plot([0, 1], [0, 1], color="0.6", ls=":", label="calibrated")
    for name, (confidence, accuracy, count) in curves.items():
        full = np.asarray(count) > 0
        x, y, n = (np.asarray(a)[full] for a in (confidence, accuracy, count))
        (line,) = axis.plot(x, y, label=name)
        axis.scatter(x, y, s=8 + 150 * n / n.sum(), color=line.get_color(), alpha=0.7)
    axis.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axis.set_xlabel("confidence (probability of the predicted class)")
    axis.set_ylabel("accuracy (share that is right)")
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=8, loc="upper left")
    save_figure(figure, path)


def scatter_plot(
    path: Path, truth: np.ndarray, predicted: np.ndarray, name: str, title: str = ""
) -> None:
    """Draw predicted against true values of a quantity, as PNG."""
    figure, axis = _square(5)
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    axis.plot(ends, ends, color="0.6", ls=":")
    axis.plot(truth, predicted, ".", ms=3, alpha=0.5)
    axis.set_xlabel(f"{name}, catalogue")
    axis.set_ylabel(f"{name}, predicted")
    axis.set_title(title, fontsize=10)
    save_figure(figure, path)


def search_plot(
    path: Path, values: Mapping[str, Sequence[float]], losses: Sequence[float], logs: Sequence[str]
) -> None:
    """Draw the losses of the trials of a search against each value that was tried, as PNG.

    values: {key: one value a trial}; logs: the keys on a logarithmic axis
    """
    figure, panels = grid_figure(1, len(values))
    for axis, (name, tried) in zip(panels[0], values.items(), strict=True):
        axis.plot(tried, losses, "o", ms=4, alpha=0.6)
        axis.plot(tried[int(np.argmin(losses))], min(losses), "o", ms=9, mfc="none", color="C3")
        axis.set_xscale("log" if name in logs else "linear")
        axis.set_xlabel(name, fontsize=8)
        axis.grid(color="0.92")
    panels[0][0].set_ylabel("validation loss")
    save_figure(figure, path)


def line_plot(
    path: Path,
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    scale: str = "log",
) -> None:
    """Draw lines with intervals, such as macro-F1 by budget, as PNG; scale: "log" or "linear".

    lines: name -> points (x, value, low, high); lines are set apart a little, so that their
    intervals can be told from each other.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    axis.set_xscale(scale)
    shifts = 1.03 ** (np.arange(len(lines)) - (len(lines) - 1) / 2)
    for shift, (name, points) in zip(shifts, lines.items(), strict=True):
        x, value, low, high = np.array(sorted(points), float).T
        ends = np.nan_to_num(np.abs([value - low, high - value]))
        axis.errorbar(
            x * shift, value, np.nan_to_num(ends), marker="o", ms=4, capsize=3, label=name
        )
    ticks = sorted({point[0] for points in lines.values() for point in points})
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.minorticks_off()
    axis.grid(color="0.92")
    axis.set_xlabel(xlabel)
    axis.set_ylabel(ylabel)
    axis.set_title(title, fontsize=11)
    axis.legend(fontsize=8)
    save_figure(figure, path)


def _square(side: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(side, side), layout="constrained")
    return figure, figure.subplots()


def grid_figure(rows: int, columns: int, side: float = 2.2) -> tuple[Any, np.ndarray]:
    """Return a figure of small panels, and its axes [rows, columns]."""
    from matplotlib.figure import Figure

    size = (max(side * 1.4 * columns, 4), max(side * rows, 2))
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def figure_png(figure: Any, dpi: int = 90) -> bytes:
    """Return a figure as PNG; a "$" in it is a "$"."""
    from io import BytesIO

    from matplotlib.text import Text

    for text in figure.findobj(Text):  # names of classes and folders are no formulas
        text.set_parse_math(False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
