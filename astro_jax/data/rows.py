"""Rows of raw surveys: joining files, keeping some, finding repeated keys."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import NO_ID, REASONS, Raw, label_rows
from astro_jax.data.ledger import Ledger, Quarantined
from astro_jax.surveys.group import codes

DUPLICATE = "repeated key: another row before it has this id and band"
KEY = ("id", "band", "survey")


def join(raws: Sequence[Raw], files: Sequence[str]) -> tuple[Raw, np.ndarray]:
    """Return the curves of all files as one record, and the file of each curve, [N] text."""
    lengths = np.concatenate([r.lengths for r in raws])
    flat = {name: np.concatenate([r.flat[name] for r in raws]) for name in raws[0].flat}
    lost = tuple(row._replace(file=f) for r, f in zip(raws, files, strict=True) for row in r.lost)
    raw = replace(
        raws[0],
        **flat,
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        columns=join_columns([r.columns for r in raws]),
        lost=lost,
        notes=tuple(dict.fromkeys(n for r in raws for n in r.notes)),
    )
    return raw, np.repeat(np.array(files, object), [len(r) for r in raws])


def join_columns(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables of scalar columns: null where a file lacks a column, text where kinds differ.

    An id that is whole numbers in one file and text in another is text in all.
    """
    tables = [t.replace_schema_metadata(None) for t in tables]
    kinds: dict[str, set] = {}
    for table in tables:
        for field in table.schema if table.num_rows else ():
            kinds.setdefault(field.name, set()).add(field.type)
    texts = {n for n, types in kinds.items() if clash(types - {pa.null()})}
    if texts:
        tables = [to_text(t, texts) for t in tables]
    full = [t for t in tables if t.num_rows] or tables[:1]
    return pa.concat_tables(full, promote_options="permissive").combine_chunks()


def clash(types: set) -> bool:
    """Tell types that have no common one but text: not all numbers of one kind."""
    if len(types) < 2:
        return False
    numeric = all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in types)
    return not (numeric and not {pa.int64(), pa.uint64()} & types)


def to_text(table: pa.Table, names: set[str]) -> pa.Table:
    """Return a table with the columns `names` as text."""
    for k, name in enumerate(table.column_names):
        if name in names:
            table = table.set_column(k, name, table.column(k).cast(pa.string()))
    return table


def filter_rows(
    raw: Raw, files: np.ndarray, ledger: Ledger, keep: np.ndarray, reason: str
) -> tuple[Raw, np.ndarray, Ledger]:
    """Drop curves by a choice of the user, and enter them as filtered."""
    if keep.all():
        return raw, files, ledger
    gone = int(np.diff(raw.offsets)[~keep].sum())
    return raw.take(keep), files[keep], ledger.filter(int(np.sum(~keep)), gone, reason)


def quarantine_rows(
    raw: Raw, files: np.ndarray, before: np.ndarray | None = None
) -> tuple[Raw, np.ndarray, list[Quarantined]]:
    """Take out curves without id and curves whose key (id and band) occurred before.

    before: [N] bool, True = in an earlier piece of the survey
    Where a column says so, curves of two surveys differ: OGLE-III and OGLE-IV number a star alike
    and observed it at other times.
    """
    no_id = raw.columns["id"].is_null().to_numpy(zero_copy_only=False)
    key = np.zeros(len(raw), np.int64)
    for name in KEY:
        if name in raw.columns.column_names:
            code = codes(raw.columns[name].combine_chunks())
            key = key * (code.max(initial=0) + 1) + code
    repeated = np.ones(len(raw), bool)
    repeated[np.unique(key, return_index=True)[1]] = False
    if before is not None:
        repeated |= before
    bad = no_id | repeated
    if not bad.any():
        return raw, files, []
    lengths = np.diff(raw.offsets)
    reasons = np.where(no_id, REASONS[NO_ID], DUPLICATE)
    rows = [(int(k), 1, int(lengths[k]), str(reasons[k])) for k in np.flatnonzero(bad)]
    return raw.take(~bad), files[~bad], label_rows(rows, raw.columns, files)
