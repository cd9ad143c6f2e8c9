"""What a transfer is worth: labels saved, performance kept, time to converge.

Curves are {size: [value of each seed]}, size = labels in all. The definitions of the transfer
experiment (arXiv 2502.18558 as specified here): medians over seeds, made monotone in the size.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Curve = Mapping[int, Sequence[float]]
DRAWS = 1000


def median_and_mad(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the median absolute deviation from it."""
    values = np.asarray(values, float)
    middle = float(np.median(values))
    return middle, float(np.median(np.abs(values - middle)))


def median_interval(values: Sequence[float], seed: int = 0, draws: int = DRAWS) -> list[float]:
    """Return the 95 % interval of the median over draws of the values with replacement."""
    values = np.asarray(values, float)
    drawn = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    return np.percentile(np.median(values[drawn], axis=1), [2.5, 97.5]).tolist()


def monotone(values: Sequence[float]) -> np.ndarray:
    """Return the rising sequence nearest to the values (isotonic regression, by pooling)."""
    pools: list[list[float]] = []
    for value in values:
        pools.append([float(value)])
        while len(pools) > 1 and np.mean(pools[-2]) >= np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    return np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools])


def reaches(curve: Curve, level: float) -> float:
    """Return the number of labels at which the monotone medians reach a level; inf if never.

    Linear between the sizes; a curve that starts above the level has reached it at its first size.
    """
    sizes = np.array(sorted(curve), float)
    values = monotone([np.median(curve[int(n)]) for n in sizes])
    if values[0] >= level:
        return float(sizes[0])
    if values[-1] < level:
        return float("inf")
    k = int(np.argmax(values >= level))
    share = (level - values[k - 1]) / (values[k] - values[k - 1])
    return float(sizes[k - 1] + share * (sizes[k] - sizes[k - 1]))


def labels_saved(transfer: Curve, direct: Curve) -> float:
    """Return s = 1 - N_T / N_D: the share of labels that a transfer saves.

    N_D: where direct training reaches its own value at its largest size, N_T: where transfer does.
    Negative where transfer needs more; -inf where it never gets there. A transfer that starts above
    the level saves at least what is returned.
    """
    level = final(direct)
    return 1.0 - reaches(transfer, level) / reaches(direct, level)


def final(curve: Curve) -> float:
    """Return the monotone median at the largest size."""
    return float(monotone([np.median(curve[n]) for n in sorted(curve)])[-1])


def retention(transfer: Curve, direct: Curve, share: float = 0.3, chance: float = 0.0) -> float:
    """Return what transfer with `share` of the labels keeps of direct training with all.

    (A_T(share N) - chance) / (A_D(N) - chance), linear between the sizes; chance: 0.5 for the
    fairer form, in which a classifier that knows nothing keeps nothing.
    """
    sizes = np.array(sorted(transfer), float)
    values = np.array([np.median(transfer[int(n)]) for n in sizes])
    most = max(direct)
    kept = float(np.interp(share * most, sizes, values))
    return (kept - chance) / (float(np.median(direct[most])) - chance)


def epochs_to_converge(trace: Sequence[tuple[float, float]], within: float = 0.01) -> float:
    """Return the first epoch at which a validation loss is within 1 % of its own minimum.

    trace: (epoch, loss) in order
    """
    epochs, losses = np.array(trace, float).T
    return float(epochs[np.argmax(losses <= losses.min() * (1 + within))])


def epochs_to_reach(trace: Sequence[tuple[float, float]], level: float) -> float:
    """Return the first epoch at which a validation loss is at a level or below; inf if never."""
    epochs, losses = np.array(trace, float).T
    there = losses <= level
    return float(epochs[np.argmax(there)]) if there.any() else float("inf")


def over_draws(
    function: Callable[[Curve, Curve], float],
    transfer: Curve,
    direct: Curve,
    seed: int = 0,
    draws: int = DRAWS,
) -> tuple[float, list[float]]:
    """Return a number of two curves and its 95 % interval over draws of the seeds.

    Seeds are drawn with replacement, the same ones in both curves and at all sizes where they have
    as many.
    """
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        chance = random.random(max(len(v) for v in [*transfer.values(), *direct.values()]))
        found.append(function(*(_redrawn(curve, chance) for curve in (transfer, direct))))
    low, high = np.percentile(found, [2.5, 97.5], method="nearest")
    return function(transfer, direct), [float(low), float(high)]


def _redrawn(curve: Curve, chance: np.ndarray) -> dict[int, np.ndarray]:
    return {n: np.asarray(v)[(chance[: len(v)] * len(v)).astype(int)] for n, v in curve.items()}


def proxy_distance(base: np.ndarray, target: np.ndarray, seed: int = 0) -> float:
    """Return the proxy A-distance of two sets of features [N, F], [M, F]: 0 alike, 2 apart.

    2 (1 - 2 e), e the error of a random forest that tells them apart, on folds that it has not
    seen, both sets weighed alike (Ben-David et al. 2007, with a forest for the classifier).
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_predict

    table = np.concatenate([base, target])
    which = np.repeat([0, 1], [len(base), len(target)])
    forest = RandomForestClassifier(
        200, min_samples_leaf=3, class_weight="balanced", random_state=seed, n_jobs=-1
    )
    said = cross_val_predict(forest, table, which, cv=5)
    error = np.mean([(said[which == k] != k).mean() for k in (0, 1)])
    return float(2 * (1 - 2 * min(error, 0.5)))
