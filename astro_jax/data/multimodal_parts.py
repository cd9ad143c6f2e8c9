"""Assemble objects from raw parts: a table of light curves, spectra, and a catalogue, by id.

The rules are those of AstroM3 (see `data.multimodal_rules`): what a catalogue lacks of amplitude,
period and string length is computed from the light curve.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
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
from astro_jax.data.read import Choice, load
from astro_jax.data.table import open_parquet
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.surveys.source import split_lines
from astro_jax.surveys.spectra import RawSpectra
from astro_jax.surveys.values import ids as ids_of_text
from astro_jax.surveys.values import numbers, plain, typed_ids

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

    Of a repeated id the last row stays, as in the paper. Ids of text keep their zeros.  Cells of
    the columns that are used as numbers and are none are unknown.
    """
    try:
        table = _catalogue_cells(str(path), id_column)
        ids = [None if v is None else str(v) for v in typed_ids(table[id_column]).to_pylist()]
        table, wrong = _catalogue_numbers(table.drop_columns([id_column]))
    except (OSError, EOFError, ValueError, FileError, pa.ArrowException) as error:
        raise UserError(
            f"{path} cannot be read as a catalogue ({one_line(error)}); give Parquet, or CSV"
        ) from error
    last = sorted({name: k for k, name in enumerate(ids) if name is not None}.values())
    if not last:
        raise UserError(
            f"{path}: no row has an id in column '{id_column}'; there is nothing to use"
        )
    lost = len(ids) - len(last)
    notes = [f"{path}: {lost} rows without an id or with a repeated one: the last stays"]
    notes = [*notes[: min(lost, 1)], *(f"{path}: {remark}" for remark in wrong)]
    table = table.add_column(0, "id", pa.array(ids, pa.string()))
    return table.take(pa.array(last, pa.int64())), tuple(notes)


def _catalogue_cells(path: str, id_column: str) -> pa.Table:
    """Return the cells of a catalogue, of CSV as text; UserError without a column of ids."""
    source = load(path, Choice(None, None, {}))
    if source.data is None:
        table = open_parquet(path)
    else:
        lines = split_lines(source.data, ",")
        table = pa.table(lines.table.columns, names=list(lines.names))
        if lines.broken.any():
            raise FileError(f"{int(lines.broken.sum())} lines with the wrong number of values")
    names = table.column_names
    if id_column not in names:
        raise UserError(f"{path} lacks column '{id_column}'{suggest(id_column, names[:100])}")
    if len(set(names)) < len(names):
        raise FileError(f"column '{max(names, key=names.count)}' occurs more than once")
    return table


def _catalogue_numbers(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Return the table with numbers where it has them, and remarks on cells that hold none.

    A column of text whose cells are all numbers becomes one of numbers.
    """
    remarks = []
    for k, name in enumerate(table.column_names):
        text = pa.types.is_string(plain(table.column(k)).type)
        if name not in (*METADATA, *AUX.values()) and not text:
            continue
        try:
            values, flag = numbers(table.column(k))
        except (FileError, pa.ArrowException) as error:
            raise FileError(f"column '{name}': {one_line(error, 100)}") from error
        if name in METADATA or name in AUX.values():
            if flag.any():
                remarks.append(f"column '{name}': {int((flag > 0).sum())} cells are no numbers")
        elif flag.any() or not np.isfinite(values).any():
            continue
        whole = ids_of_text(table.column(k)) if text else table.column(k)
        keeps = pa.types.is_integer(whole.type)
        table = table.set_column(k, name, whole if keeps else pa.array(values, from_pandas=True))
    return table, remarks


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
        raise UserError(
            "several rows an id among the light curves: choose one config.data.band, or leave one "
            "row an id where there is one band"
        )
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
        parts["metadata"] = _metadata(table, len(ids), rules)
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
    rows = np.array([place.get(name, -1) for name in ids], np.int64)
    table = {}
    for name in catalogue.column_names:
        kind = catalogue[name].type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            values = catalogue[name].cast(pa.float64(), safe=False).to_numpy()
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


def _metadata(table: Mapping[str, np.ndarray], count: int, rules: str) -> Features:
    """Return the catalogue columns; in `full` a column that is not there is unknown."""
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
