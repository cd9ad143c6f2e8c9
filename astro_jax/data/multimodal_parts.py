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
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.multimodal import Features, Objects, Spectra
from astro_jax.data.multimodal_bands import AUX, FIRST, band_part
from astro_jax.data.multimodal_rules import (
    METADATA,
    SPECTRUM_CHANNELS,
    SPECTRUM_RULES,
    WAVELENGTHS,
    choose,
    features,
    wavelength_grid,
)
from astro_jax.data.read import Choice, load
from astro_jax.data.table import open_parquet
from astro_jax.errors import UserError, one_line, suggest
from astro_jax.surveys.source import split_lines
from astro_jax.surveys.spectra import RawSpectra
from astro_jax.surveys.values import ids as ids_of_text
from astro_jax.surveys.values import numbers, plain, typed_ids


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
    bands: Mapping[str, str] | None = None,
) -> tuple[Objects, Ledger]:
    """Return the objects of light curves and spectra, joined with a catalogue by id; the account.

    Without either the objects are those of the catalogue.

    curves: one row an id and band; label: a column of the catalogue, the light curves or the
    spectra, in this order
    ledger: the account of the curves.  Constant light curves are quarantined; spectra that are
    constant or do not reach the grid have no pixel observed.  What is not joined is a remark, and
    so are the objects that lack one of several bands.
    bands: {band: modality}, see `multimodal_bands.band_modalities`; without, one row an id
    Raises UserError where there is nothing, or where an id has several light curves in a band.
    """
    if curves is None and spectra is None and catalogue is None:
        raise UserError("nothing to assemble: give config.data.curves, .spectra or .catalogue")
    own = [] if curves is None else _ids(curves.columns)
    theirs = [] if spectra is None else _ids(spectra.columns)
    ids = list(dict.fromkeys([*own, *theirs]))
    if curves is None and spectra is None:
        ids = _ids(catalogue)
    account = ledger or opening(len(own), 0 if curves is None else len(curves.time))
    new = len(ids) - len(own)  # an object counts once, in however many bands
    account = Ledger(
        read=type(account.read)(account.read.objects + new, account.read.observations),
        kept=type(account.kept)(account.kept.objects + new, account.kept.observations),
        drops=account.drops, rows=account.rows, notes=account.notes,
    )  # fmt: skip
    table, remarks = joined(ids, catalogue)
    parts: dict[str, Any] = {}
    bands = bands or {"": FIRST}
    for band, name in bands.items() if curves is not None else ():
        parts[name], lost = band_part(curves, band, ids, table, rules, name == FIRST)
        account = account.quarantine(lost)
        lacking = int((~parts[name].present).sum())
        if lacking and len(bands) > 1:
            remarks += (f"{lacking} of {len(ids)} objects have no light curve in {band} ({name})",)
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
            pairs = zip(keys, texts, strict=True)
            found = {key: text for key, text in pairs if text is not None}
            return [found.get(key) for key in ids]
    return None
