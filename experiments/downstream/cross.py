"""A head trained on one survey and tested on another that shares classes."""

from itertools import permutations

import numpy as np
from common import FLAGS, HERE, NAMES, fill, kept, labelled, vectors_of
from sklearn.metrics import f1_score

from astro_jax.data.label_maps import TYPES, apply_map
from astro_jax.data.labels import MINIMUM, Labels, codes_of, few_labels
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.features import features
from astro_jax.models.forest import Forest, grow
from astro_jax.report import grid_figure, save_figure

MOST = 200  # labelled objects a class of the source: more make no difference and cost time
NODES = 1024  # leaves of at least 0.002 of the weight: 999 nodes at most
DEPTH = 64
INPUTS = ("features", "features + base", "base")


def of_survey(name: str) -> dict:
    """Return types, stars, features of shape and vectors of the labelled curves of a survey."""
    curves, labels = labelled(name)
    own = [labels.classes[k] for k in labels.codes]
    names = features(curves.take(np.arange(2)))[0]
    table = kept(name, "features", lambda: features(curves)[1])
    shape = [k for k, feature in enumerate(names) if feature != "median_mag"]
    return {
        "type": np.array([t or "" for t in apply_map(own, TYPES)[0]]),
        "star": np.asarray(curves.star).astype(str),
        "features": table[:, shape].astype(np.float32),
        "base": kept(name, "base", lambda: vectors_of(curves, "base")),
    }


def shared_types(source: dict, target: dict) -> list[str]:
    """Return the types with enough objects in both surveys."""

    def enough(part: dict) -> set[str]:
        names, count = np.unique(part["type"], return_counts=True)
        return {n for n, c in zip(names.tolist(), count, strict=True) if n and c >= MINIMUM}

    return sorted(enough(source) & enough(target))


def arrays(part: dict, rows: np.ndarray, inputs: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features and vectors of rows, zeros for what `inputs` does not name."""
    nothing = np.zeros((len(rows), 1), np.float32)
    shape = part["features"][rows] if "features" in inputs else nothing
    return shape, part["base"][rows] if "base" in inputs else nothing


def score(known: list[tuple], codes: np.ndarray, told: tuple, truth, classes: int, seed: int):
    """Return the macro-F1 of a forest grown on rows of one or two surveys."""
    both = [np.concatenate(x) for x in zip(*known, strict=True)]
    sizes, params = grow(*both, codes, classes, seed, trees=200)
    given = {"features": told[0], "vector": told[1]}
    if sizes["depth"] > DEPTH:
        raise ValueError(f"a tree of depth {sizes['depth']}")
    sizes |= {"nodes": NODES, "depth": DEPTH}
    logits = Forest(**sizes).apply({"params": padded(params)}, {}, given, None)["logits"]
    predicted = np.asarray(logits).argmax(1)
    return float(f1_score(truth, predicted, average="macro", zero_division=0))


def padded(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return trees with nodes that nothing leads to, so that all forests share one program."""
    more = NODES - params["feature"].shape[1]
    trees = ("feature", "threshold", "left", "right", "share")
    width = {name: ((0, 0), (0, more)) + ((0, 0),) * (params[name].ndim - 2) for name in trees}
    return {**params, **{name: np.pad(params[name], w) for name, w in width.items()}}


SURVEYS: dict[str, dict] = {}


def measure(source: str, target: str, fold: int) -> dict:
    """Return macro-F1 on test objects of the target: zero-shot, 20 labels, and both together."""
    for name in (source, target):
        SURVEYS.setdefault(name, of_survey(name))
    a, b = SURVEYS[source], SURVEYS[target]
    types = shared_types(a, b)
    codes_a, codes_b = (codes_of([t or None for t in part["type"]], types) for part in (a, b))
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
    plot(fill("cross", cells, measure))


def plot(records: list[dict]) -> None:
    """Draw macro-F1 by pair: zero-shot, 20 labels of the target, both."""
    pairs = sorted({tuple(r["cell"][:2]) for r in records})
    figure, axes = grid_figure(len(INPUTS), 1, 3.0)
    for axis, inputs in zip(axes[:, 0], INPUTS, strict=True):
        for j, way in enumerate(("zero-shot", "20 labels", "both")):
            for i, pair in enumerate(pairs):
                found = [r for r in records if tuple(r["cell"][:2]) == pair]
                values = [r["macro_f1"][f"{way}, {inputs}"] for r in found]
                mean, low, _ = over_seeds(values)
                error = 0.0 if len(values) < 2 else mean - low
                label = way if i == 0 else None
                axis.errorbar(
                    i + 0.2 * (j - 1), mean, error, fmt="o", ms=4, color=f"C{j}", label=label
                )
        axis.set_xticks(range(len(pairs)), [f"{a}\n{b}" for a, b in pairs], fontsize=5)
        axis.set(ylabel="macro-F1", title=inputs, ylim=(0, 1.02))
    axes[0, 0].legend(fontsize=7)
    save_figure(figure, HERE / "cross.png")
