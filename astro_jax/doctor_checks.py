"""What `doctor` looks at in a survey: each check is a function of what was read to findings."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from astro_jax.data.clean import SENTINEL_MAG, UNKNOWN_ERROR, Raw
from astro_jax.data.transient_rules import RawTransients
from astro_jax.data.transients import Transients
from astro_jax.doctor_reading import Finding, Opened, account_of
from astro_jax.doctor_structure import (
    bands,
    cadence,
    ids,
    keys,
    lengths,
    modalities,
    order,
    percent,
    repeats,
    triggers,
)
from astro_jax.errors import kind_and_text
from astro_jax.surveys.origin import OFFSETS, SURVEY_ERA

STORED = (("JD", -2400000.5), ("MJD", 0.0), ("JD - 2450000", 49999.5))  # the coarsest first
ALL_BUT_FEW = 0.99  # of the observations: a rule with so few exceptions is one of the file
FLOAT32_DAYS = 1e-3  # a spacing of float32 above it moves observations by more than 40 s
GRIDS = (1.0, 0.5, 0.1, 0.01)  # days, to which times are rounded
COARSE = 0.5  # days: float32 of any origin holds such times exactly
USUAL_MAG = (-15.0, 35.0)  # instrumental ones of MACHO reach -10, the deepest surveys 30
MOST_SENTINELS = 20  # values that stand for "not measured"; more of them are measurements
LARGE_ERROR = 1.0  # mag, as the median: an observation says nothing then
STACKED = 0.02  # share of the magnitudes with one and the same extreme value


def check(opened: Opened, window: int, min_points: int) -> Iterator[Finding]:
    """Yield the findings of all checks that fit the kind of a survey.

    A check that fails on what it sees is a finding too: nothing a survey holds ends the inspection.
    """
    for examine in checks(opened, window, min_points):
        try:
            yield from examine()
        except Exception as error:
            name = getattr(examine, "func", examine).__name__
            logging.exception("check %s", name)
            reason = kind_and_text(error)
            yield Finding("look", name, f"could not be checked ({reason}): an unexpected layout")


def checks(opened: Opened, window: int, min_points: int) -> list[Callable[[], Iterator[Finding]]]:
    """Return the checks that fit the kind of a survey."""
    raw, found = opened.raw, [partial(account, opened)]
    if opened.kind == "objects":
        if opened.data is not None:
            found += [partial(modalities, opened), partial(ids, opened.data.columns, "objects")]
        return found
    if raw is None or not len(raw.time):
        return [*found, lambda: iter([Finding("stop", "data", "no observation could be read")])]
    of_raw = [fluxes] if opened.kind == "transients" else [magnitudes, magnitude_errors, sentinels]
    found += [partial(f, raw) for f in (times, *of_raw, order, repeats, bands, cadence)]
    found += [partial(precision, raw.time), partial(ids, raw.columns, "rows")]
    found += [partial(keys, raw.columns), partial(lengths, raw.lengths, window, min_points)]
    return found + ([partial(triggers, opened.data)] if isinstance(opened.data, Transients) else [])


def account(opened: Opened) -> Iterator[Finding]:
    """Say which share of objects and observations a run would quarantine, and why."""
    ledger = account_of(opened)
    if not ledger.read.objects:
        return
    share = ledger.quarantined.objects / ledger.read.objects
    points = ledger.quarantined.observations / max(ledger.read.observations, 1)
    text = (
        f"{ledger.quarantined.objects:,} of {ledger.read.objects:,} objects ({percent(share)}) and "
        f"{percent(points)} of the observations"
    )
    reasons: Counter = Counter()
    for row in ledger.rows:
        reasons[row.reason] += max(row.observations, 1)
    common = "; ".join(reason for reason, _ in reasons.most_common(3))
    level = "stop" if share == 1 else "look" if share > 0.01 or points > 0.01 else "ok"
    yield Finding(level, "quarantine", f"{text}{': ' if common else ''}{common}")


def times(raw: Raw | RawTransients) -> Iterator[Finding]:
    """Say where the times lie, and how many are outside of the era of surveys."""
    finite = raw.time[np.isfinite(raw.time)]
    if not len(finite):
        yield Finding("stop", "times", "no time is a finite number")
        return
    how = next((n.rpartition("times read as ")[2] for n in raw.notes if "times read as" in n), "")
    low, middle, high = np.quantile(finite, [0, 0.5, 1])
    era = (finite >= SURVEY_ERA[0]) & (finite <= SURVEY_ERA[1])
    text = f"MJD {low:.2f} to {high:.2f}, years {year(low):.1f} to {year(high):.1f}"
    text += f", read as {how}" if how else ""
    if era.mean() < ALL_BUT_FEW:
        fits = [n for n, o in OFFSETS.items() if SURVEY_ERA[0] <= middle + o <= SURVEY_ERA[1]]
        hint = f"; as {' or '.join(fits)} they would fit: --config.data.time_format" if fits else ""
        yield Finding("stop", "times", f"{text}: {percent(1 - era.mean())} lie outside of "
                      f"{year(SURVEY_ERA[0]):.0f} to {year(SURVEY_ERA[1]):.0f}{hint}")  # fmt: skip
        return
    lost = len(raw.time) - len(finite)
    note = f"; {lost:,} are missing or not finite" if lost else ""
    yield Finding("look" if lost else "ok", "times", text + note)


def precision(time: np.ndarray) -> Iterator[Finding]:
    """Say whether times went through float32, or are rounded."""
    time = np.unique(time[np.isfinite(time)])[:100_000]
    if len(time) < 3:
        return
    rounded = next((grid for grid in GRIDS if on_grid(time, grid)), 0.0)
    if not rounded and on_grid(time + 0.5, 1.0):
        rounded = 1.0
    for name, offset in STORED:
        given = time - offset
        step = float(np.spacing(np.float32(np.median(np.abs(given)))))
        exact = np.mean(given.astype(np.float32) == given) > ALL_BUT_FEW
        if step > FLOAT32_DAYS and exact and rounded < COARSE:
            text = (
                f"times went through float32 as {name}: they stand on a grid of {step:.3g} d, "
                f"observations are moved by up to {1440 * step / 2:.3g} minutes; export float64"
            )
            yield Finding("stop" if step > 0.1 else "look", "precision", text)
            return
    if rounded:
        level = "look" if rounded >= COARSE else "ok"
        text = f"times are rounded to {rounded:g} d: what varies faster cannot be seen"
        yield Finding(level, "precision", text)
        return
    yield Finding("ok", "precision", "times keep more than float32 would")


def on_grid(time: np.ndarray, grid: float) -> bool:
    """Tell times nearly all of which are multiples of a grid, in days."""
    parts = time / grid
    return bool(np.mean(np.abs(parts - np.round(parts)) < 1e-5 / grid * 0.1) > ALL_BUT_FEW)


def magnitudes(raw: Raw) -> Iterator[Finding]:
    """Say where magnitudes lie, and whether they look like fluxes."""
    everything = raw.mag[np.isfinite(raw.mag)]
    mag = everything[np.abs(everything) < SENTINEL_MAG]
    if not len(everything):
        yield Finding("stop", "magnitudes", "no magnitude is a finite number")
        return
    far = everything[np.abs(everything) >= SENTINEL_MAG]
    seen = everything if len(np.unique(far)) > MOST_SENTINELS else mag
    low, middle, high = np.quantile(seen if len(seen) else everything, [0.01, 0.5, 0.99])
    wide = np.mean((seen < USUAL_MAG[0]) | (seen > USUAL_MAG[1])) if len(seen) else 0.0
    text = f"median {middle:.4g}, 1 % below {low:.4g}, 1 % above {high:.4g}"
    if wide > 0.2 or (len(mag) and np.std(mag) > 15):
        yield Finding("stop", "units", f"{text}: no magnitudes; fluxes? give --config.kind="
                      "transients, or name the column: --config.data.columns.mag")  # fmt: skip
    elif middle < 0:
        yield Finding("ok", "units", f"magnitudes: {text}; instrumental, or absolute")
    else:
        yield Finding("ok", "units", f"magnitudes: {text}")


def magnitude_errors(raw: Raw) -> Iterator[Finding]:
    """Say where the errors of magnitudes lie, and how many say nothing."""
    err = raw.magerr
    with np.errstate(invalid="ignore"):
        known = np.isfinite(err) & (err > 0) & (err < UNKNOWN_ERROR)
    share = float(known.mean()) if len(err) else 0.0
    if not known.any():
        yield Finding("look", "errors", "no magnitude has a usable error: a run does without")
        return
    low, middle, high = np.quantile(err[known], [0.05, 0.5, 0.95])
    text = f"median {middle:.3g} mag, 90 % from {low:.3g} to {high:.3g}"
    text += f"; {percent(1 - share)} unknown (missing, not positive, or 9 and more)"
    odd = "; larger than 1 mag: other units, or another column?" if middle > LARGE_ERROR else ""
    odd += "; all the same: a placeholder?" if low == high and known.sum() > 10 else ""
    yield Finding("look" if odd or share < 0.9 else "ok", "errors", text + odd)


def sentinels(raw: Raw) -> Iterator[Finding]:
    """Say which magnitudes stand for "not measured"."""
    finite = np.isfinite(raw.mag)
    far = finite & (np.abs(raw.mag) >= SENTINEL_MAG)
    if far.any():
        values = ", ".join(f"{v:g}" for v, _ in Counter(raw.mag[far].tolist()).most_common(3))
        yield Finding("look", "sentinels", f"{percent(far.mean())} of the magnitudes lie "
                      f"{SENTINEL_MAG:g} or more from 0 ({values}): set aside")  # fmt: skip
        finite &= ~far
    mag = raw.mag[finite]
    if len(mag) < 50:
        return
    value, count = Counter(mag.tolist()).most_common(1)[0]
    middle = np.median(mag)
    spread = 1.4826 * np.median(np.abs(mag - middle))
    if count > STACKED * len(mag) and abs(value - middle) > 5 * spread:
        share = percent(count / len(mag))
        yield Finding("stop", "sentinels", f"{share} of the magnitudes are "
                      f"exactly {value:g}, far from all others, and no run would set them aside: "
                      "remove them if they mean 'not measured'")  # fmt: skip
    elif not far.any():
        yield Finding("ok", "sentinels", "none")


def fluxes(raw: RawTransients) -> Iterator[Finding]:
    """Say where fluxes and their errors lie, and whether non-detections are there."""
    known = np.isfinite(raw.flux) & np.isfinite(raw.fluxerr) & (raw.fluxerr > 0)
    if not known.any():
        yield Finding("stop", "units", "no flux has a positive error")
        return
    flux, err = raw.flux[known], raw.fluxerr[known]
    low, middle, high = np.quantile(flux, [0.01, 0.5, 0.99])
    brightest = 27.5 - 2.5 * np.log10(max(high, 1e-9))
    text = f"FLUXCAL: median {middle:.4g}, 1 % below {low:.4g}, 1 % above {high:.4g} (AB magnitude "
    text += f"{brightest:.1f}); median S/N {np.median(flux / err):.3g}"
    text += "".join(f"; {n}" for n in raw.notes if "zero point" in n or "AB magnitudes" in n)
    odd = brightest < 5 or brightest > 27
    hint = ": too bright or too faint for a survey; another zero point? --config.data.zero_point"
    yield Finding("look" if odd else "ok", "units", text + (hint if odd else ""))
    negative = float(np.mean(flux < 0))
    lost = 1 - float(known.mean())
    if lost > 0:
        yield Finding("look", "errors", f"{percent(lost)} of the fluxes lack a value or a positive "
                      "error: set aside")  # fmt: skip
    if not negative:
        yield Finding("look", "detections", "no negative flux: detections only; forced photometry "
                      "tells more before the rise")  # fmt: skip
    else:
        yield Finding("ok", "detections", f"{percent(negative)} of the fluxes are negative, as "
                      "forced photometry has them")  # fmt: skip


def year(mjd: float) -> float:
    """Return the calendar year of a date, as a decimal number."""
    return 1858.88 + mjd / 365.25
