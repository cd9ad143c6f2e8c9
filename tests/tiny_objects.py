"""Jobs on several modalities that are small enough for a test."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

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
    at = "encoder." if stem.startswith("classify") else ""
    names = ["photometry", *(["photometry_g"] if mode == "four" else [])]
    alone = {"photo": ["encoder"], "second": ["encoder"], "spectra": [], "meta": []}
    places = alone.get(mode, [f"{at}towers.{name}" for name in names])
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


def write_two_bands(folder, count=40, seed=0):
    """Write light curves in V and g, spectra and a catalogue of stars of two classes, by id.

    Every fifth star has no light curve in g, star 3 none in V, star 4 no spectrum.  Returns the
    words that name the files.
    """
    rng = np.random.default_rng(seed)
    ids, kind = [f"s{k:02d}" for k in range(count)], np.arange(count) % 2
    period = np.array([0.55, 5.4])[kind]
    rows = []
    for k, band in ((k, band) for k in range(count) for band in "Vg"):
        if (band == "g" and k % 5 == 0) or (band == "V" and k == 3):
            continue
        time = 57_000 + np.sort(rng.uniform(0, 300, 50))
        swing, mean = {"V": (0.4, 14.0), "g": (0.6, 14.4)}[band]
        mag = mean + swing * np.sin(2 * np.pi * time / period[k]) + rng.normal(0, 0.02, 50)
        rows.append({"id": ids[k], "band": band, "time": time, "mag": mag, "magerr": [0.02] * 50,
                     "label": CLASSES[kind[k]]})  # fmt: skip
    wave = np.arange(3800.0, 9100.0, 8.0)
    flux = 10 + (kind[:, None] - 0.5) * (wave - 6000) / 500 + rng.normal(0, 0.3, (count, len(wave)))
    some = [k for k in range(count) if k != 4]
    spectra = {"id": [ids[k] for k in some], "flux": flux[some].tolist(),
               "wavelength": [wave.tolist()] * len(some)}  # fmt: skip
    catalogue = {"id": ids, "parallax": rng.uniform(1, 5, count), "period": period,
                 "amplitude": [0.8] * count, "phot_g_mean_mag": 12 + kind}  # fmt: skip
    tables = {"curves": pa.Table.from_pylist(rows), "spectra": pa.table(spectra),
              "catalogue": pa.table(catalogue)}  # fmt: skip
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return [f"--config.data.{name}={folder / name}.parquet" for name in tables]
