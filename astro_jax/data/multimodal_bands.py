"""Light curves in one band or several as modalities: `photometry`, `photometry_g`, and so on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from astro_jax.data.curves import Curves
from astro_jax.data.ledger import Quarantined
from astro_jax.data.multimodal import Series
from astro_jax.data.multimodal_catalogue import AUX
from astro_jax.data.multimodal_rules import scale_curves, series, string_lengths
from astro_jax.data.periods import candidate_periods
from astro_jax.errors import UserError

FIRST = "photometry"
ZERO = 16.4  # magnitude of 1 mJy (AB)
OF_THE_STAR = ("period", "rfr_score")  # the others are of its first band


def band_modalities(bands: Sequence[str], known: Iterable[str] = ()) -> dict[str, str]:
    """Return the modality of each band, {band: modality}; of no band {"": "photometry"}.

    A band g is `photometry_g` where `known`, the modalities of a model or a run, has that.  The
    first of the others is `photometry`, the rest are `photometry_<band>` as well.
    Raises UserError where a band is given twice.
    """
    twice = [band for k, band in enumerate(bands) if band in bands[:k]]
    if twice:
        raise UserError(f"config.data.band={','.join(bands)} has '{twice[0]}' twice; give it once")
    names = {band: f"{FIRST}_{band}" for band in bands}
    first = next((band for band, name in names.items() if name not in set(known)), None)
    return (names if first is None else {**names, first: FIRST}) or {"": FIRST}


def further_bands(names: Iterable[str]) -> list[str]:
    """Return the names of modalities that are light curves in another band than the first."""
    return [name for name in names if name.startswith(f"{FIRST}_")]


def band_part(
    curves: Curves,
    band: str,
    ids: Sequence[str],
    table: Mapping[str, np.ndarray],
    rules: str,
    first: bool = True,
) -> tuple[Series, list[Quarantined]]:
    """Return the light curves in a band by object, and those that were quarantined.

    band: "" takes all curves; ids: of the N objects; table: their catalogue columns, [N] each
    first: whether it is the band that amplitude and string length of the catalogue are of
    """
    own = aligned(curves, band, ids)
    flux = 10 ** (-0.4 * (own.mag.astype(float) - ZERO))
    error = np.nan_to_num(0.4 * np.log(10) * own.magerr * flux, nan=0.0)  # 0: unknown
    scaled = scale_curves(own.time, flux, error, own.offsets)
    lost = [
        Quarantined("", ids[k], band, 1, int(own.lengths[k]), scaled.reason[k])
        for k in np.flatnonzero(own.lengths > 0)
        if scaled.reason[k]
    ]
    told = {name: column for name, column in AUX.items() if first or name in OF_THE_STAR}
    known = {name: table[column] for name, column in told.items() if column in table}
    return series(scaled, constants_of(own, flux, known, rules), rules), lost


def aligned(curves: Curves, band: str, ids: Sequence[str]) -> Curves:
    """Return the light curves in a band ("": all) in the order of `ids`, empty where none is."""
    if band:
        there = pc.is_in(curves.columns["band"], pa.array([band]))
        curves = curves.take(there.to_numpy(zero_copy_only=False))
    own = curves.columns["id"].cast(pa.string()).to_pylist()
    if len(set(own)) < len(own):
        raise UserError(
            "several rows an id among the light curves: choose config.data.band (one, or two as in "
            "V,g for a model of two bands), or leave one row an id where there is one band"
        )
    place = {name: k for k, name in enumerate(ids)}
    owner = np.array([place[name] for name in own], np.int64)
    sorted_curves = curves.take(np.argsort(owner))
    size = np.zeros(len(ids), np.int64)
    size[owner] = curves.lengths
    return replace(
        sorted_curves,
        offsets=np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
        columns=pa.table({"id": pa.array(ids, pa.string())}),
    )


def constants_of(
    curves: Curves, flux: np.ndarray, told: Mapping[str, np.ndarray], rules: str
) -> dict[str, np.ndarray]:
    """Return amplitude (mag), log10 period (days), string length, and officially rfr_score.

    Those that are told, [N] each, NaN = unknown; else from the light curve: the height between the
    2.5 and the 97.5 percentile, the best candidate period, the string length folded by it.
    """
    known = {name: told.get(name, np.full(len(curves), np.nan)).copy() for name in AUX}
    if rules == "official" and not np.isfinite(known["rfr_score"]).any():
        raise UserError(
            "rules='official' needs the catalogue column 'rfr_score' of ASAS-SN; "
            "config.data.rules=full does without"
        )
    there = curves.lengths > 0
    lacking = np.flatnonzero(there & ~np.isfinite(known["period"]))
    if len(lacking):
        found = candidate_periods(curves.take(lacking), 1).periods[:, 0]
        known["period"][lacking] = np.where(np.isfinite(found), found, np.nan)
    for k in np.flatnonzero(there & ~np.isfinite(known["amplitude"])):
        part = curves.mag[curves.offsets[k] : curves.offsets[k + 1]]
        known["amplitude"][k] = np.ptp(np.percentile(part, [2.5, 97.5]))
    period = np.maximum(np.nan_to_num(known["period"], nan=1.0), 1e-6)
    folded = string_lengths(curves.time, flux, curves.offsets, period)
    own = there & ~np.isfinite(known["lksl"])
    known["lksl"][own] = folded[own]
    positive = np.where(known["period"] > 0, known["period"], np.nan)
    return {**{k: known[k] for k in ("amplitude", "lksl", "rfr_score")},
            "log_period": np.log10(positive)}  # fmt: skip
