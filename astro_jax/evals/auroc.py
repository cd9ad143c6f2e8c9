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
    weight = resample(labels, draws, np.random.default_rng(seed))
    each, micro = areas(probabilities, labels, np.concatenate([np.ones((1, len(labels))), weight]))
    macro = mean_of_known(each)
    values = {"each": each[1:], "macro": macro[1:], "micro": micro[1:]}
    intervals = {k: np.percentile(v, [2.5, 97.5], axis=0).T for k, v in values.items()}
    count = np.bincount(labels, minlength=len(classes))
    return Aurocs(list(classes), each[0], float(macro[0]), float(micro[0]), count, intervals)


def resample(labels: np.ndarray, draws: int, random: np.random.Generator) -> np.ndarray:
    """Return how often each object is drawn, with replacement and within its class, [D, N]."""
    weight = np.zeros((draws, len(labels)))
    for code in np.unique(labels):
        members = np.flatnonzero(labels == code)
        share = np.full(len(members), 1 / len(members))
        weight[:, members] = random.multinomial(len(members), share, draws)
    return weight


def areas(
    probabilities: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC of each class [D, C] (NaN where undefined) and micro [D] under weights [D, N].

    weight: None = one draw in which every object counts once
    """
    weight = np.ones((1, len(labels))) if weight is None else weight
    truth = labels[:, None] == np.arange(probabilities.shape[1])
    each = [area(p, t, weight) for p, t in zip(probabilities.T, truth.T, strict=True)]
    pairs = np.repeat(weight, probabilities.shape[1], axis=1)
    return np.stack(each, axis=1), area(probabilities.ravel(), truth.ravel(), pairs)


def area(score: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve under weights [D, N], [D] (Mann-Whitney).

    score, truth: [N]; ties count one half. NaN where all or none are true.
    """
    order = np.argsort(score, kind="stable")
    score, truth = score[order], truth[order]
    left, right = (np.searchsorted(score, score, side=side) for side in ("left", "right"))
    result = np.full(len(weight), np.nan)
    for d, row in enumerate(weight):  # one by one: D x N may not fit
        up, down = row[order] * truth, row[order] * ~truth
        below = np.concatenate([[0.0], np.cumsum(down)])
        pairs = up.sum() * down.sum()
        if pairs > 0:
            result[d] = (up * (below[left] + below[right])).sum() / (2 * pairs)
    return result


def mean_of_known(each: np.ndarray) -> np.ndarray:
    """Return the mean over the classes where the area is defined, [D]; NaN where none is."""
    known = np.isfinite(each)
    total = np.where(known, each, 0.0).sum(1)
    return np.where(known.any(1), total / np.maximum(known.sum(1), 1), np.nan)


def macro_auroc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of the areas over the classes where they are defined."""
    return float(mean_of_known(areas(np.asarray(probabilities), np.asarray(labels))[0])[0])


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
