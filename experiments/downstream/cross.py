"""A head trained on one survey and tested on another that shares classes."""

from itertools import permutations

import numpy as np
from common import FLAGS, HERE, NAMES, blocks_of, fill, forest, kept, labelled, vectors_of
from sklearn.metrics import f1_score

from astro_jax.data.label_maps import SUBTYPES, TYPES, apply_map
from astro_jax.data.labels import MINIMUM, Labels, codes_of, few_labels
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.features import features
from astro_jax.report import save_figure

MOST = 200  # labelled objects a class of the source: more make no difference and cost time
INPUTS = ("features", "features + base", "base")


def of_survey(name: str) -> dict:
    """Return types, stars, features of shape and vectors of the labelled curves of a survey."""
    curves, labels = labelled(name)
    own = [labels.classes[k] for k in labels.codes]
    names = features(curves.take(np.arange(2)))[0]
    table = kept(name, "features", lambda: features(curves)[1])
    shape = [k for k, feature in enumerate(names) if feature != "median_mag"]
    return {
        "types": np.array([t or "" for t in apply_map(own, TYPES)[0]]),
        "subtypes": np.array([t or "" for t in apply_map(own, SUBTYPES)[0]]),
        "star": np.asarray(curves.star).astype(str),
        "features": table[:, shape].astype(np.float32),
        "base": kept(name, "base", lambda: vectors_of(curves, "base")),
    }


def shared_types(source: dict, target: dict, kind: str) -> list[str]:
    """Return the types with enough objects in both surveys."""

    def enough(part: dict) -> set[str]:
        names, count = np.unique(part[kind], return_counts=True)
        return {n for n, c in zip(names.tolist(), count, strict=True) if n and c >= MINIMUM}

    return sorted(enough(source) & enough(target))


def arrays(part: dict, rows: np.ndarray, inputs: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and vectors of rows, zeros for what `inputs` does not name."""
    nothing = np.zeros((len(rows), 1), np.float32)
    shape = part["features"][rows] if "features" in inputs else nothing
    return shape, part["base"][rows] if "base" in inputs else nothing


def score(known: list[tuple], codes: np.ndarray, told: tuple, truth, classes: int, seed: int):
    """Return the macro-F1 of a forest grown on rows of one or two surveys."""
    both = tuple(np.concatenate(x) for x in zip(*known, strict=True))
    blocks = blocks_of("base") if both[1].shape[1] > 1 else None
    predicted = forest(both, codes, told, classes, seed, trees=200, blocks=blocks).argmax(1)
    return float(f1_score(truth, predicted, average="macro", zero_division=0))


SURVEYS: dict[str, dict] = {}


def measure(source: str, target: str, fold: int, kind: str = "types") -> dict:
    """Return macro-F1 on test objects of the target: zero-shot, 20 labels, and both together.

    kind: which table of `data.label_maps` says what both surveys share
    """
    for name in (source, target):
        SURVEYS.setdefault(name, of_survey(name))
    a, b = SURVEYS[source], SURVEYS[target]
    types = shared_types(a, b, kind)
    if len(types) < 2:
        return {"types": types, "macro_f1": {}}
    codes_a, codes_b = (codes_of([t or None for t in part[kind]], types) for part in (a, b))
    split = few_labels(Labels(types, codes_b, ()), b["star"], 20, fold)
    few, test = np.concatenate([split.train, split.valid]), split.test
    rng = np.random.default_rng(fold)
    unseen = (codes_a >= 0) & ~np.isin(a["star"], b["star"][test])  # the same star may be in both
    rows = [
        rng.permutation(np.flatnonzero(unseen & (codes_a == k)))[:MOST] for k in range(len(types))
    ]
    rows = np.concatenate(rows)
    again = np.repeat(few, max(len(rows) // len(few), 1))  # both surveys weigh alike
    told = {}
    for inputs in INPUTS:
        ask = arrays(b, test, inputs)
        from_a, from_b = (arrays(p, r, inputs) for p, r in ((a, rows), (b, few)))
        often = arrays(b, again, inputs)
        truth, count = codes_b[test], len(types)
        told[f"zero-shot, {inputs}"] = score([from_a], codes_a[rows], ask, truth, count, fold)
        told[f"20 labels, {inputs}"] = score([from_b], codes_b[few], ask, truth, count, fold)
        mixed = np.concatenate([codes_a[rows], codes_b[again]])
        told[f"both, {inputs}"] = score([from_a, often], mixed, ask, truth, count, fold)
    return {"types": types, "test_objects": len(test), "macro_f1": told}


def cross() -> None:
    """Measure all pairs of surveys that share two types or more; draw cross.png."""
    names = [name for name in NAMES if name in FLAGS.surveys]
    cells = [(a, b, fold) for fold in range(FLAGS.folds) for a, b in permutations(names, 2)]
    fine = [("asas", "crts"), ("crts", "asas")]
    cells += [(a, b, k, "subtypes") for k in range(FLAGS.folds) for a, b in fine]
    plot(fill("cross", cells, measure))


def plot(records: list[dict]) -> None:
    """Draw macro-F1 by pair (source above target): zero-shot, 20 labels of the target, both."""
    from matplotlib.figure import Figure

    records = [record for record in records if record["macro_f1"]]
    kinds = [(*r["cell"][:2], *r["cell"][3:]) for r in records]
    pairs = sorted(set(kinds))
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(len(INPUTS), 1, sharex=True)
    for axis, inputs in zip(axes, INPUTS, strict=True):
        for j, way in enumerate(("zero-shot", "20 labels", "both")):
            for i, pair in enumerate(pairs):
                found = [r for r, kind in zip(records, kinds, strict=True) if kind == pair]
                values = [r["macro_f1"][f"{way}, {inputs}"] for r in found]
                mean, low, _ = over_seeds(values)
                error = 0.0 if len(values) < 2 else mean - low
                label = way if i == 0 else None
                axis.errorbar(
                    i + 0.2 * (j - 1), mean, error, fmt="o", ms=4, color=f"C{j}", label=label
                )
        axis.set_xticks(range(len(pairs)), ["\n".join(pair) for pair in pairs], fontsize=8)
        axis.set(ylabel="macro-F1", title=inputs, ylim=(0, 1.02))
    axes[0].legend(fontsize=8)
    save_figure(figure, HERE / "cross.png")
