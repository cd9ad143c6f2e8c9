"""What lies where in the space: figures 2 to 9 of the paper, beside what needs no training.

That is: plain features, and the vectors of the same towers as drawn from the seed.
"""

from itertools import permutations
from typing import Any

import numpy as np
from common import paired, place, result, seeds, write
from labels import inputs, survey

import astro_jax
from astro_jax.data.multimodal import Objects, join
from astro_jax.data.multimodal_batches import object_batches
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
from astro_jax.weights import initial_params

QUERIES = 200  # contrast searches, from the first objects
UNSEEN = 800  # objects of the classes that are never trained on
EXPECTED = {"RRD": ("RRAB",), "ROT:": ("ROT",), "SRD": ("SR",), "LSP": ("SR",),
            "DCEP": ("DSCT", "HADS"), "DCEPS": ("DSCT", "HADS")}  # fmt: skip
# The views of the space, and what stands for each without a network
PLAIN = {"metadata": "plain meta", "photometry": "plain photo", "spectrum": "plain spectra",
         "mean": "plain all"}  # fmt: skip
VERSUS = {view: (f"untrained {view}", plain) for view, plain in PLAIN.items()}
VERSUS["mean"] += ("plain photo", "photometry")
VERSUS["vectors"] = ("untrained", "plain")  # of all modalities at once
TESTED = ("unseen", "rand", "wrong_labels", "odd", "neighbours", "across", "contrast")
UNTESTED = ("found", "planted", "chance", "objects", "near", "far", "other", "any")
SPLIT = ("ROT", "M")  # the classes that hide two sub-types
Vectors = dict[str, np.ndarray]


def space() -> None:
    """Measure the space of each seed that is trained; write space.json and space.png."""
    done = [s for s in seeds() if (place(f"clip_{s}") / "summary.json").exists()]
    told = {str(seed): one_space(seed) for seed in done}
    if told:
        each = list(told.values())
        write(
            "space", {"seeds": done, "means": means(each), "paired": compared(each), "each": told}
        )
        draw(each)


def one_space(seed: int) -> dict[str, Any]:
    """Return what is measured in the space of a seed, {figure: {view: value}}.

    Views: the modalities and their mean, by the trained towers and by untrained ones; and, in place
    of vectors, plain features (metadata columns, binned fluxes, light-curve features), standardised
    and scaled to length 1.
    """
    trained = astro_jax.load(place(f"clip_{seed}"))
    told = trained.config.statistics.to_dict()
    parts = load_parts(survey(seed), told)
    learn = join([parts.train, parts.valid, parts.test])
    new = standardised(
        simulate_objects(UNSEEN, seed, unseen=True, wavelengths=survey(seed).data.wavelengths), told
    )
    views, unseen = plain_views(inputs(learn, f"features_{seed}"), inputs(new, f"unseen_{seed}"))
    for word, run in (("", trained), ("untrained ", untrained(trained, learn))):
        for known, objects in ((views, learn), (unseen, new)):
            vectors = encode_all(run, objects)
            vectors["mean"] = fused(vectors)
            known |= {word + name: values for name, values in vectors.items()}
    classes, (codes,) = class_codes(learn)
    names = trained.config.modalities
    whole = {"vectors": {n: views[n] for n in names},
             "untrained": {n: views[f"untrained {n}"] for n in names},
             "plain": {n: views[PLAIN[n]] for n in names}}  # fmt: skip
    return {
        "unseen": {k: expected_share(v, codes, classes, unseen[k], new) for k, v in views.items()},
        "rand": {k: hidden_splits(v, learn) for k, v in views.items()},
        "wrong_labels": {k: wrong_labels(v, codes, learn) for k, v in views.items()},
        "odd": {k: odd_members(v, codes, learn) for k, v in whole.items()},
        "string_length": string_length(codes, learn),
        "neighbours": {k: neighbours(v, learn) for k, v in views.items()},
        "across": {k: matching({n: v[-len(parts.test) :] for n, v in whole[k].items()})
                   for k in ("vectors", "untrained")},
        "contrast": {k: contrasts(v, learn) for k, v in whole.items()},
    }  # fmt: skip


def untrained(trained: astro_jax.Run, objects: Objects) -> astro_jax.Run:
    """Return the run as it was before its first step."""
    batch = next(iter(object_batches(objects, 2, trained.config.rows.length)))
    params = initial_params(trained.config, trained.model, batch)
    return trained._replace(params=params, step=0)


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


def planted(objects: Objects) -> dict[str, np.ndarray]:
    """Return which objects have which planted mistake, {kind: [N] bool}.

    labels: of another class; periods: of the catalogue, half or double; either of these; odd: one
    modality is another star's
    """
    columns = {name: np.array(objects.columns[name].to_pylist())
               for name in ("label", "true_label", "period", "true_period", "odd")}  # fmt: skip
    label = columns["label"] != columns["true_label"]
    period = ~np.isclose(columns["period"], columns["true_period"])
    return {"labels": label, "periods": period, "either": label | period,
            "odd": columns["odd"] != ""}  # fmt: skip


def wrong_labels(vectors: np.ndarray, codes: np.ndarray, objects: Objects) -> dict[str, Any]:
    """Return precision and recall of the doubtful labels for the mistakes that were planted.

    The label of a star with a wrong period is right, but a light curve that is folded with it may
    look like one of another class.
    """
    found = np.zeros(len(objects), bool)
    found[doubtful_labels(vectors, codes, codes.max() + 1).row] = True
    truth = planted(objects)
    return {"found": int(found.sum())} | {
        kind: scored(found, truth[kind]) for kind in ("labels", "periods", "either")
    }


def scored(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return precision and recall, how many there are, and the precision of a random choice."""
    precision, recall = precision_recall(found, truth)
    return {"precision": precision, "recall": recall, "planted": int(truth.sum()),
            "chance": float(truth.mean())}  # fmt: skip


def odd_members(vectors: Vectors, codes: np.ndarray, objects: Objects) -> dict[str, Any]:
    """Return how well objects are found one of whose modalities is another star's.

    By the paper's rule, farther than the 99th percentile from the centroid in any modality; and
    AUROC of the largest distance to the centroid, of the distance in each modality, and of how
    little two modalities of the object agree on where it is: the smallest cosine of any pair (not
    defined for plain features).  Also for wrong periods, which only photometry is told.
    """
    told = {k: centroid_outliers(v, codes, codes.max() + 1) for k, v in vectors.items()}
    found = np.any([out for _, out in told.values()], axis=0)
    ranks = {k: distance for k, (distance, _) in told.items()}
    ranks["distance"] = np.nanmax(list(ranks.values()), axis=0)
    if len({v.shape[1] for v in vectors.values()}) == 1:
        pairs = [(vectors[a] * vectors[b]).sum(1) for a in vectors for b in vectors if a < b]
        ranks["disagreement"] = -np.min(pairs, axis=0)
    truth = planted(objects)
    return {
        kind: scored(found, truth[kind])
        | {f"auroc_{k}": float(area(rank, truth[kind], np.ones((1, len(rank))))[0])
           for k, rank in ranks.items()}
        for kind in ("odd", "periods")
    }  # fmt: skip


def string_length(codes: np.ndarray, objects: Objects) -> float:
    """Return AUROC, for wrong periods, of the string length above the median of the class.

    That is the column `lksl`: of the light curve folded with the period of the catalogue.
    """
    length = objects.parts["photometry"].constants("lksl")
    middle = np.array([np.median(length[codes == c]) for c in range(codes.max() + 1)])
    truth = planted(objects)["periods"]
    return float(area(length - middle[codes], truth, np.ones((1, len(truth))))[0])


def neighbours(vectors: np.ndarray, objects: Objects) -> float:
    """Return the share of the ten nearest neighbours that have the same true class."""
    label = np.array(objects.columns["true_label"].to_pylist())
    hits = search(vectors, vectors, 10, own=np.arange(len(vectors)))
    return float((label[hits.row] == label[:, None]).mean())


def contrasts(vectors: Vectors, objects: Objects) -> dict[str, dict[str, float]]:
    """Return what contrast searches find, {"near - far"}: mean cosines of the first hit, and more.

    `other`: the share of first hits of another true class or sub-type than the query's; `any`: that
    of all ten nearest, which a choice among them without looking would reach; `excess`: the gain.
    """
    kind = np.array([f"{a} {b}" for a, b in zip(*(objects.columns[name].to_pylist()
                     for name in ("true_label", "subtype")), strict=True)])  # fmt: skip
    told = {}
    for near, far in permutations(vectors, 2):
        found = [contrast_search(q, vectors[near], vectors[far]) for q in range(QUERIES)]
        rows = np.array([rows for rows, *_ in found])
        differs = kind[rows] != kind[:QUERIES, None]
        told[f"{near} - {far}"] = {
            "near": float(np.mean([cosine[0] for _, cosine, _ in found])),
            "far": float(np.mean([cosine[0] for *_, cosine in found])),
            "other": float(differs[:, 0].mean()),
            "any": float(differs.mean()),
            "excess": float(differs[:, 0].mean() - differs.mean()),
        }
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


def compared(each: list[dict]) -> dict[str, Any]:
    """Return the paired tests over seeds, {figure: {"view over other": in the shape of a view}}."""
    told: dict[str, Any] = {}
    for figure in TESTED:
        views = [e[figure] for e in each]
        for view, others in VERSUS.items():
            for other in others:
                if view in views[0] and other in views[0]:
                    pair = gains([v[other] for v in views], [v[view] for v in views])
                    told.setdefault(figure, {})[f"{view} over {other}"] = pair
    first_hits = {kind: {pair: paired(*([e["contrast"][kind][pair][name] for e in each]
                                        for name in ("any", "other")))
                         for pair in each[0]["contrast"][kind]}
                  for kind in each[0]["contrast"]}  # fmt: skip
    return told | {"contrast, first hit over any of ten": first_hits}


def gains(first: list[Any], second: list[Any]) -> Any:
    """Return the paired test of every score, in the same shape; not of counts."""
    if not isinstance(first[0], dict):
        return paired(first, second)
    told = {}
    for key in first[0]:
        both = [(a[key], b[key]) for a, b in zip(first, second, strict=True)
                if key in a and key in b]  # fmt: skip
        if both and key not in UNTESTED:
            told[key] = gains(*map(list, zip(*both, strict=True)))
    return told


def draw(each: list[dict]) -> None:
    """Draw, by view: unseen classes, hidden sub-types, wrong labels and neighbours."""
    from matplotlib.figure import Figure

    told = means(each)
    panels = {
        "unseen classes at the expected centroid": ("unseen", list(EXPECTED)),
        "adjusted Rand index": ("rand", list(SPLIT)),
        "planted wrong labels": ("labels", ["precision", "recall"]),
    }
    told["labels"] = {view: values["labels"] for view, values in told["wrong_labels"].items()}
    order = [n for view, plain in PLAIN.items() for n in (view, f"untrained {view}", plain)]
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    for axis, (title, (name, keys)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for j, view in enumerate(order):
            at = [k + 0.06 * j for k in range(len(keys))]
            values = told[name][view]
            y = [values[key]["mean"] if key in values else np.nan for key in keys]
            color, marker = f"C{j // 3}", ("o", ".", "x")[j % 3]
            axis.plot(at, y, marker, ms=5, color=color, label=view)
        axis.set_xticks([k + 0.33 for k in range(len(keys))], keys, fontsize=7)
        axis.set_title(title, fontsize=9)
        axis.set_ylim(-0.05, 1.05)
    figure.axes[-1].legend(fontsize=7, bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, result("space.png"))
