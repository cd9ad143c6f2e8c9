"""How well classes are ranked: area under the ROC curve, one class against the rest.

Class probabilities are [N, C], true classes [N] class numbers. The macro value is the mean over the
classes that have an object and a counter-example; the micro value takes all N C pairs as one set.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from astro_jax.evals.classification import check

DRAWS = 1000  # bootstrap draws
BINS = 15  # of confidence (spec of the transfer experiment; Guo et al. 2017)


class Aurocs(NamedTuple):
    """AUROC of N objects in C classes.

    each: [C], NaN for a class without an object or without a counter-example; count: [C] objects;
    intervals: 95 % of the bootstrap over objects, {"macro", "micro": [2], "each": [C, 2]}
    """

    classes: list[str]
    each: np.ndarray
    macro: float
    micro: float
    count: np.ndarray
    intervals: dict[str, np.ndarray]


def aurocs(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    seed: int = 0,
    draws: int = DRAWS,
) -> Aurocs:
    """Return the areas with their bootstrap intervals; UserError where shapes do not fit.

    The bootstrap draws objects within each class, so that no class is ever empty.
    """
    probabilities, labels = np.asarray(probabilities, float), np.asarray(labels)
    check(probabilities, labels, len(classes))
    each, macro, micro = areas(probabilities, labels)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    drawn = []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(m, len(m)) for m in members])
        drawn.append(areas(probabilities[rows], labels[rows]))
    columns = zip(*drawn, strict=True) if drawn else ((each,), (macro,), (micro,))
    intervals = {
        name: np.percentile(np.array(values), [2.5, 97.5], axis=0).T
        for name, values in zip(("each", "macro", "micro"), columns, strict=True)
    }
    count = np.bincount(labels, minlength=len(classes))
    return Aurocs(list(classes), each, macro, micro, count, intervals)


def areas(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return AUROC of each class [C] (NaN where undefined), macro and micro."""
    truth = labels[:, None] == np.arange(probabilities.shape[1])
    each = area(probabilities, truth)
    macro = float(np.nanmean(each)) if np.isfinite(each).any() else float("nan")
    return each, macro, float(area(probabilities.reshape(-1, 1), truth.reshape(-1, 1))[0])


def area(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each column, [C], from the ranks (Mann-Whitney).

    score: [N, C]; truth: [N, C] bool. Ties count one half. NaN where all or none are true.
    """
    from scipy.stats import rankdata

    positive, size = truth.sum(0), len(truth)
    ranks = (rankdata(score, axis=0) * truth).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (ranks - positive * (positive + 1) / 2) / (positive * (size - positive))


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the expected calibration error of the most probable class, in `bins` equal bins."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / max(len(labels), 1))


def summary(result: Aurocs) -> dict[str, Any]:
    """Return the areas as plain numbers and lists, for a JSON file; null where undefined."""
    return {
        "macro_auroc": result.macro,
        "macro_auroc_interval": result.intervals["macro"].tolist(),
        "micro_auroc": result.micro,
        "classes": {
            name: {
                "objects": int(result.count[k]),
                "auroc": None if np.isnan(result.each[k]) else float(result.each[k]),
            }
            for k, name in enumerate(result.classes)
        },
    }
