"""What `doctor` looks at in the structure of a survey: order, repeats, keys, lengths, bands."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astro_jax.data.clean import Raw
from astro_jax.data.transient_rules import RawTransients
from astro_jax.data.transients import Transients, trigger_times
from astro_jax.doctor_reading import Finding, Opened, series_of
from astro_jax.passbands import NAMES
from astro_jax.quantiles import medians
from astro_jax.surveys.group import codes

FEW_BAND = 0.01  # share of the observations: a band below it is named
SHARES = (0.1, 0.5, 0.9)


def order(raw: Raw | RawTransients) -> Iterator[Finding]:
    """Say how many curves are not in the order of time."""
    step = np.diff(raw.time)
    curve = np.repeat(np.arange(len(raw)), raw.lengths)
    with np.errstate(invalid="ignore"):
        back = (step < 0) & (curve[1:] == curve[:-1])
    count = len(np.unique(curve[1:][back]))
    if count:
        yield Finding("look", "order", f"{count:,} of {len(raw):,} curves are not in the order of "
                      "time: they are sorted when read")  # fmt: skip
    else:
        yield Finding("ok", "order", "all curves are in the order of time")


def repeats(raw: Raw | RawTransients) -> Iterator[Finding]:
    """Say how many epochs a curve has twice."""
    curve = np.repeat(np.arange(len(raw)), raw.lengths)
    keys = [curve, raw.time] + ([raw.band] if isinstance(raw, RawTransients) else [])
    rows = np.lexsort(keys[::-1])
    same = np.all([key[rows][1:] == key[rows][:-1] for key in keys], axis=0)
    count = int(same.sum())
    if count:
        share = percent(count / len(raw.time))
        curves = len(np.unique(curve[rows][1:][same]))
        yield Finding("look", "duplicates", f"{count:,} observations ({share}) of {curves:,} "
                      "curves repeat an epoch: the first stays")  # fmt: skip
    else:
        yield Finding("ok", "duplicates", "no curve has an epoch twice")


def bands(raw: Raw | RawTransients) -> Iterator[Finding]:
    """Say which bands there are, and how many observations each has."""
    if isinstance(raw, RawTransients):
        place, count = np.unique(raw.band, return_counts=True)
        names = [NAMES[k] if k < len(NAMES) else "unknown bands" for k in place]
    elif "band" in raw.columns.column_names:
        texts = ["none" if b is None else str(b) for b in raw.columns["band"].to_pylist()]
        names, place = np.unique(texts, return_inverse=True)
        count = np.bincount(place, raw.lengths, len(names)).astype(int)
    else:
        yield Finding("ok", "bands", "no column of bands: all curves count as one band")
        return
    total = max(int(np.sum(count)), 1)
    listed = ", ".join(f"{n} {c:,}" for n, c in zip(names, count, strict=True))
    rare = [n for n, c in zip(names, count, strict=True) if c < FEW_BAND * total]
    odd = [n for n in names if n in ("none", "unknown bands")]
    note = f"; hardly any in {', '.join(rare)}" if rare else ""
    yield Finding("look" if rare or odd else "ok", "bands", f"observations: {listed}{note}")


def ids(columns: pa.Table, what: str) -> Iterator[Finding]:
    """Say what the ids are, and whether any are missing."""
    column = columns["id"]
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind, lost = str(column.type), column.null_count
    text = f"{len(column):,} {what}, ids {kind}"
    if lost:
        yield Finding("look", "ids", f"{text}; {lost:,} have none and are set aside")
    else:
        example = ", ".join(str(v) for v in column.slice(0, 2).to_pylist())
        yield Finding("ok", "ids", f"{text}, such as {example}")


def keys(columns: pa.Table) -> Iterator[Finding]:
    """Say how many rows have an id (and band, and survey) that an earlier row has."""
    names = [n for n in ("id", "band", "survey") if n in columns.column_names]
    key = np.zeros(columns.num_rows, np.int64)
    for name in names:
        code = codes(pc.cast(columns[name], pa.string()).combine_chunks())
        key = key * (int(code.max(initial=0)) + 1) + code
    twice = columns.num_rows - len(np.unique(key))
    if twice:
        yield Finding("look", "keys", f"{twice:,} rows repeat the {' and '.join(names)} "
                      "of another: the first stays")  # fmt: skip
    else:
        yield Finding("ok", "keys", f"every row has its own {' and '.join(names)}")


def lengths(size: np.ndarray, window: int, min_points: int) -> Iterator[Finding]:
    """Say how long curves are, and what a window makes of them."""
    low, middle, high = np.quantile(size, SHARES)
    short, long = float(np.mean(size < min_points)), float(np.mean(size > window))
    text = (
        f"median {middle:g} observations, 80 % from {low:g} to {high:g}; {percent(short)} have "
        f"fewer than {min_points}, {percent(long)} more than a window of {window}"
    )
    yield Finding("look" if short > 0.05 else "ok", "lengths", text)


def cadence(raw: Raw | RawTransients) -> Iterator[Finding]:
    """Say how far observations lie apart, and curves reach."""
    time, offsets = raw.time, raw.offsets
    curve = np.repeat(np.arange(len(raw)), raw.lengths)
    rows = np.lexsort((time, curve))
    gap = np.diff(time[rows])
    inner = (curve[rows][1:] == curve[rows][:-1]) & np.isfinite(gap) & (gap > 0)
    if not inner.any():
        yield Finding("look", "cadence", "no curve has two epochs")
        return
    count = np.bincount(curve[rows][1:][inner], minlength=len(raw))
    own = medians(gap[inner], np.concatenate([[0], np.cumsum(count)]))
    span = np.array([np.ptp(time[a:b]) for a, b in zip(offsets, offsets[1:], strict=False)
                     if b - a > 1 and np.isfinite(time[a:b]).all()])  # fmt: skip
    text = f"median gap {np.nanmedian(own):.3g} d"
    text += f", median span {np.median(span):.4g} d" if len(span) else ""
    yield Finding("ok", "cadence", text)


def triggers(transients: Transients) -> Iterator[Finding]:
    """Say how many transients never rise above the noise, and what is known of the others."""
    lacking = float(np.mean(~np.isfinite(trigger_times(transients))))
    level = "look" if lacking > 0.01 else "ok"
    yield Finding(level, "triggers", f"{percent(lacking)} have no point of S/N 5 and no column "
                  "trigger: not seen by a network")  # fmt: skip
    redshift = float(np.isfinite(transients.scalar("redshift")).mean())
    labels = Counter(label for label in transients.label if label)
    named = ", ".join(f"{name} {n:,}" for name, n in labels.most_common(12)) or "none"
    yield Finding("ok", "metadata", f"redshift known of {percent(redshift)}; labels: {named}")


def modalities(opened: Opened) -> Iterator[Finding]:
    """Say which objects have which modality."""
    objects = opened.data
    for name, there in objects.present.items():
        level = "ok" if there.mean() > 0.5 else "look"
        yield Finding(level, name, f"{int(there.sum()):,} of {len(objects):,} objects")
    for name, part in series_of(objects).items():
        size = part.lengths[part.present]
        if len(size):
            low, middle, high = np.quantile(size, SHARES)
            text = f"median {middle:g} observations, 80 % from {low:g} to {high:g}"
            yield Finding("ok", f"{name} lengths", text)


def percent(share: float) -> str:
    """Return a share as text in per cent; what is little is not 0."""
    digits = 2 if share < 0.995 else 4
    return "0 %" if share == 0 else f"{100 * share:.{digits}g} %"
