"""Predictions for files of objects in several modalities, whichever of them a file has."""

import json

import pyarrow as pa
from ml_collections import ConfigDict

from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.multimodal import Objects, join
from astro_jax.data.multimodal_rules import standardised
from astro_jax.data.source import announce
from astro_jax.data.table import write_parquet
from astro_jax.errors import UserError
from astro_jax.multimodal_infer import ObjectPredictions, predict_objects
from astro_jax.multimodal_source import check_curves, parts_for, points_of, simulated, simulates
from astro_jax.surveys.astrom3 import is_published, read_published
from astro_jax.weights import Run


def predict_file(config: ConfigDict, trained: Run) -> int:
    """Write the predictions for the objects of `config.data` to `config.output`: the job.

    One row an object: id, prediction, prob_<class>, and used_<modality>, from which modalities it
    was made; null where none of them is there.  What could not be read is in the quarantine.
    """
    if "classes" not in trained.config:
        raise UserError("this run was not trained with labels: train one of classify_astrom3.py")
    full = as_trained(config, trained)
    print(announce(full), flush=True)
    objects, ledger = objects_for(full, trained)
    print(ledger.summary(), flush=True)
    predicted = predict_objects(trained, objects, config.batch_size or None)
    write_parquet(prediction_table(predicted), config.output)
    ledger.report(config.output)
    used = ", ".join(f"{name} {int(there.sum())}" for name, there in predicted.used.items())
    unknown = sum(name is None for name in predicted.prediction)
    null = f", {unknown} of them null: no usable modality" if unknown else ""
    print(
        f"{len(objects)} predictions of step {trained.step} in {config.output}{null}; made from "
        f"{used}"
    )
    return 0


def as_trained(config: ConfigDict, trained: Run) -> ConfigDict:
    """Return the config with the rules and the grid of the run, and no label column."""
    full, rows = ConfigDict(json.loads(config.to_json())), trained.config.rows
    others = [n for n in trained.config.modalities if n.startswith("photometry_")]
    bands = ("V", *(name.removeprefix("photometry_") for name in sorted(others)))
    full.data.simulate = {"stars": config.data.simulate.stars, "spectra": 1.0, "bands": bands}
    full.data.label, full.data.rules = "", rows.rules
    full.data.wavelengths = tuple(rows.wavelengths)
    return full


def objects_for(config: ConfigDict, trained: Run) -> tuple[Objects, Ledger]:
    """Return the objects of `config.data`, standardised as those that the run was trained on.

    Published files are standardised already.  Raw parts are joined by id; any may be absent.
    """
    data = config.data
    check_curves(data)
    if simulates(data):
        objects = simulated(config)
        told = trained.config.statistics.to_dict()
        return standardised(objects, told), opening(len(objects), points_of(objects))
    if not data.path:
        return parts_for(data, trained)
    if not is_published(data.path):
        raise UserError(
            f"{data.path} is no file or folder of the published layout (columns photometry, "
            "spectra, metadata); give raw parts as config.data.curves, .spectra or .catalogue"
        )
    classes = tuple(trained.config.classes)
    found, ledger = read_published(data.path, classes, tuple(data.wavelengths))
    return join([found[name] for name in sorted(found)]), ledger


def prediction_table(predicted: ObjectPredictions) -> pa.Table:
    """Return id, prediction, prob_<class> and used_<modality> as an Arrow table."""
    columns = {"id": pa.array(predicted.id), "prediction": pa.array(predicted.prediction)}
    if not any(predicted.prediction):
        columns["prediction"] = pa.nulls(len(predicted.id), pa.string())
    for name, column in zip(predicted.classes, predicted.probabilities.T, strict=True):
        columns[f"prob_{name}"] = pa.array(column, pa.float64(), from_pandas=True)
    for name, there in predicted.used.items():
        columns[f"used_{name}"] = pa.array(there)
    return pa.table(columns)
