"""Assemble objects from raw parts: a table of light curves, spectra, and a catalogue, by id.

The rules are those of AstroM3 (see `data.multimodal_rules`): what a catalogue lacks of amplitude,
period and string length is computed from the light curve.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Ledger, Quarantined, opening
from astro_jax.data.multimodal import Features, Objects, Series, Spectra
from astro_jax.data.multimodal_rules import (
    METADATA,
    SPECTRUM_CHANNELS,
    SPECTRUM_RULES,
    WAVELENGTHS,
    choose,
    features,
    scale_curves,
    series,
    string_lengths,
    wavelength_grid,
)
from astro_jax.data.periods import candidate_periods
from astro_jax.errors import UserError, suggest
from astro_jax.surveys.spectra import RawSpectra

ZERO = 16.4  # magnitude of 1 mJy (AB)
# Constants of a light curve -> columns of the ASAS-SN catalogue
AUX = {
    "amplitude": "amplitude",
    "period": "period",
    "lksl": "lksl_statistic",
    "rfr_score": "rfr_score",
}


def read_catalogue(path: str | Path, id_column: str = "id") -> tuple[pa.Table, tuple[str, ...]]:
    """Return a catalogue (Parquet or CSV) with `id` as text, one row an id, and remarks.

    Of a repeated id the last row stays, as in the paper.
    """
    path = Path(path)
    try:
        table = pa_csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0][:150]})") from error
    if id_column not in table.column_names:
        raise UserError(
            f"{path} lacks column '{id_column}'{suggest(id_column, table.column_names)}"
        )
    ids = table[id_column].cast(pa.string()).to_pylist()
    last = sorted({name: k for k, name in enumerate(ids) if name is not None}.values())
    lost = len(ids) - len(last)
    notes = (f"{path}: {lost} rows without an id or with a repeated one: the last stays",)
    k = table.column_names.index(id_column)
    table = table.set_column(k, "id", pa.array(ids, pa.string())).take(pa.array(last, pa.int64()))
    return table, notes if lost else ()


def assemble(
    curves: Curves | None,
    spectra: RawSpectra | None,
    catalogue: pa.Table | None,
    rules: str = "full",
    wavelengths: tuple = WAVELENGTHS,
    label: str = "label",
    ledger: Ledger | None = None,
) -> tuple[Objects, Ledger]:
    """Return the objects of light curves and spectra, joined with a catalogue by id; the account.

    Without either the objects are those of the catalogue.

    curves: one row an id (choose a band); label: a column of the catalogue, the light curves or
    the spectra, in this order
    ledger: the account of the curves.  Constant light curves are quarantined; spectra that are
    constant or do not reach the grid have no pixel observed.  What is not joined is a remark.
    """
    if curves is None and spectra is None and catalogue is None:
        raise UserError("nothing to assemble: give config.data.curves, .spectra or .catalogue")
    own = [] if curves is None else _ids(curves.columns)
    if len(set(own)) < len(own):
        raise UserError("several rows an id among the light curves: choose one config.data.band")
    theirs = [] if spectra is None else _ids(spectra.columns)
    ids = list(dict.fromkeys([*own, *theirs]))
    if curves is None and spectra is None:
        ids = _ids(catalogue)
    account = ledger or opening(len(own), 0 if curves is None else len(curves.time))
    new = len(ids) - len(own)
    account = Ledger(
        read=type(account.read)(account.read.objects + new, account.read.observations),
        kept=type(account.kept)(account.kept.objects + new, account.kept.observations),
        drops=account.drops, rows=account.rows, notes=account.notes,
    )  # fmt: skip
    table, remarks = joined(ids, catalogue)
    parts: dict[str, Any] = {}
    if curves is not None:
        parts["photometry"], lost = _photometry(curves, own, len(ids), table, rules)
        account = account.quarantine(lost)
    if spectra is not None:
        parts["spectrum"], unseen = _spectra(spectra, theirs, ids, rules, wavelengths)
        remarks += (f"{unseen} spectra are constant or do not reach the grid",) if unseen else ()
    if catalogue is not None:
        parts["metadata"] = _metadata(table, rules)
    columns = {"id": pa.array(ids, pa.string())}
    names = _labels(label, ids, ((catalogue, None), (curves and curves.columns, own),
                                 (spectra and spectra.columns, theirs)))  # fmt: skip
    if names is not None:
        columns["label"] = pa.array(names, pa.string())
    for name in ("period", "bp_rp", "phot_g_mean_mag", "mean_vmag", "parallax"):
        if name in table:
            columns[name] = pa.array(table[name])
    return Objects(pa.table(columns), parts), account.note(*remarks)


def _ids(columns: pa.Table) -> list[str]:
    return columns["id"].cast(pa.string()).to_pylist()


def joined(ids: Sequence[str], catalogue: pa.Table | None) -> tuple[dict[str, np.ndarray], tuple]:
    """Return the numeric columns of a catalogue in the order of `ids`, NaN where not joined."""
    if catalogue is None:
        return {}, ()
    place = {name: k for k, name in enumerate(catalogue["id"].to_pylist())}
    rows = np.array([place.get(name, -1) for name in ids])
    table = {}
    for name in catalogue.column_names:
        kind = catalogue[name].type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            values = catalogue[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
            table[name] = np.where(rows >= 0, np.append(values, np.nan)[rows], np.nan)
    remarks = []
    lone, unused = int((rows < 0).sum()), len(place) - len(set(rows[rows >= 0].tolist()))
    if lone:
        remarks.append(f"{lone} of {len(ids)} objects are not in the catalogue")
    if unused:
        remarks.append(f"{unused} catalogue rows have neither light curve nor spectrum")
    return table, tuple(remarks)


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
        Quarantined("", own[k], "", 0, int(curves.lengths[k]), scaled.reason[k])
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
) -> tuple[Spectra, int]:
    """Return the spectra by object, the best first, and how many have no pixel on the grid."""
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
    return part, int((~seen).sum())


def _metadata(table: Mapping[str, np.ndarray], rules: str) -> Features:
    """Return the catalogue columns; in `full` a column that is not there is unknown."""
    count = len(next(iter(table.values()))) if table else 0
    if rules == "full":
        table = {name: table.get(name, np.full(count, np.nan)) for name in METADATA}
    return features(table, rules)


def _labels(name: str, ids: Sequence[str], sources: Sequence[tuple]) -> list[str | None] | None:
    """Return the labels of objects from the first table that has the column, None if none has."""
    for columns, own in sources:
        if columns is not None and name in columns.column_names:
            keys = columns["id"].to_pylist() if own is None else own
            texts = [None if v is None else str(v) for v in columns[name].to_pylist()]
            found = dict(zip(keys, texts, strict=True))
            return [found.get(key) for key in ids]
    return None
