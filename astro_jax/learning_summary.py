"""What the fits of a learning curve say: medians, gains against direct training, a picture."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from astro_jax.evals.transfer import (
    epochs_to_converge,
    epochs_to_reach,
    labels_saved,
    median_and_mad,
    median_interval,
    over_draws,
    retention,
)
from astro_jax.report import line_plot, text_table
from astro_jax.report_run import REPORT

EPOCHS, STEPS = 0, 1  # places in a line of a course
NUMBERS = {
    "labels_saved": labels_saved,
    "retention": retention,
    "retention_above_chance": partial(retention, chance=0.5),
}


def summarise(fits: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> dict[str, Any]:
    """Return medians by method and size, and what each is worth against direct training.

    fits: records of `learning_curve.measure`; a method whose name starts with "direct" is one to
    compare with. over_objects: medians over seeds of the interval of a fit over its test objects
    """
    curves = {m: curve_of(fits, m) for m in methods}
    baselines = [m for m in methods if m.startswith("direct")]
    return {
        "seeds": len({fit["seed"] for fit in fits}),
        "tested": dict(zip(fits[0]["each"], fits[0]["tested"], strict=True)),
        "curves": spreads(curves),
        **{
            name: spreads({m: curve_of(fits, m, name) for m in methods})
            for name in ("micro_auroc", "calibration_error")
        },
        "over_objects": {m: over_objects(fits, m) for m in methods},
        "gains": {
            f"{method} against {direct}": gains(curves, method, direct)
            | convergence(fits, method, direct)
            for direct in baselines
            for method in methods
            if method not in baselines
        },
    }


def spreads(curves: Mapping[str, Mapping[int, list[float]]]) -> dict[str, dict[str, Any]]:
    """Return `spread` of each size of each method."""
    return {m: {str(n): spread(v) for n, v in curve.items()} for m, curve in curves.items()}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, median absolute deviation, mean, and the median's 95 % interval over seeds."""
    median, mad = median_and_mad(values)
    interval = median_interval(values)
    return {"median": median, "mad": mad, "mean": float(np.mean(values)), "interval": interval}


def curve_of(
    fits: Sequence[Mapping[str, Any]], method: str, name: str = "macro_auroc"
) -> dict[int, list[float]]:
    """Return {size: [a score, macro AUROC, of each seed, in order]} of a method."""
    some = sorted((f["size"], f["seed"], f[name]) for f in fits if f["method"] == method)
    sizes = dict.fromkeys(size for size, _, _ in some)
    return {n: [v for size, _, v in some if size == n] for n in sizes}


def over_objects(fits: Sequence[Mapping[str, Any]], method: str) -> dict[str, list[float]]:
    """Return {size: [low, high]}, the median interval of macro AUROC over test objects."""
    found: dict[str, list] = {}
    for fit in fits:
        if fit["method"] == method:
            found.setdefault(str(fit["size"]), []).append(fit["macro_auroc_interval"])
    return {size: np.median(ends, axis=0).tolist() for size, ends in found.items()}


def gains(curves: Mapping[str, Any], method: str, direct: str) -> dict[str, Any]:
    """Return labels saved and retention with intervals over seeds.

    Numbers are [value, low, high], null where infinite.
    """
    told: dict[str, Any] = {}
    for name, function in NUMBERS.items():
        value, interval = over_draws(function, curves[method], curves[direct])
        told[name] = [finite(x) for x in (value, *interval)]
    return told


def convergence(fits: Sequence[Mapping[str, Any]], method: str, direct: str) -> dict[str, Any]:
    """Return epochs and steps until the validation value converges, medians over seeds.

    All at the largest size of direct training, by the cross-entropy of the validation objects.
    Epochs until a method reaches the best value of direct training are null where it never does.
    """
    most = max(f["size"] for f in fits if f["method"] == direct)
    found = {
        m: {f["seed"]: f["course"] for f in fits if f["method"] == m and f["size"] == most}
        for m in (method, direct)
    }
    reached = [
        epochs_to_reach(by(EPOCHS, course), min(loss for *_, loss in found[direct][seed]))
        for seed, course in found[method].items()
        if seed in found[direct]
    ]
    return {
        "epochs_to_converge": {m: middle(EPOCHS, of) for m, of in found.items()},
        "steps_to_converge": {m: middle(STEPS, of) for m, of in found.items()},
        "epochs_to_reach_the_loss_of_direct": finite(np.median(reached)) if reached else None,
    }


def by(place: int, course: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return a course as (epochs or steps, loss)."""
    return [(line[place], line[-1]) for line in course]


def middle(place: int, courses: Mapping[int, Sequence[Sequence[float]]]) -> float:
    """Return the median over seeds of where their courses converge."""
    return float(np.median([epochs_to_converge(by(place, c)) for c in courses.values()]))


def finite(value: float) -> float | None:
    """Return a number, None where it is infinite or not a number."""
    return float(value) if np.isfinite(value) else None


def draw(workdir: Path, result: Mapping[str, Any]) -> None:
    """Draw the medians with their MAD against the number of labels."""
    lines = {
        method: [
            (float(n), v["median"], v["median"] - v["mad"], v["median"] + v["mad"])
            for n, v in curve.items()
        ]
        for method, curve in result["curves"].items()
    }
    axes = "labels, those to validate with included", "macro AUROC (median, MAD)"
    scale = "symlog" if "0" in next(iter(result["curves"].values())) else "log"
    line_plot(workdir / "learning_curve.png", lines, *axes, workdir.name, scale)


def describe(result: Mapping[str, Any], workdir: Path) -> str:
    """Return the closing text of a run."""
    sizes = sorted({n for curve in result["curves"].values() for n in curve}, key=int)
    rows = [
        {"macro AUROC, median and MAD": method}
        | {f"{n} labels": "" for n in sizes}
        | {f"{n} labels": f"{v['median']:.3f} {v['mad']:.3f}" for n, v in curve.items()}
        for method, curve in result["curves"].items()
    ]
    tested = ", ".join(f"{name} {count}" for name, count in result["tested"].items())
    lines = [text_table(rows), f"{result['seeds']} seeds; tested on {tested}"]
    for name, told in result["gains"].items():
        saved, kept = percent(told["labels_saved"]), percent(told["retention"])
        epochs = ", ".join(f"{m} {e:.1f}" for m, e in told["epochs_to_converge"].items())
        lines.append(f"{name}: labels saved {saved}, retention with 30 % {kept}; epochs {epochs}")
    apart = result["distance"]
    told = "not known" if apart is None else f"{apart:.2f} of 2"
    lines.append(f"proxy distance of base and target {told}")
    lines.append(f"the report is {workdir / REPORT}")
    return "\n".join(lines)


def percent(found: Sequence[float | None]) -> str:
    """Return [value, low, high] as text in per cent."""
    value, low, high = ("-" if x is None else f"{100 * x:.0f}" for x in found)
    return f"{value} % ({low} to {high})"
