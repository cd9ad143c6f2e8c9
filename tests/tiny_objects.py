"""Jobs on several modalities that are small enough for a test."""

import json

import numpy as np
import pyarrow as pa

COMMON = [
    "--config.data.simulate.stars=60",
    "--config.data.wavelengths=(3850.0,9000.0,9.0)",
    "--config.window=32",
    "--config.batch_size=8",
    "--config.log_every=1",
]
CLASSES = ["DSCT", "EA", "EB"]
TOWER = {"width": 16, "heads": 2, "ffn": 16, "blocks": 1}


def words(name: str, steps: int = 2) -> list[str]:
    """Return the words that make "classify_astrom3:photo" and the like small."""
    stem, _, variant = name.partition(":")
    if stem == "explore":
        return [*COMMON[:2], "--config.queries=2", "--config.k=3"]
    if stem == "tune_astrom3":
        fit = {"batch_size": 8, "steps": steps, "eval_every": steps}
        return [*COMMON[:2], *(f"--config.fit.{k}={v}" for k, v in fit.items())]
    mode = variant.partition("_")[0]
    if stem.startswith("classify"):
        places = {"photo": ["encoder"], "all": ["encoder.towers.photometry"]}.get(mode, [])
        if not variant:
            places = ["encoder.towers.photometry"]
    else:
        places = ["towers.photometry", *(["towers.photometry_g"] if mode == "four" else [])]
    sizes = [f"--config.model.{p}.{k}={v}" for p in places for k, v in TOWER.items()]
    return [*COMMON, *sizes, f"--config.steps={steps}", "--config.eval_every=2"]


def published_table(count=5, seed=0, ids=True):
    """Return random objects of three classes in the published layout."""
    rng = np.random.default_rng(seed)
    photometry = [rng.standard_normal((n, 9)).tolist() for n in rng.integers(3, 30, count)]
    spectra = rng.standard_normal((count, 3, 2575)).tolist()
    metadata = rng.standard_normal((count, 34)).tolist()
    nested = pa.list_(pa.list_(pa.float32()))
    columns = {
        "photometry": pa.array(photometry, nested),
        "spectra": pa.array(spectra, nested),
        "metadata": pa.array(metadata, pa.list_(pa.float32())),
        "label": pa.array(np.arange(count) % 3, pa.int64()),
    }
    columns |= {"id": pa.array([f"s{k}" for k in range(count)])} if ids else {}
    feature = {"names": CLASSES, "_type": "ClassLabel"}
    told = {"info": {"features": {"label": feature}}}
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(told)})
