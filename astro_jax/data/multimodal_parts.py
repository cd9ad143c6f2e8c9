"""Assemble objects from raw parts: a table of light curves, spectra, and a catalogue, by id.

The rules are those of AstroM3 (see `data.multimodal_rules`): what a catalogue lacks of amplitude,
period and string length is computed from the light curve.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, Quarantined, account_of_parts, few, opening
from astro_jax.data.multimodal import Features, Objects, Spectra
from astro_jax.data.multimodal_bands import FIRST, band_part
from astro_jax.data.multimodal_rules import (
    METADATA,
    SPECTRUM_CHANNELS,
    SPECTRUM_RULES,
    WAVELENGTHS,
    choose,
    features,
    observed,
    wavelength_grid,
)
from astro_jax.errors import UserError
from astro_jax.surveys.spectra import RawSpectra

UNJOINED = "catalogue row with neither light curve nor spectrum"


def assemble(
    curves: Curves | None,
    spectra: RawSpectra | None,
    catalogue: pa.Table | None,
    rules: str = "full",
    wavelengths: tuple = WAVELENGTHS,
    label: str = "label",
    accounts: Mapping[str, Ledger] | None = None,
    files: Mapping[str, str] | None = None,
    bands: Mapping[str, str] | None = None,
) -> tuple[Objects, Ledger]:
    """Return the objects of light curves and spectra, joined with a catalogue by id; the account.

    Without either the objects are those of the catalogue.

    curves: one row an id and band; label: a column of the catalogue, the light curves or the
    spectra, in this order
    accounts: of "curves", "spectra" and "catalogue" by their readers; files: where these were read
    bands: {band: modality}, see `multimodal_bands.band_modalities`; without, one row an id
    Quarantined are constant light curves, spectra that are constant or do not reach the grid, and
    rows of the catalogue with neither.  An object whose light curve or spectrum is lost stays; how
    many lack one of several bands is a remark.
    Raises UserError where there is no part, and for several light curves of an id in a band.
    """
    if curves is None and spectra is None and catalogue is None:
        raise UserError("nothing to assemble: give config.data.curves, .spectra or .catalogue")
    own = [] if curves is None else _ids(curves.columns)
    theirs = [] if spectra is None else _ids(spectra.columns)
    ids = list(dict.fromkeys([*own, *theirs]))
    if curves is None and spectra is None:
        ids = _ids(catalogue)
    table, remarks = joined(ids, catalogue)
    parts: dict[str, Any] = {}
    ledgers: dict[str, Ledger] = dict(accounts or {})
    bands = bands or {"": FIRST}
    if curves is not None:
        ledgers.setdefault("curves", opening(len(own), len(curves.time)))
    for band, name in bands.items() if curves is not None else ():
        parts[name], lost = band_part(curves, band, ids, table, rules, name == FIRST)
        ledgers["curves"] = ledgers["curves"].quarantine(lost)
        lacking = int((~parts[name].present).sum())
        if lacking and len(bands) > 1:
            remarks += (f"{lacking} of {len(ids)} objects have no light curve in {band} ({name})",)
    if spectra is not None:
        parts["spectrum"], lost = _spectra(spectra, theirs, ids, rules, wavelengths)
        opened = ledgers.get("spectra") or opening(len(spectra), 0)
        ledgers["spectra"] = opened.quarantine(lost)
    if catalogue is not None:
        parts["metadata"], told = _metadata(table, len(ids), rules)
        opened = ledgers.get("catalogue") or opening(catalogue.num_rows, 0)
        ledgers["catalogue"] = opened.quarantine(unjoined(ids, catalogue)).note(*told)
    sources = ((catalogue, None), (curves and curves.columns, own),
               (spectra and spectra.columns, theirs))  # fmt: skip
    columns = _columns(ids, table, _labels(label, ids, sources))
    return Objects(columns, parts), account_of_parts(ids, ledgers, files or {}).note(*remarks)


def _columns(
    ids: list[str], table: Mapping[str, np.ndarray], labels: list[str | None] | None
) -> pa.Table:
    """Return what is told of objects beside their modalities."""
    columns = {"id": pa.array(ids, pa.string())}
    if labels is not None:
        columns["label"] = pa.array(labels, pa.string())
    for name in ("period", "bp_rp", "phot_g_mean_mag", "mean_vmag", "parallax"):
        if name in table:
            columns[name] = pa.array(table[name])
    return pa.table(columns)


def _ids(columns: pa.Table) -> list[str]:
    return columns["id"].cast(pa.string()).to_pylist()


def joined(ids: Sequence[str], catalogue: pa.Table | None) -> tuple[dict[str, np.ndarray], tuple]:
    """Return the numeric columns of a catalogue in the order of `ids`, NaN where not joined."""
    if catalogue is None:
        return {}, ()
    place = {name: k for k, name in enumerate(_ids(catalogue))}
    rows = np.array([place.get(name, -1) for name in ids], np.int64)
    table = {}
    for name in catalogue.column_names:
        kind = catalogue[name].type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            values = catalogue[name].cast(pa.float64(), safe=False).to_numpy()
            table[name] = np.where(rows >= 0, np.append(values, np.nan)[rows], np.nan)
    lone = [ids[k] for k in np.flatnonzero(rows < 0)]
    remark = f"{len(lone)} of {len(ids)} objects are not in the catalogue: {few(lone)}"
    return table, (remark,) if lone else ()


def unjoined(ids: Sequence[str], catalogue: pa.Table) -> list[Quarantined]:
    """Return the rows of a catalogue that are of none of the objects `ids`."""
    there = set(ids)
    lost = (name for name in _ids(catalogue) if name not in there)
    return [Quarantined("", name, "", 1, 0, UNJOINED) for name in lost]


def _spectra(
    spectra: RawSpectra, theirs: list[str], ids: list[str], rules: str, wavelengths: tuple
) -> tuple[Spectra, list[Quarantined]]:
    """Return the spectra by object, the best first, and those that were quarantined."""
    grid, rule = wavelength_grid(wavelengths), choose(SPECTRUM_RULES, rules)
    place = {name: k for k, name in enumerate(ids)}
    owner = np.array([place[name] for name in theirs])
    quality = spectra.columns["snr"].to_numpy()
    order = np.lexsort((-quality, owner))
    values, mask = zip(*(rule(*spectra.one(k), grid) for k in order), strict=True)
    values, mask = np.stack(values), np.stack(mask)
    seen = mask.any(1)
    size = np.bincount(owner[order][seen], minlength=len(ids))
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    part = Spectra(SPECTRUM_CHANNELS, grid, values[seen], mask[seen], offsets)
    told = spectra.columns["file"].to_pylist()
    lost = [
        Quarantined(told[k], theirs[k], "", 1, 0, _unseen(*spectra.one(k), grid, rules))
        for k in sorted(order[~seen])
    ]
    return part, lost


def _unseen(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, grid: np.ndarray, rules: str
) -> str:
    """Return why a spectrum has no pixel on the grid."""
    if wavelength[-1] < grid[0] or wavelength[0] > grid[-1]:
        return f"spectrum does not reach the grid, {grid[0]:.0f} to {grid[-1]:.0f} Angstrom"
    if rules == "full" and not observed(wavelength, flux, ivar, grid).any():
        return "spectrum without inverse variances above 0 on the grid"
    return "constant spectrum: the median absolute deviation is 0"


def _metadata(
    table: Mapping[str, np.ndarray], count: int, rules: str
) -> tuple[Features, tuple[str, ...]]:
    """Return the catalogue columns, and remarks; in `full` one that is not there is unknown."""
    if rules == "full":
        table = {name: table.get(name, np.full(count, np.nan)) for name in METADATA}
    part = features(table, rules)
    none = [name for name in METADATA if not np.isfinite(table[name]).any()]
    remark = f"{len(none)} of {len(METADATA)} catalogue columns have no value: {few(none)}"
    return part, (remark,) if none else ()


def _labels(name: str, ids: Sequence[str], sources: Sequence[tuple]) -> list[str | None] | None:
    """Return the labels of objects from the first table that has the column, None if none has."""
    for columns, own in sources:
        if columns is not None and name in columns.column_names:
            keys = columns["id"].to_pylist() if own is None else own
            texts = [None if v is None else str(v) for v in columns[name].to_pylist()]
            pairs = zip(keys, texts, strict=True)
            found = {key: text for key, text in pairs if text is not None}
            return [found.get(key) for key in ids]
    return None
