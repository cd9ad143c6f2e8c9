"""What training with missing modalities gains: spectra for few of the objects."""

import json
from typing import Any

from common import clip, paired, place, seeds, write
from labels import survey

import astro_jax
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.retrieval import centroid_accuracy, matching, nearest_accuracy
from astro_jax.multimodal_infer import encode_all
from astro_jax.multimodal_source import load_parts
from astro_jax.multimodal_task import class_codes

SHARES = (0.1, 0.05)
# Objects without a spectrum are left out, or teach with what they have; in batches of 32, of which
# three have a spectrum where a tenth of the objects has one, or of 160.
ANY = {"data__required": "('photometry','metadata')"}
WAYS = {
    "complete": {"data__required": "('photometry','spectrum','metadata')"},
    "masked": ANY,
    "masked160_": {**ANY, "batch_size": 160},
}


def missing() -> None:
    """Train spaces with spectra for few objects, in each way; write missing.json."""
    for share in SHARES:
        for seed in seeds():
            for way, changes in WAYS.items():
                clip(seed, f"{way}{share:g}", data__simulate__spectra=share, **changes)
    told: dict[str, Any] = {}
    for share in SHARES:
        found = {way: scored(f"{way}{share:g}") for way in WAYS}
        found = {way: rows for way, rows in found.items() if rows}
        done = sorted(set.intersection(*map(set, found.values()))) if "complete" in found else []
        for name in found["complete"][done[0]] if done else ():
            values = {way: [rows[seed][name] for seed in done] for way, rows in found.items()}
            row = {way: {"mean": over_seeds(v)[0], "values": v} for way, v in values.items()}
            for way in values:
                if way != "complete":
                    row[f"{way} over complete"] = paired(values["complete"], values[way])
            told.setdefault(f"{share:g}", {})[name] = row
    write("missing", told)


def scored(name: str) -> dict[int, dict[str, float]]:
    """Return scores of the spaces `name` on complete test objects, {seed: {score: value}}.

    Classes by the nearest centroid and neighbour among the training objects that the space saw
    complete; how well modalities find each other.
    """
    told = {}
    for seed in seeds():
        folder = place(f"{name}_{seed}")
        if not (folder / "summary.json").exists():
            continue
        run = astro_jax.load(folder)
        parts = load_parts(survey(seed), run.config.statistics.to_dict())
        vectors = [encode_all(run, part) for part in (parts.train, parts.test)]
        classes, codes = class_codes(parts.train, parts.test)
        row: dict[str, float] = {}
        for kind in vectors[1]:
            pair = (vectors[0][kind], codes[0], vectors[1][kind], codes[1])
            row[f"{kind}, centroid"] = centroid_accuracy(*pair, len(classes))
            row[f"{kind}, nearest"] = nearest_accuracy(*pair)
        for pair_name, values in matching(vectors[1]).items():
            row[f"{pair_name}, top 10"] = values["top 10"]
        told[seed] = row
        epochs = json.loads((folder / "summary.json").read_text())
        row["training objects"] = epochs["objects"]["train"]
        row["best epoch"] = epochs["epochs"]
    return told
