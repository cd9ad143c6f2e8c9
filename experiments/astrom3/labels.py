"""Classes by modality, share of the labels and start: tables 2 and 4, with baselines; table 5."""

import json
from ast import literal_eval
from typing import Any

import numpy as np
from common import (
    FLAGS,
    MODES,
    SHARES,
    classify,
    clip,
    data,
    in_time,
    paired,
    place,
    result,
    seeds,
    write,
)
from ml_collections import ConfigDict

from astro_jax import defaults_objects
from astro_jax.data.curves import Curves
from astro_jax.data.multimodal import Objects, join
from astro_jax.data.multimodal_rules import WAVELENGTHS
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.classification import Scores, over_seeds, scores
from astro_jax.evals.features import features
from astro_jax.multimodal_source import load_parts
from astro_jax.multimodal_task import few, with_codes
from astro_jax.report import save_figure

BINS = 128  # of a spectrum that the forest sees: mean fluxes of 40 Angstrom
STARTS = {"nothing": "", "space": "_clip", "nothing, long": "_long", "space, long": "_clip_long"}
PAIRS = (("nothing", "space"), ("nothing, long", "space, long"), ("nothing", "nothing, long"))
# The published rule stops after 6 epochs without a better loss, those of the warm-up included: from
# nothing, with few labels, that is before anything was learned.  So also train for 100 epochs.
LONG = {"epochs": 100, "patience": 100}


def grid() -> None:
    """Train all classifiers that there is time for; the most telling cells come first."""
    for share in FLAGS.shares:
        for mode in MODES:
            suffix = "" if share == "full" else f"_{share}"
            for seed in seeds():
                if clip(seed):
                    classify(f"{mode}{suffix}_clip", seed, "clip")
                classify(f"{mode}{suffix}", seed)
    tables()


def longer() -> None:
    """Train the classifiers of the smallest share again, for 100 epochs without a stop."""
    for mode in MODES:
        for seed in seeds():
            for start, init in (("", ""), ("_clip", "clip")):
                if not init or clip(seed):
                    classify(f"{mode}_sub10{start}", seed, init, "_long", **LONG)
    tables()


def cell(mode: str, share: str, start: str, score: str) -> dict[int, float]:
    """Return a score of the finished runs of a cell by seed."""
    suffix = "" if share == "full" else f"_{share}"
    found = {}
    for seed in seeds():
        path = place(f"{mode}{suffix}{STARTS[start]}_{seed}") / "summary.json"
        if path.exists():
            found[seed] = json.loads(path.read_text())["model"][score]
    return found


def tables() -> None:
    """Gather what is finished: accuracy and macro-F1 of each cell, paired over seeds; draw it."""
    told: dict[str, Any] = {}
    for mode in MODES:
        for share in SHARES:
            for score in ("accuracy", "macro_f1"):
                found = {start: cell(mode, share, start, score) for start in STARTS}
                if not any(found.values()):
                    continue
                row = {s: _short(list(values.values())) for s, values in found.items() if values}
                for first, second in PAIRS:
                    both = sorted(set(found[first]) & set(found[second]))
                    if both:
                        values = [[found[s][k] for k in both] for s in (first, second)]
                        row.setdefault("paired", {})[f"{second} over {first}"] = paired(*values)
                told.setdefault(mode, {}).setdefault(share, {})[score] = row
    write("labels", told)
    write("modalities", {share: found for share in SHARES if (found := modalities(share))})
    if told:
        draw(told)


def modalities(share: str) -> dict[str, Any]:
    """Return what classifiers of all modalities reach when they are given some: table 5.

    {start: {"photometry + spectrum": accuracy and macro-F1, recall by class: means over seeds}}
    """
    suffix, told = "" if share == "full" else f"_{share}", {}
    for start, word in STARTS.items():
        paths = [place(f"all{suffix}{word}_{seed}") / "summary.json" for seed in seeds()]
        runs = [json.loads(path.read_text()) for path in paths if path.exists()]
        names = (
            [k for k, v in runs[0].items() if isinstance(v, dict) and "macro_f1" in v]
            if runs
            else []
        )
        for name in names:
            parts = [run[name] for run in runs if name in run]
            recall = {c: [p["classes"][c]["recall"] for p in parts if p["classes"][c]["objects"]]
                      for c in parts[0]["classes"]}  # fmt: skip
            told.setdefault(start, {})["all" if name == "model" else name] = {
                "accuracy": _short([p["accuracy"] for p in parts]),
                "macro_f1": _short([p["macro_f1"] for p in parts]),
                "recall": {c: float(np.mean(v)) if v else None for c, v in recall.items()},
            }
    first, second = (told.get(start, {}) for start in ("nothing", "space"))
    for name in first.keys() & second.keys():
        values = [part[name]["accuracy"]["values"] for part in (first, second)]
        if len(values[0]) == len(values[1]):
            second[name]["over nothing, accuracy"] = paired(*values)
    return told


def _short(values: list[float]) -> dict[str, Any]:
    mean, low, high = over_seeds(values)
    return {"mean": mean, "interval": [low, high], "values": values}


def draw(told: dict[str, Any]) -> None:
    """Draw accuracy by share of the labels, a panel a modality, a line a start."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(told), 3.2), layout="constrained")
    axes = figure.subplots(1, len(told), sharey=True, squeeze=False)[0]
    percent = {"full": 100, "sub50": 50, "sub25": 25, "sub10": 10}
    for axis, (mode, row) in zip(axes, told.items(), strict=True):
        for start in STARTS:
            points = [(percent[s], row[s]["accuracy"].get(start)) for s in percent if s in row]
            points = [(x * (1.03 if start == "space" else 1), p) for x, p in points if p]
            if points:
                x, y = [x for x, _ in points], np.array([p["mean"] for _, p in points])
                low = np.array([p["interval"][0] for _, p in points])
                axis.errorbar(x, y, np.nan_to_num(y - low), fmt="o-", ms=3, label=f"from {start}")
        axis.set_xscale("log")
        axis.set_xticks(list(percent.values()), [str(p) for p in percent.values()])
        axis.minorticks_off()
        axis.set_xlim(8, 130)
        axis.set_title(mode)
        axis.set_xlabel("labels, %")
    axes[0].set_ylabel("accuracy")
    axes[0].legend(fontsize=7)
    save_figure(figure, result("labels.png"))


# Baselines


def objects_of(seed: int) -> tuple[Objects, Objects, dict[str, np.ndarray], list[str]]:
    """Return objects to learn from and to test, the rows of each share, and the classes.

    Objects have class numbers.  Forests stop by nothing, so that the validation objects are labels
    to learn from, too.
    """
    parts = load_parts(survey(seed))
    classes = sorted(set(parts.train.columns["label"].to_pylist()))
    known = [with_codes(part, classes) for part in (parts.train, parts.valid)]
    learn = with_codes(join([parts.train, parts.valid]), classes)
    row = {name: k for k, name in enumerate(learn.columns["id"].to_pylist())}
    rows = {}
    for share in SHARES:
        pieces = [few(part, survey(seed, share)) for part in known]
        rows[share] = np.array([row[i] for p in pieces for i in p.columns["id"].to_pylist()])
    return learn, with_codes(parts.test, classes), rows, classes


def survey(seed: int, subset: str = "full") -> ConfigDict:
    """Return the config that the classifiers of a seed read their objects by."""
    config = ConfigDict({"seed": seed, "subset": subset, "brightest": False})
    config.data = defaults_objects.data(official=False)
    config.data.simulate.stars = data()["data__simulate__stars"]
    config.data.wavelengths = literal_eval(data().get("data__wavelengths", f"{WAVELENGTHS}"))
    return config


def inputs(objects: Objects, kept: str) -> dict[str, np.ndarray]:
    """Return the features of the forests, {modality: [N, F]}; kept: where, see `curve_features`."""
    photometry, spectrum = objects.parts["photometry"], objects.parts["spectrum"]
    names = [c for c in photometry.channels if c not in ("time", "flux", "error")]
    constants = np.stack([photometry.constants(c) for c in names], axis=1)
    flux = spectrum.values[spectrum.offsets[:-1], :, 0]
    metadata = objects.parts["metadata"]
    told = {
        "photo": np.concatenate([curve_features(objects, kept), constants], axis=1),
        "spectra": np.stack([x.mean(1) for x in np.array_split(flux, BINS, axis=1)], axis=1),
        "meta": np.where(metadata.mask, metadata.values, -99.0),
    }
    told["all"] = np.concatenate([told[name] for name in ("photo", "spectra", "meta")], axis=1)
    return {name: np.nan_to_num(x) for name, x in told.items()}


def curve_features(objects: Objects, kept: str) -> np.ndarray:
    """Return the hand-made features of light curves, [N, F], kept in a file once computed."""
    path, ids = place(f"{kept}.npz"), objects.columns["id"].to_pylist()
    if path.exists():
        found = np.load(path)
        row = {name: k for k, name in enumerate(found["id"].tolist())}
        if set(ids) <= set(row):
            return found["features"][[row[name] for name in ids]]
    part = objects.parts["photometry"]
    days = part.values[:, 0] * np.repeat(365.0 * part.constants("span"), part.lengths)
    # scaled flux in place of a magnitude: upside down, and without a zero point
    curves = Curves(days.astype(float), -part.values[:, 1], part.values[:, 2], part.offsets,
                    objects.columns)  # fmt: skip
    table = features(curves)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, id=np.array(ids), features=table)
    return table


def baselines() -> None:
    """Grow forests on plain features, beside the majority; write baselines.json."""
    path = result("baselines.json")
    told = json.loads(path.read_text()) if path.exists() else {}
    for share in FLAGS.shares:
        for seed in seeds():
            if str(seed) in told.get("majority", {}).get(share, {}) or not in_time():
                continue
            for mode, score in forests(seed, share).items():
                found = told.setdefault(mode, {}).setdefault(share, {})
                found[str(seed)] = {"accuracy": score.accuracy, "macro_f1": score.macro_f1}
            write("baselines", told)


def forests(seed: int, share: str) -> dict[str, Scores]:
    """Return the scores of a forest for each modality, and of the majority class."""
    learn, test, rows, classes = objects_of(seed)
    both = inputs(join([learn, test]), f"features_{seed}")
    some, known = rows[share], test.arrays["label"] >= 0
    codes, truth = learn.arrays["label"][some], test.arrays["label"][known]
    said = {"majority": majority_class(codes, int(known.sum()), len(classes))}
    for mode in MODES:
        table, asked = both[mode][some], both[mode][len(learn) :][known]
        said[mode] = random_forest(table, codes, asked, len(classes), seed)
    return {mode: scores(p, truth, classes, seed) for mode, p in said.items()}
