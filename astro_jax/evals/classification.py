"""How well classes are predicted: scores with intervals, calibration, windows pooled to objects.

Class probabilities are [N, C], true classes [N] class numbers; a prediction is the most probable
class.  Everything but the calibration follows from the confusion matrix.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from astro_jax.data.split import star_places
from astro_jax.errors import UserError

DRAWS = 1000  # bootstrap draws
BINS = 10  # of confidence, for the calibration (Guo et al. 2017)


class Reliability(NamedTuple):
    """Calibration by bins of confidence, [10] each: empty bins are 0.

    confidence: mean probability of the predicted class; accuracy: share that is right; count.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: mean |accuracy - confidence|, weighted by count."""
        gap = np.abs(self.accuracy - self.confidence)
        return float((gap * self.count).sum() / max(self.count.sum(), 1))


class Scores(NamedTuple):
    """Scores of N objects in C classes.

    confusion: [C, C] int64, row = true, column = predicted; macro_f1: mean F1 of the classes that
    have a true object; precision, recall, f1: [C], 0 where undefined; intervals: 95 % of the
    bootstrap over objects, {name: [2] or [C, 2]} for all of these numbers.
    """

    classes: list[str]
    confusion: np.ndarray
    macro_f1: float
    accuracy: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    reliability: Reliability
    intervals: dict[str, np.ndarray]


def scores(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    seed: int = 0,
    star: np.ndarray | None = None,
) -> Scores:
    """Return the scores of class probabilities [N, C] against true class numbers [N].

    star: [N], what the intervals draw whole, where rows are bands or windows of the same star
    """
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    check(probabilities, labels, len(classes))
    confusion = confusion_matrix(probabilities.argmax(1), labels, len(classes))
    random = np.random.default_rng(seed)
    place = np.arange(len(labels)) if star is None else star_places(star)
    if place.max() + 1 == len(labels):
        draws = resample(confusion, random)
    else:
        cell = labels * len(classes) + probabilities.argmax(1)
        draws = resample_stars(cell, place, len(classes), random)
    drawn = rates(draws)
    intervals = {k: np.percentile(v, [2.5, 97.5], axis=0).T for k, v in drawn.items()}
    value = {k: v[0] for k, v in rates(confusion[None]).items()}
    return Scores(
        list(classes),
        confusion,
        float(value["macro_f1"]),
        float(value["accuracy"]),
        value["precision"],
        value["recall"],
        value["f1"],
        reliability(probabilities, labels),
        intervals,
    )


def check(probabilities: np.ndarray, labels: np.ndarray, classes: int) -> None:
    """Raise UserError for arrays that do not fit each other."""
    if probabilities.shape != (len(labels), classes):
        raise UserError(
            f"probabilities {probabilities.shape} do not fit {len(labels)} labels and "
            f"{classes} classes: give [N, C]"
        )
    if not len(labels):
        raise UserError("no object to score: give at least one label")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"labels run from {labels.min()} to {labels.max()}, but class numbers from 0 to "
            f"{classes - 1}: leave out objects without a label"
        )
    if not np.isfinite(probabilities).all():
        row = int(np.flatnonzero(~np.isfinite(probabilities).all(1))[0])
        raise UserError(f"probabilities of row {row} are not finite: {probabilities[row]}")


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the counts of true class (row) and predicted class (column), [C, C] int64."""
    flat = np.bincount(labels * classes + predicted, minlength=classes**2)
    return flat.reshape(classes, classes)


def resample(confusion: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return 1000 bootstrap draws of a confusion matrix, [1000, C, C].

    Drawing N objects with replacement is drawing N cells in proportion to their counts (Efron
    1979): no object needs to be touched.
    """
    total = int(confusion.sum())
    draws = random.multinomial(total, confusion.ravel() / total, DRAWS)
    return draws.reshape(DRAWS, *confusion.shape)


def resample_stars(
    cell: np.ndarray, star: np.ndarray, classes: int, random: np.random.Generator
) -> np.ndarray:
    """Return 1000 bootstrap draws of a confusion matrix, [1000, C, C], with stars drawn whole.

    cell: [N] place of each row in the flat matrix; star: [N], see `data.split.star_places`
    """
    count, draws = int(star.max()) + 1, np.empty((DRAWS, classes**2), int)
    for draw in draws:
        times = np.bincount(random.integers(0, count, count), minlength=count)
        draw[:] = np.bincount(cell, times[star], classes**2)
    return draws.reshape(DRAWS, classes, classes)


def rates(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall, F1 [D, C], macro-F1 and accuracy [D] of matrices [D, C, C]."""
    right = np.diagonal(confusion, axis1=1, axis2=2).astype(float)
    true, predicted = confusion.sum(2), confusion.sum(1)
    f1 = 2 * right / np.maximum(true + predicted, 1)
    there = true > 0
    return {
        "precision": right / np.maximum(predicted, 1),
        "recall": right / np.maximum(true, 1),
        "f1": f1,
        "macro_f1": (f1 * there).sum(1) / np.maximum(there.sum(1), 1),
        "accuracy": right.sum(1) / np.maximum(true.sum(1), 1),
    }


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> Reliability:
    """Return the calibration of the predicted class in 10 equal bins of its probability."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    each = np.maximum(count, 1)
    return Reliability(
        np.bincount(place, confidence, BINS) / each, np.bincount(place, right, BINS) / each, count
    )


def pool_windows(probabilities: np.ndarray, curve: np.ndarray, size: int) -> np.ndarray:
    """Return the mean probabilities of the windows of each object, [N, C].

    probabilities: [W, C] of windows; curve: [W], the object of each, 0 .. N - 1; size: N.
    Raises UserError for an object without a window.
    """
    count = np.bincount(curve, minlength=size)
    if len(count) != size or (count == 0).any():
        lost = int(np.argmin(count)) if len(count) == size else int(np.max(curve))
        raise UserError(f"object {lost} of {size} has no window, or is none of them")
    columns = [np.bincount(curve, column, size) for column in np.asarray(probabilities, float).T]
    return np.stack(columns, axis=1) / count[:, None]


def vote_windows(probabilities: np.ndarray, curve: np.ndarray, size: int) -> np.ndarray:
    """Return the share of the windows of each object that votes for each class, [N, C].

    Classes with equally many votes are told apart by their mean probability, which adds at most
    1e-6.  Arguments and errors as in `pool_windows`.
    """
    votes = np.eye(probabilities.shape[1])[probabilities.argmax(1)]
    shares = pool_windows(votes, curve, size) + 1e-6 * pool_windows(probabilities, curve, size)
    return shares / shares.sum(1, keepdims=True)


def over_seeds(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of a score over seeds and its 95 % interval (Student's t; nan for one)."""
    from scipy.stats import t

    values = np.asarray(values, float)
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    half = float(t.ppf(0.975, max(len(values) - 1, 1)) * spread)
    mean = float(values.mean())
    return mean, mean - half, mean + half


def summary(result: Scores) -> dict[str, Any]:
    """Return scores as plain numbers and lists, for a JSON file."""
    bounds = {k: np.round(v, 6).tolist() for k, v in result.intervals.items()}
    per_class = {
        name: {
            "precision": float(result.precision[k]),
            "recall": float(result.recall[k]),
            "f1": float(result.f1[k]),
            "f1_interval": bounds["f1"][k],
            "objects": int(result.confusion[k].sum()),
        }
        for k, name in enumerate(result.classes)
    }
    return {
        "objects": int(result.confusion.sum()),
        "macro_f1": result.macro_f1,
        "macro_f1_interval": bounds["macro_f1"],
        "accuracy": result.accuracy,
        "accuracy_interval": bounds["accuracy"],
        "calibration_error": result.reliability.error,
        "classes": per_class,
        "confusion": result.confusion.tolist(),
    }
