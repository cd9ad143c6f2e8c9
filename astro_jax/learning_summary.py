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
    over_draws,
    retention,
)
from astro_jax.report import line_plot, text_table

NUMBERS = {
    "labels_saved": labels_saved,
    "retention": retention,
    "retention_above_chance": partial(retention, chance=0.5),
}


def summarise(fits: Sequence[Mapping[str, Any]], methods: Sequence[str]) -> dict[str, Any]:
    """Return medians and MAD by method and size, and what each is worth against direct training.

    fits: records of `learning_curve.measure`; a method whose name starts with "direct" is one to
    compare with
    """
    curves = {m: curve_of(fits, m) for m in methods}
    baselines = [m for m in methods if m.startswith("direct")]
    return {
        "seeds": len({fit["seed"] for fit in fits}),
        "tested": dict(zip(fits[0]["each"], fits[0]["tested"], strict=True)),
        "curves": {
            method: {str(n): spread(values) for n, values in curve.items()}
            for method, curve in curves.items()
        },
        "gains": {
            f"{method} against {direct}": gains(fits, curves, method, direct)
            for direct in baselines
            for method in methods
            if method not in baselines
        },
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, median absolute deviation and mean."""
    median, mad = median_and_mad(values)
    return {"median": median, "mad": mad, "mean": float(np.mean(values))}


def curve_of(fits: Sequence[Mapping[str, Any]], method: str) -> dict[int, list[float]]:
    """Return {size: [macro AUROC of each seed, in order]} of a method."""
    some = sorted((f["size"], f["seed"], f["macro_auroc"]) for f in fits if f["method"] == method)
    sizes = dict.fromkeys(size for size, _, _ in some)
    return {n: [v for size, _, v in some if size == n] for n in sizes}


def gains(
    fits: Sequence[Mapping[str, Any]], curves: Mapping[str, Any], method: str, direct: str
) -> dict[str, Any]:
    """Return labels saved and retention with intervals over seeds, and epochs at the largest size.

    Numbers are [value, low, high], null where infinite.
    """
    pair = curves[method], curves[direct]
    told: dict[str, Any] = {}
    for name, function in NUMBERS.items():
        value, interval = over_draws(function, *pair)
        told[name] = [finite(x) for x in (value, *interval)]
    most = max(curves[direct])
    courses = {
        m: [f["course"] for f in fits if f["method"] == m and f["size"] == most]
        for m in (method, direct)
    }
    told["epochs_to_converge"] = {
        m: float(np.median([epochs_to_converge(c) for c in courses[m]])) for m in courses
    }
    levels = [min(loss for _, loss in c) for c in courses[direct]]
    reached = [epochs_to_reach(c, level) for c, level in zip(courses[method], levels, strict=False)]
    told["epochs_to_reach_the_loss_of_direct"] = finite(float(np.median(reached)))
    return told


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
    line_plot(workdir / "learning_curve.png", lines, *axes, workdir.name)


def describe(result: Mapping[str, Any], workdir: Path) -> str:
    """Return the closing text of a run."""
    rows = [
        {"macro AUROC, median and MAD": method}
        | {f"{n} labels": f"{v['median']:.3f} {v['mad']:.3f}" for n, v in curve.items()}
        for method, curve in result["curves"].items()
    ]
    tested = ", ".join(f"{name} {count}" for name, count in result["tested"].items())
    lines = [text_table(rows), f"{result['seeds']} seeds; tested on {tested}"]
    for name, told in result["gains"].items():
        saved, kept = percent(told["labels_saved"]), percent(told["retention"])
        epochs = ", ".join(f"{m} {e:g}" for m, e in told["epochs_to_converge"].items())
        lines.append(f"{name}: labels saved {saved}, retention with 30 % {kept}; epochs {epochs}")
    lines.append(f"proxy distance of base and target {result['distance']:.2f} of 2; see {workdir}")
    return "\n".join(lines)


def percent(found: Sequence[float | None]) -> str:
    """Return [value, low, high] as text in per cent."""
    value, low, high = ("-" if x is None else f"{100 * x:.0f}" for x in found)
    return f"{value} % ({low} to {high})"
