"""Towers on real data: spectral classes of MILES and LAMOST stars, classes of light curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from common import FLAGS, SHARED, TOWERS, data, in_time, paired, place, run, seeds, write
from ml_collections import ConfigDict

from astro_jax.data.labels import encode_labels
from astro_jax.data.read import read_survey
from astro_jax.data.table import write_table
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.classification import over_seeds, scores
from astro_jax.evals.features import features
from astro_jax.multimodal_source import load_parts
from astro_jax.multimodal_task import few, with_codes

BINS = 128  # of a spectrum that the forest sees
GRIDS = {  # data set: first, end and step of the wavelengths, Angstrom
    "lamost_lrs_sample": (3850.0, 9000.0, 2.0),
    "miles_stars": (3850.0, 7400.0, 2.0),
}
# Survey: label column, objects at most, classes that are left out as in experiments/classify
CURVES = {
    "ogle3_lmc": ("label", 2000, ()),
    "asas": ("label", 2000, ("Close Binary Eclipsing Systems",)),
}
BUDGETS = ("full", "sub10")


def spectra() -> None:
    """Train the spectrum tower on the spectral class; write spectra.json."""
    told: dict[str, Any] = {}
    for name, grid in GRIDS.items():
        path = SHARED / "data" / "spectra" / f"{name}.parquet"
        changes = {"data__spectra": path, "data__label": "sptype", "data__wavelengths": grid,
                   "batch_size": 32}  # fmt: skip
        found = folds(name, "spectra", changes, lambda parts: [binned(part) for part in parts])
        if found:
            told[name] = found
            write("spectra", told)


def binned(objects: Any) -> np.ndarray:
    """Return mean fluxes of 128 bins of each object, [N, 128]."""
    part = objects.parts["spectrum"]
    flux = part.values[part.offsets[:-1], :, 0]
    return np.stack([x.mean(1) for x in np.array_split(flux, BINS, axis=1)], axis=1)


def lightcurves() -> None:
    """Train the photometry tower on real light curves; write lightcurves.json."""
    told: dict[str, Any] = {}
    for name, (label, count, without) in CURVES.items():
        path = sample(name, label, count, without)
        curves, _ = read_survey(str(path))
        row = {str(key): k for k, key in enumerate(curves.columns["id"].to_pylist())}
        table = kept_features(path, curves)

        def of(parts: list, row: dict = row, table: np.ndarray = table) -> list[np.ndarray]:
            return [table[[row[i] for i in p.columns["id"].to_pylist()]] for p in parts]

        for budget in BUDGETS:
            sizes = {f"model.encoder.{k}": v for k, v in TOWERS[FLAGS.sizes].items()}
            changes = {"data__curves": path, "data__label": label, "batch_size": 32, **sizes,
                       "window": data().get("window", 200), "subset": budget}  # fmt: skip
            found = folds(f"{name}_{budget}", "photo", changes, of)
            if found:
                told.setdefault(name, {})[budget] = found
                write("lightcurves", told)


def sample(name: str, label: str, count: int, without: tuple) -> Path:
    """Return a table of at most `count` objects of a survey, of classes of 40 objects or more."""
    path = Path(FLAGS.runs) / f"{name}_{count}.parquet"
    if not path.exists():
        curves, _ = read_survey(str(SHARED / "data" / "variable_stars" / f"{name}.parquet"))
        known = np.flatnonzero(encode_labels(curves, label, without=without).codes >= 0)
        drawn = np.random.default_rng(0).permutation(known)[:count]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(curves.take(np.sort(drawn)), str(path))
    return path


def kept_features(path: Path, curves: Any) -> np.ndarray:
    """Return the hand-made features of curves, computed once."""
    kept = path.with_suffix(".npy")
    if not kept.exists():
        np.save(kept, features(curves)[1])
    return np.load(kept)


def folds(name: str, mode: str, changes: dict[str, Any], inputs: Any) -> dict[str, Any]:
    """Train on the split of each seed; return scores beside a forest and the majority class.

    inputs: the features of the forest, (parts) -> one [N, F] a part.  Forest and majority learn
    from the training and the validation objects.
    """
    scores_of: dict[str, dict[str, list]] = {}
    done = []
    for seed in seeds():
        told = {**changes, "seed": seed}
        finished = (place(f"real_{name}_{seed}") / "summary.json").exists()
        if not finished and not in_time():
            continue
        result = run(f"classify_astrom3.py:{mode}", f"real_{name}_{seed}", told)
        if result is None:
            continue
        done.append(seed)
        rows = {"tower": {k: result["model"][k] for k in ("accuracy", "macro_f1")}}
        rows |= plain(name, seed, inputs)
        for model, values in rows.items():
            for key, value in values.items():
                scores_of.setdefault(model, {}).setdefault(key, []).append(value)
    summary = {
        model: {key: {"mean": over_seeds(v)[0], "interval": over_seeds(v)[1:], "values": v}
                for key, v in values.items()}
        for model, values in scores_of.items()
    }  # fmt: skip
    if not done:
        return {}
    gain = paired(scores_of["forest"]["accuracy"], scores_of["tower"]["accuracy"])
    return {"seeds": done, **summary, "tower over forest, accuracy": gain}


def plain(name: str, seed: int, inputs: Any) -> dict[str, dict[str, float]]:
    """Return the scores of a forest and of the majority on the split of a run; kept beside it."""
    folder = place(f"real_{name}_{seed}")
    kept = folder / "plain.json"
    if kept.exists():
        return json.loads(kept.read_text())
    config = ConfigDict(json.loads((folder / "config.json").read_text()))
    parts = load_parts(config)
    classes = sorted({t for t in parts.train.columns["label"].to_pylist() if t is not None})
    coded = [with_codes(part, classes) for part in parts[:3]]
    coded = [few(part, config) for part in coded[:2]] + coded[2:]
    coded = [part.take(part.arrays["label"] >= 0) for part in coded]
    train, valid, test = inputs(coded)
    known = np.concatenate([train, valid])
    codes = np.concatenate([part.arrays["label"] for part in coded[:2]])
    truth, count = coded[2].arrays["label"], len(classes)
    said = {
        "forest": random_forest(known, codes, test, count, seed),
        "majority": majority_class(codes, len(truth), count),
    }
    told = {}
    for model, probabilities in said.items():
        found = scores(probabilities, truth, classes, seed)
        told[model] = {"accuracy": found.accuracy, "macro_f1": found.macro_f1}
    kept.write_text(json.dumps(told))
    return told
