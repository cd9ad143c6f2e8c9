"""From `config.data` to objects in several modalities: simulated, published, or raw parts."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.labels import as_label, label_texts
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_bands import band_modalities, further_bands
from astro_jax.data.multimodal_catalogue import read_catalogue
from astro_jax.data.multimodal_parts import assemble
from astro_jax.data.multimodal_rules import Statistics, standardised, statistics
from astro_jax.data.multimodal_splits import split_rows
from astro_jax.data.read import as_bands, read_survey
from astro_jax.data.simulate.trimodal import simulate_objects
from astro_jax.data.source import PATHS
from astro_jax.errors import UserError, suggest
from astro_jax.surveys.astrom3 import is_published, read_published
from astro_jax.surveys.spectra import linked, read_spectra
from astro_jax.weights import Run

PARTS = ("train", "valid", "test")


class ObjectParts(NamedTuple):
    """Standardised objects by part, the account, and the statistics of the training part."""

    train: Objects
    valid: Objects
    test: Objects
    ledger: Ledger
    statistics: Statistics


def _check_left(splits: dict[str, Objects], ledger: Ledger) -> None:
    """Raise UserError, with what was left out, where there is nothing to train or validate on."""
    for name in ("train", "valid"):
        if not len(splits[name]):
            why = "; ".join(f"{drop.objects} {drop.reason}" for drop in ledger.drops)
            raise UserError(
                f"no object to {name}: of {ledger.read.objects} objects read, none is left"
                f"{f' ({why})' if why else ''}"
            )


def simulates(data: ConfigDict) -> bool:
    """Say whether `config.data` names no file, so that objects are simulated."""
    return not any(data[name] for name in PATHS)


def load_parts(
    config: ConfigDict, told: Statistics | None = None, known: Sequence[str] = ()
) -> ObjectParts:
    """Read or simulate the objects of `config.data`, split, choose, standardise.

    Chosen are those with the required modalities, of the commonest classes.

    told, known: statistics and modalities of a run that this one goes on from, or looks at; else
        the statistics are those of the training part, the modalities those of `config.model`
    Published files come split and standardised; a file or folder that is not split is split by id
    and `config.seed`, see `data.multimodal_splits`.
    """
    wanted = modalities_of(config)
    splits, ledger, ready = read_splits(config, known or wanted)
    check_bands(config.data, splits["train"].parts, wanted, known)
    splits, ledger = require(splits, ledger, tuple(config.data.required))
    _check_left(splits, ledger)
    splits, ledger = commonest(splits, ledger, config.data.top)
    _check_left(splits, ledger)
    if ready:
        return ObjectParts(*(splits[name] for name in PARTS), ledger, {})
    told = told or statistics(splits["train"])
    return ObjectParts(*(standardised(splits[name], told) for name in PARTS), ledger, told)


def modalities_of(config: ConfigDict) -> tuple[str, ...]:
    """Return the modalities that `config.model` has towers for; none where there is no model."""
    model = config.get("model", {})
    if "modality" in model:
        return (model.modality,)
    return tuple(sorted(model.get("encoder", model).get("towers", ())))


def check_bands(
    data: ConfigDict, there: Iterable[str], wanted: Sequence[str], known: Sequence[str]
) -> None:
    """Raise UserError where the bands of the data are not those of the model or of the run.

    there: modalities of the data; wanted: of the model to train; known: of the run before it
    Bands that a classifier of one modality does not use are as they may be.
    """
    said = f"config.data.path={data.path}" if data.path else f"config.data.band={data.band}"
    if simulates(data):
        said = f"config.data.simulate.bands={tuple(data.simulate.bands)}"
    fitting = wanted if len(wanted) > 1 else known
    problems = (
        (wanted, known if known else wanted, "config.model has {}, the run at config.init has {}"),
        (there, fitting if fitting else there, f"the data have {{}} ({said}), the model has {{}}"),
        (wanted, there, f"config.model has {{}}, the data have {{}} ({said})"),
    )
    for some, others, text in problems:
        odd = sorted(set(further_bands(some)) - set(others))
        if odd:
            raise UserError(
                f"{text.format(odd[0], ', '.join(sorted(others)))}; give one band to a model of "
                "one, and two (config.data.band=V,g) to a model of both, such as the variants "
                "'four' of pretrain_astrom3.py and classify_astrom3.py"
            )


def read_splits(
    config: ConfigDict, known: Sequence[str] = ()
) -> tuple[dict[str, Objects], Ledger, bool]:
    """Return the objects by part, the account, and whether they are standardised already.

    known: modalities that bands are named by, see `multimodal_bands.band_modalities`
    """
    data = config.data
    check_curves(data)
    if simulates(data):
        objects = simulated(config)
        return cut(objects, config.seed), opening(len(objects), points_of(objects)), False
    if not data.path:
        objects, ledger = from_parts(data, known)
        return cut(objects, config.seed), ledger, False
    if not is_published(data.path):
        raise UserError(
            f"{data.path} is no file or folder of the published layout (columns photometry, "
            "spectra, metadata, label)"
        )
    found, ledger = read_published(data.path, tuple(data.classes), tuple(data.wavelengths))
    if set(found) == set(PARTS):
        return found, ledger, True
    if set(found) == {""}:
        return cut(found[""], config.seed), ledger, True
    there = ", ".join(sorted(found)) or "none"
    raise UserError(f"{data.path} holds the parts {there}: give train, validation and test, or one")


def simulated(config: ConfigDict) -> Objects:
    """Return the simulated objects of `config.data`."""
    data = config.data
    return simulate_objects(
        data.simulate.stars,
        config.seed,
        rules=data.rules,
        spectra_share=data.simulate.spectra,
        bands=tuple(data.simulate.bands),
        wavelengths=tuple(data.wavelengths),
    )


def check_curves(data: ConfigDict) -> None:
    """Raise UserError where a band is chosen of light curves that have none to choose from."""
    if data.band and not data.curves:
        raise UserError(
            f"config.data.band={data.band} chooses among the light curves of config.data.curves: "
            "give that path; what is simulated has config.data.simulate.bands"
        )


def from_parts(data: ConfigDict, known: Sequence[str] = ()) -> tuple[Objects, Ledger]:
    """Return the objects of raw light curves, spectra and a catalogue, and the account.

    known: modalities that bands are named by, see `multimodal_bands.band_modalities`
    """
    bands = band_modalities(as_bands(data.band), known)
    curves = spectra = catalogue = None
    accounts: dict[str, Ledger] = {}
    if data.curves:
        curves, accounts["curves"] = read_survey(data.curves, band=data.band or None)
    if data.spectra:
        spectra, accounts["spectra"] = read_spectra(data.spectra)
    if data.catalogue:
        catalogue, accounts["catalogue"] = read_catalogue(data.catalogue, data.catalogue_id)
    if data.spectra_link:
        if spectra is None or catalogue is None:
            raise UserError("config.data.spectra_link needs config.data.spectra and .catalogue")
        spectra, accounts["spectra"] = linked(
            spectra, accounts["spectra"], catalogue, data.spectra_link
        )
    return assemble(
        curves, spectra, catalogue, data.rules, tuple(data.wavelengths), data.label, accounts,
        {name: data[name] for name in accounts}, bands,
    )  # fmt: skip


def read_objects(
    run: Run,
    curves: str = "",
    spectra: str = "",
    catalogue: str = "",
    band: str = "",
    catalogue_id: str = "id",
    spectra_link: str = "",
) -> tuple[Objects, Ledger]:
    """Read raw parts, joined by id, into objects for a run on several modalities; the account.

    The arguments are the keys of `config.data` (see `defaults_objects.data`): paths, whichever
    there are; band: of the light curves, or several with commas.  Objects are standardised as those
    that the run was trained on.
    Raises UserError where a file cannot be used, or a band is none of the run.
    """
    data = {"curves": curves, "spectra": spectra, "catalogue": catalogue, "band": band}
    data |= {"catalogue_id": catalogue_id, "spectra_link": spectra_link, "label": ""}
    rows = run.config.rows
    data |= {"path": "", "rules": rows.rules, "wavelengths": rows.wavelengths}
    return parts_for(ConfigDict(data), run)


def parts_for(data: ConfigDict, run: Run) -> tuple[Objects, Ledger]:
    """Return the raw parts of `data` as a run knows them, standardised; and the account.

    A modality that the run was trained without is left out, and logged.
    """
    known = run.config.modalities
    objects, ledger = from_parts(data, known)
    check_bands(data, objects.parts, (), known)
    strange = sorted(set(objects.parts) - set(known))
    if strange:
        logging.warning("the run was trained without %s: left out", ", ".join(strange))
    return standardised(objects.without(*strange), run.config.statistics.to_dict()), ledger


def cut(objects: Objects, seed: int) -> dict[str, Objects]:
    """Return the parts of objects that come in one piece, 80, 10 and 10 %."""
    rows = split_rows(objects.star, seed)
    return {name: objects.take(rows[name]) for name in PARTS}


def require(
    splits: dict[str, Objects], ledger: Ledger, names: tuple[str, ...]
) -> tuple[dict[str, Objects], Ledger]:
    """Leave out objects that lack one of the modalities `names`."""
    kept = {}
    for part, objects in splits.items():
        keep = np.ones(len(objects), bool)
        for name in names:
            if name not in objects.parts:
                known = suggest(name, objects.parts)
                raise UserError(f"config.data.required: no modality '{name}'{known}")
            lacking = keep & ~objects.present[name]
            points = points_of(objects.take(lacking))
            ledger = ledger.filter(int(lacking.sum()), points, f"no {name} (config.data.required)")
            keep &= ~lacking
        kept[part] = objects.take(keep)
    return kept, ledger


def commonest(
    splits: dict[str, Objects], ledger: Ledger, top: int
) -> tuple[dict[str, Objects], Ledger]:
    """Leave out objects of other classes than the `top` commonest; 0: keep all.

    Objects without a label stay: they teach without one.
    """
    if not top:
        return splits, ledger
    label_texts(splits["train"], "label")  # or say that there are none
    labels = {
        part: np.array([as_label(v) or "" for v in objects.columns["label"].to_pylist()], str)
        for part, objects in splits.items()
    }
    names, counts = np.unique(np.concatenate([*labels.values()]), return_counts=True)
    order = np.lexsort((names, -counts))
    chosen = [name for name in names[order] if name][:top]
    kept = dict(splits)
    for part, own in labels.items():
        other = ~np.isin(own, ["", *chosen])
        points = points_of(splits[part].take(other))
        reason = f"class not among the {top} commonest (config.data.top)"
        ledger = ledger.filter(int(other.sum()), points, reason)
        kept[part] = splits[part].take(~other)
    return kept, ledger


def points_of(objects: Objects) -> int:
    """Return how many observations the light curves of objects have."""
    return sum(int(p.lengths.sum()) for n, p in objects.parts.items() if n.startswith("photometry"))


def rows_facts(config: ConfigDict) -> dict[str, Any]:
    """Return how rows are made: what a run needs to know to encode other objects."""
    data = config.data
    return {
        "rules": data.rules,
        "length": config.window,
        "padding": data.padding,
        "wavelengths": list(data.wavelengths),
        "any_spectrum": data.any_spectrum,
    }
