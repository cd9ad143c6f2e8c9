"""Pictures of cells: dots with intervals, lines by budget, learning curves."""

import numpy as np
from common import HERE

from astro_jax.evals.classification import over_seeds
from astro_jax.report import grid_figure, save_figure


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half its 95 % interval over folds, 0 for one fold."""
    mean, low, _ = over_seeds(values)
    return mean, 0.0 if len(values) < 2 else mean - low


def plot_dots(
    name: str,
    records: list[dict],
    keys: tuple[str, ...],
    label: str,
    bars: dict[tuple, list[float]] | None = None,
) -> None:
    """Draw a score by kind of cell, a panel a survey (first entry), a colour a budget.

    bars: the scores of a forest on features by survey and budget, drawn as a dashed line
    """
    surveys = list(dict.fromkeys(r["cell"][0] for r in records))
    figure, axes = grid_figure(max(len(surveys), 1), 1, 3.2)
    for axis, survey in zip(axes[:, 0], surveys, strict=False):
        own = [r for r in records if r["cell"][0] == survey]
        kinds = sorted({" ".join(map(str, r["cell"][1:-2])) for r in own})
        for j, budget in enumerate(sorted({r["cell"][-2] for r in own})):
            for i, kind in enumerate(kinds):
                found = [
                    value_of(r, keys)
                    for r in own
                    if " ".join(map(str, r["cell"][1:-2])) == kind and r["cell"][-2] == budget
                ]
                if found:
                    mean, half = interval(found)
                    axis.errorbar(mean, i + 0.15 * j, xerr=half, fmt="o", ms=4, color=f"C{j}")
            axis.plot([], [], "o", color=f"C{j}", label=f"{budget} labels a class")
            if bars and (survey, budget) in bars:
                axis.axvline(interval(bars[survey, budget])[0], ls="--", lw=0.8, color=f"C{j}")
        axis.set_yticks(range(len(kinds)), kinds, fontsize=6)
        axis.set(xlabel=label, title=survey)
        axis.legend(fontsize=7)
    save_figure(figure, HERE / f"{name}.png")


def value_of(record: dict, keys: tuple[str, ...]) -> float:
    """Return a value of a nested record."""
    for key in keys:
        record = record[key]
    return record


def plot_lines(
    name: str, panels: dict[str, dict], xlabel: str, ylabel: str, words: dict | None = None
) -> None:
    """Draw {panel: {line: {x: [values]}}} with intervals over folds; `words` stand for some x."""
    figure, axes = grid_figure(1, max(len(panels), 1), 2.6)
    colors = {line: f"C{k}" for k, line in enumerate(sorted(set().union(*panels.values())))}
    for axis, (title, lines) in zip(axes[0], sorted(panels.items()), strict=False):
        for line, points in sorted(lines.items()):
            x = sorted(points)
            means, halves = zip(*(interval(points[k]) for k in x), strict=True)
            axis.errorbar(
                x, means, halves, marker="o", ms=4, capsize=2, label=line, color=colors[line]
            )
        axis.set(xscale="log", xlabel=xlabel, title=title)
        ticks = sorted({x for points in lines.values() for x in points})
        axis.set_xticks(ticks, [(words or {}).get(x, str(x)) for x in ticks])
        axis.minorticks_off()
        axis.legend(fontsize=7)
    axes[0, 0].set_ylabel(ylabel)
    save_figure(figure, HERE / f"{name}.png")


def plot_curves(name: str, records: list[dict]) -> None:
    """Draw the validation loss against the step (Fig. 12, D.1), a panel a survey, fold 0."""
    own = [r for r in records if r["cell"][-1] == 0 and len(r.get("curve", [])) > 2]
    lines = sorted({line_of(r) for r in own})
    surveys = list(dict.fromkeys(r["cell"][0] for r in own))
    figure, axes = grid_figure(max(len(surveys), 1), 1, 3.2)
    for axis, survey in zip(axes[:, 0], surveys, strict=False):
        for record in (r for r in own if r["cell"][0] == survey):
            points = [(step, loss) for step, split, loss, _ in record["curve"] if split == "valid"]
            x, y = np.array(points).T
            axis.plot(x, y, marker=".", lw=0.8, color=f"C{lines.index(line_of(record))}")
        axis.set(xlabel="step", ylabel="validation loss", title=survey)
    for k, line in enumerate(lines):
        axes[-1, 0].plot([], [], color=f"C{k}", label=line)
    figure.legend(fontsize=7, ncols=2, loc="outside lower center")
    save_figure(figure, HERE / f"{name}.png")


def line_of(record: dict) -> str:
    """Return what a cell is beside its survey and fold."""
    return " ".join(map(str, record["cell"][1:-1]))
