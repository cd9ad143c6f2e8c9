"""Simulate a survey of transients: no observation here is real.

Eleven classes of supernovae and tidal disruptions (`transient_classes`, which says what was tuned
on real objects) and active nuclei (`agn`), as ZTF, LSST or YSE see them (`transient_surveys`).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from astro_jax.data.simulate.agn import difference, draw_nuclei
from astro_jax.data.simulate.transient_classes import AGN, KINDS, LABELS
from astro_jax.data.simulate.transient_light import draw_events, light
from astro_jax.data.simulate.transient_surveys import SURVEYS, Survey, measure, observe
from astro_jax.data.transients import Transients, trigger_times
from astro_jax.errors import UserError, suggest

BLOCK = 128  # candidates that share a stream of random numbers; another value is another survey
WINDOW = (-30.0, 70.0)  # days around the trigger that are kept, as in AstroMCAD
LABEL_STREAM, CLASS_STREAM = 0, 1
MOST_BLOCKS = 50  # of one class without a find: its limit and its luminosity do not meet


def simulate_transients(
    n: int,
    seed: int,
    survey: str = "ztf",
    shares: Mapping[str, float] | None = None,
    limit: float | None = None,
) -> Transients:
    """Simulate the light curves of `n` transients as "ztf", "lsst" or "yse" finds them.

    A simulation, parts of which were tuned on real objects (see `transient_classes`). A pure
    function of its arguments: transient k of a seed is the same whatever `n`.
    shares: label -> relative number, of LABELS; None: all twelve alike
    limit: magnitude that one 5-sigma point must be brighter than; None: that of the survey
    Kept are the points of -30 to 70 days around the trigger, negative fluxes too ("yse": S/N > 4
    only). Columns: `id` (as "sim-ztf-000123"), `star` (the same), `label`, `redshift` (true),
    `redshift_kind` ("simulation-truth"), `mwebv`, `n_obs`, `survey`.
    Raises UserError for another survey or class, negative shares, count or seed.
    """
    if survey not in SURVEYS:
        raise UserError(f"unknown survey {survey!r} to simulate{suggest(survey, SURVEYS)}")
    if n < 0 or seed < 0:
        raise UserError(f"n and seed must not be negative, got {n} and {seed}")
    share = check_shares(shares)
    limit = SURVEYS[survey].limit if limit is None else float(limit)
    draws = _stream(seed, survey, LABEL_STREAM, 0).random(n)
    kind = np.searchsorted(np.cumsum(share), draws, side="right").clip(max=len(LABELS) - 1)
    parts, origin = [], np.zeros(n, np.int64)
    start = 0
    for code, label in enumerate(LABELS):
        members = np.flatnonzero(kind == code)
        if len(members):
            parts.append(_of_class(label, len(members), seed, survey, limit))
            origin[members] = start + np.arange(len(members))
            start += len(members)
    if not parts:
        return _of_class(AGN, 1, seed, survey, limit).take(np.zeros(0, np.int64))
    transients = join(parts).take(origin)
    names = pa.array([f"sim-{survey}-{k:06d}" for k in range(n)])
    columns = {"id": names, "star": names}
    columns |= {c: transients.columns[c] for c in transients.columns.column_names}
    return transients.with_columns(pa.table(columns))


def check_shares(shares: Mapping[str, float] | None) -> np.ndarray:
    """Return the share of each of LABELS, which add up to 1."""
    shares = dict.fromkeys(LABELS, 1.0) if shares is None else dict(shares)
    for label in shares:
        if label not in LABELS:
            raise UserError(f"no class {label!r} to simulate{suggest(label, LABELS)}")
    share = np.array([float(shares.get(label, 0.0)) for label in LABELS])
    if (share < 0).any() or not share.sum() > 0:
        raise UserError(f"shares must be positive numbers, got {shares}")
    return share / share.sum()


def _stream(seed: int, survey: str, *key: int) -> np.random.Generator:
    place = list(SURVEYS).index(survey)
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence(seed, spawn_key=(place, *key)))
    )


def _of_class(label: str, count: int, seed: int, survey: str, limit: float) -> Transients:
    """Return the first `count` finds of a class, block by block."""
    parts, found, block = [], 0, 0
    while found < count:
        if block > MOST_BLOCKS and not found:
            raise UserError(f"the survey {survey!r} finds no {label} above magnitude {limit:g}")
        rng = _stream(seed, survey, CLASS_STREAM, LABELS.index(label), block)
        parts.append(_block(label, SURVEYS[survey]._replace(limit=limit), survey, rng))
        found += len(parts[-1])
        block += 1
    return join(parts).take(np.arange(count))


def _block(label: str, survey: Survey, name: str, rng: np.random.Generator) -> Transients:
    """Draw BLOCK candidates of a class, observe them, and return those that are found."""
    points = observe(survey, rng, BLOCK)
    where = points.event, points.days, points.wavelength
    if label == AGN:
        objects = draw_nuclei(rng, BLOCK, survey.limit)
        flux = difference(objects, *where, rng)
    else:
        kind = KINDS[LABELS.index(label) - 1]
        objects = draw_events(kind, rng, BLOCK, survey.limit)
        flux = light(kind, objects, *where)
    measured, error, found = measure(survey, points, flux, rng, BLOCK)
    peak = rng.uniform(*survey.years, BLOCK)
    keep = (
        found[points.event] & (measured > survey.snr * error) if survey.snr else found[points.event]
    )
    columns = {
        "label": pa.array([label] * BLOCK),
        "redshift": pa.array(objects.redshift.astype(np.float32).astype(np.float64)),
        "redshift_kind": pa.array(["simulation-truth"] * BLOCK),
        "mwebv": pa.array(objects.mwebv.astype(np.float32).astype(np.float64)),
        "survey": pa.array([name] * BLOCK),
    }
    lengths = np.bincount(points.event[keep], minlength=BLOCK)
    transients = Transients(
        np.round(peak[points.event] + points.days, 5)[keep],
        points.band[keep].astype(np.uint8),
        measured[keep].astype(np.float32),
        error[keep].astype(np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        pa.table(columns),
    )
    return _crop(transients.take(found))


def _crop(transients: Transients) -> Transients:
    """Keep what lies in the window around the trigger; the trigger of the rest is the same."""
    since = transients.time - trigger_times(transients)[transients.curve]
    inside = (since > WINDOW[0]) & (since < WINDOW[1])
    lengths = np.bincount(transients.curve[inside], minlength=len(transients))
    flat = {name: values[inside] for name, values in transients.flat.items()}
    columns = transients.columns.append_column("n_obs", pa.array(lengths.astype(np.int32)))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Transients(**flat, offsets=offsets, columns=columns)


def join(parts: Sequence[Transients]) -> Transients:
    """Put the transients of several simulations one after the other."""
    lengths = np.concatenate([p.lengths for p in parts])
    flat = {name: np.concatenate([p.flat[name] for p in parts]) for name in parts[0].flat}
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Transients(**flat, offsets=offsets, columns=pa.concat_tables([p.columns for p in parts]))
