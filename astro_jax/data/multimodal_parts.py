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
from astro_jax.data.multimodal import Features, Objects, Series, Spectra
from astro_jax.data.multimodal_catalogue import AUX
from astro_jax.data.multimodal_rules import (
    METADATA,
    SPECTRUM_CHANNELS,
    SPECTRUM_RULES,
    WAVELENGTHS,
    choose,
    features,
    observed,
    scale_curves,
    series,
    string_lengths,
    wavelength_grid,
)
from astro_jax.data.periods import candidate_periods
from astro_jax.errors import UserError
from astro_jax.surveys.spectra import RawSpectra

ZERO = 16.4  # magnitude of 1 mJy (AB)
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
) -> tuple[Objects, Ledger]:
    """Return the objects of light curves and spectra, joined with a catalogue by id; the account.

    Without either the objects are those of the catalogue.

    curves: one row an id (choose a band); label: a column of the catalogue, the light curves or
    the spectra, in this order
    accounts: of "curves", "spectra" and "catalogue" by their readers; files: where these were read
    Quarantined are constant light curves, spectra that are constant or do not reach the grid, and
    rows of the catalogue with neither.  An object whose light curve or spectrum is lost stays.
    Raises UserError for several light curves of an id, and where there is no part.
    """
    if curves is None and spectra is None and catalogue is None:
        raise UserError("nothing to assemble: give config.data.curves, .spectra or .catalogue")
    own = [] if curves is None else _ids(curves.columns)
    if len(set(own)) < len(own):
        raise UserError(
            "several rows an id among the light curves: choose one config.data.band, or leave one "
            "row an id where there is one band"
        )
    theirs = [] if spectra is None else _ids(spectra.columns)
    ids = list(dict.fromkeys([*own, *theirs]))
    if curves is None and spectra is None:
        ids = _ids(catalogue)
    table, remarks = joined(ids, catalogue)
    parts: dict[str, Any] = {}
    ledgers: dict[str, Ledger] = dict(accounts or {})
    if curves is not None:
        parts["photometry"], lost = _photometry(curves, own, len(ids), table, rules)
        opened = ledgers.get("curves") or opening(len(own), len(curves.time))
        ledgers["curves"] = opened.quarantine(lost)
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


def _photometry(
    curves: Curves, own: list[str], count: int, table: Mapping[str, np.ndarray], rules: str
) -> tuple[Series, list[Quarantined]]:
    """Return the light curves, objects without one behind them, and what was quarantined."""
    flux = 10 ** (-0.4 * (curves.mag.astype(float) - ZERO))
    error = np.nan_to_num(0.4 * np.log(10) * curves.magerr * flux, nan=0.0)  # 0: unknown
    empty = np.full(count - len(own), curves.offsets[-1])
    offsets = np.concatenate([curves.offsets, empty]).astype(np.int64)
    scaled = scale_curves(curves.time, flux, error, offsets)
    lost = [
        Quarantined("", own[k], "", 1, int(curves.lengths[k]), scaled.reason[k])
        for k in range(len(own))
        if scaled.reason[k]
    ]
    constants = constants_of(curves, flux, count, table, rules)
    return series(scaled, constants, rules), lost


def constants_of(
    curves: Curves, flux: np.ndarray, count: int, table: Mapping[str, np.ndarray], rules: str
) -> dict[str, np.ndarray]:
    """Return amplitude (mag), log10 period (days), string length, and officially rfr_score.

    From the catalogue where it knows them, else from the light curve: the height between the 2.5
    and the 97.5 percentile, the best candidate period, the string length folded by it.
    """
    known = {k: table.get(name, np.full(count, np.nan)).copy() for k, name in AUX.items()}
    if rules == "official" and not np.isfinite(known["rfr_score"]).any():
        raise UserError(
            "rules='official' needs the catalogue column 'rfr_score' of ASAS-SN; "
            "config.data.rules=full does without"
        )
    lacking = np.flatnonzero(~np.isfinite(known["period"][: len(curves)]))
    if len(lacking):
        found = candidate_periods(curves.take(lacking), 1).periods[:, 0]
        known["period"][lacking] = np.where(np.isfinite(found), found, np.nan)
    for k in np.flatnonzero(~np.isfinite(known["amplitude"][: len(curves)])):
        part = curves.mag[curves.offsets[k] : curves.offsets[k + 1]]
        if len(part):
            known["amplitude"][k] = np.ptp(np.percentile(part, [2.5, 97.5]))
    period = np.nan_to_num(known["period"][: len(curves)], nan=1.0)
    folded = string_lengths(curves.time, flux, curves.offsets, np.maximum(period, 1e-6))
    own = ~np.isfinite(known["lksl"][: len(curves)])
    known["lksl"][: len(curves)][own] = folded[own]
    positive = np.where(known["period"] > 0, known["period"], np.nan)
    return {**{k: known[k] for k in ("amplitude", "lksl", "rfr_score")},
            "log_period": np.log10(positive)}  # fmt: skip


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
            found = dict(zip(keys, texts, strict=True))
            return [found.get(key) for key in ids]
    return None
