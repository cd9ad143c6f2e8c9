"""What lies where in the space: figures 2 to 9 of the paper, beside plain features."""

from typing import Any

import numpy as np
from common import place, result, seeds, write
from labels import inputs, survey

import astro_jax
from astro_jax.data.multimodal import Objects, join
from astro_jax.data.multimodal_rules import standardised
from astro_jax.data.simulate.trimodal import simulate_objects
from astro_jax.evals.auroc import area
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.retrieval import centroids, contrast_search, matching, search
from astro_jax.evals.space import (
    centroid_outliers,
    doubtful_labels,
    fused,
    precision_recall,
    projected,
    rand_index,
    sub_clusters,
)
from astro_jax.multimodal_infer import encode_all
from astro_jax.multimodal_source import load_parts
from astro_jax.multimodal_task import class_codes
from astro_jax.report import save_figure

UNSEEN = 800  # objects of the classes that are never trained on
EXPECTED = {"RRD": ("RRAB",), "ROT:": ("ROT",), "SRD": ("SR",), "LSP": ("SR",),
            "DCEP": ("DSCT", "HADS"), "DCEPS": ("DSCT", "HADS")}  # fmt: skip
PLAIN = ("photo", "spectra", "meta")
SPLIT = ("ROT", "M")  # the classes that hide two sub-types
Vectors = dict[str, np.ndarray]


def space() -> None:
    """Measure the space of each seed that is trained; write space.json and space.png."""
    done = [s for s in seeds() if (place(f"clip_{s}") / "summary.json").exists()]
    told = {str(seed): one_space(seed) for seed in done}
    if told:
        write("space", {"seeds": done, "means": means(list(told.values())), "each": told})
        draw(list(told.values()))


def one_space(seed: int) -> dict[str, Any]:
    """Return what is measured in the space of a seed, {figure: {view: value}}.

    Views: the modalities, their mean, and, in place of vectors, plain features (metadata columns,
    binned fluxes, light-curve features), standardised and scaled to length 1.
    """
    trained = astro_jax.load(place(f"clip_{seed}"))
    told = trained.config.statistics.to_dict()
    parts = load_parts(survey(seed), told)
    learn = join([parts.train, parts.valid, parts.test])
    new = standardised(
        simulate_objects(UNSEEN, seed, unseen=True, wavelengths=survey(seed).data.wavelengths), told
    )
    vectors, others = (encode_all(trained, part) for part in (learn, new))
    views, unseen = vectors | {"mean": fused(vectors)}, others | {"mean": fused(others)}
    plain, plain_new = plain_views(inputs(learn, f"features_{seed}"), inputs(new, f"unseen_{seed}"))
    classes, (codes,) = class_codes(learn)
    far = {"vectors": vectors, "plain": {k: plain[f"plain {k}"] for k in PLAIN}}
    return {
        "unseen": {k: expected_share(v, codes, classes, unseen.get(k, plain_new.get(k)), new)
                   for k, v in (views | plain).items()},
        "rand": {k: hidden_splits(v, learn) for k, v in (views | plain).items()},
        "wrong_labels": {k: wrong_labels(v, codes, learn) for k, v in (views | plain).items()},
        "odd": {k: odd_members(v, codes, learn) for k, v in far.items()},
        "neighbours": {k: neighbours(v, learn) for k, v in (views | plain).items()},
        "across": across(trained, parts.test),
        "contrast": contrasts(vectors),
    }  # fmt: skip


def plain_views(known: Vectors, new: Vectors) -> tuple[Vectors, Vectors]:
    """Return plain features as unit vectors, in standard deviations of the known objects."""
    told: tuple[Vectors, Vectors] = ({}, {})
    for name, x in known.items():
        middle, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
        for out, y in zip(told, (x, new[name]), strict=True):
            scaled = np.clip((y - middle) / spread, -5, 5)
            length = np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-9)
            out[f"plain {name}"] = (scaled / length).astype(np.float32)
    return told


def expected_share(
    vectors: np.ndarray, codes: np.ndarray, classes: list[str], unseen: np.ndarray, new: Objects
) -> dict[str, float]:
    """Return the share of each unseen class whose nearest centroid is one that is expected."""
    groups = new.columns["true_label"].to_pylist()
    shares = projected(unseen, groups, centroids(vectors, codes, len(classes)), classes)
    return {name: sum(shares[name].get(c, 0.0) for c in wanted)
            for name, wanted in EXPECTED.items() if name in shares}  # fmt: skip


def hidden_splits(vectors: np.ndarray, objects: Objects) -> dict[str, float]:
    """Return the adjusted Rand index of two clusters and the two sub-types of a class."""
    kind = np.array(objects.columns["subtype"].to_pylist())
    label = np.array(objects.columns["label"].to_pylist())
    told = {}
    for name in SPLIT:
        members = np.flatnonzero((label == name) & (kind != ""))
        told[name] = rand_index(sub_clusters(vectors[members]), kind[members])
    return told


def wrong_labels(vectors: np.ndarray, codes: np.ndarray, objects: Objects) -> dict[str, float]:
    """Return precision and recall of the doubtful labels for those that were planted."""
    columns = objects.columns
    wrong = np.array(columns["label"].to_pylist()) != np.array(columns["true_label"].to_pylist())
    found = np.zeros(len(objects), bool)
    found[doubtful_labels(vectors, codes, codes.max() + 1).row] = True
    precision, recall = precision_recall(found, wrong)
    return {"precision": precision, "recall": recall, "found": int(found.sum()),
            "planted": int(wrong.sum()), "chance": float(wrong.mean())}  # fmt: skip


def odd_members(vectors: Vectors, codes: np.ndarray, objects: Objects) -> dict[str, Any]:
    """Return how well objects are found one of whose modalities is another star's.

    By the paper's rule, farther than the 99th percentile from the centroid in any modality; and
    AUROC of the largest distance to the centroid, and of how little two modalities of the object
    agree on where it is: the smallest cosine of any pair (not defined for plain features).
    """
    odd = np.array([kind != "" for kind in objects.columns["odd"].to_pylist()])
    told = {k: centroid_outliers(v, codes, codes.max() + 1) for k, v in vectors.items()}
    far = np.nanmax([distance for distance, _ in told.values()], axis=0)
    found = np.any([out for _, out in told.values()], axis=0)
    precision, recall = precision_recall(found, odd)
    names = list(vectors)
    result = {"precision": precision, "recall": recall, "planted": int(odd.sum()),
              "auroc_distance": float(area(far, odd, np.ones((1, len(odd))))[0])}  # fmt: skip
    if len({vectors[n].shape[1] for n in names}) == 1:
        pairs = [(vectors[a] * vectors[b]).sum(1) for a in names for b in names if a < b]
        result["auroc_disagreement"] = float(
            area(-np.min(pairs, axis=0), odd, np.ones((1, len(odd))))[0]
        )
    return result


def neighbours(vectors: np.ndarray, objects: Objects) -> float:
    """Return the share of the ten nearest neighbours that have the same true class."""
    label = np.array(objects.columns["true_label"].to_pylist())
    hits = search(vectors, vectors, 10, own=np.arange(len(vectors)))
    return float((label[hits.row] == label[:, None]).mean())


def across(trained: astro_jax.Run, test: Objects) -> dict[str, dict[str, float]]:
    """Return how often a modality finds its own object in another, of the test objects."""
    return matching(encode_all(trained, test))


def contrasts(vectors: Vectors) -> dict[str, list[float]]:
    """Return mean cosines (near, and far of the first hit) of contrast searches, "near - far"."""
    told = {}
    for near in vectors:
        for far in set(vectors) - {near}:
            rows = [contrast_search(q, vectors[near], vectors[far]) for q in range(100)]
            told[f"{near} - {far}"] = [float(np.mean([r[k][0] for r in rows])) for k in (1, 2)]
    return told


def means(each: list[Any]) -> Any:
    """Return the mean of every number over seeds, with its interval, in the same shape."""
    first = each[0]
    if isinstance(first, dict):
        return {k: means([e[k] for e in each if k in e]) for k in first}
    if isinstance(first, list):
        return [means(list(values)) for values in zip(*each, strict=True)]
    mean, low, high = over_seeds(each)
    return {"mean": mean, "interval": [low, high]}


def draw(each: list[dict]) -> None:
    """Draw, by view: unseen classes, hidden sub-types, wrong labels and neighbours."""
    from matplotlib.figure import Figure

    told = means(each)
    panels = {
        "unseen classes at the expected centroid": ("unseen", list(EXPECTED)),
        "adjusted Rand index": ("rand", list(SPLIT)),
        "planted wrong labels": ("wrong_labels", ["precision", "recall"]),
    }
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    for axis, (title, (name, keys)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for j, (view, values) in enumerate(told[name].items()):
            at = [k + 0.09 * j for k in range(len(keys))]
            y = [values[key]["mean"] if key in values else np.nan for key in keys]
            axis.plot(at, y, "o" if "plain" not in view else "x", ms=5, color=f"C{j}", label=view)
        axis.set_xticks([k + 0.3 for k in range(len(keys))], keys, fontsize=7)
        axis.set_title(title, fontsize=9)
        axis.set_ylim(-0.05, 1.05)
    figure.axes[-1].legend(fontsize=7, bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, result("space.png"))
