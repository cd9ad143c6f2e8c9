"""From `config.data` to the transients of a run, with the account of every row."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from ml_collections import ConfigDict

from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.read import as_bands
from astro_jax.data.read_transients import read_transients
from astro_jax.data.simulate.transient_classes import LABELS, PARENT
from astro_jax.data.simulate.transients import join, simulate_transients
from astro_jax.data.transients import Transients, cut_snr, keep_bands
from astro_jax.errors import UserError


def load_transients(config: ConfigDict, every_row: bool = False) -> tuple[Transients, Ledger]:
    """Read the transients at `config.data.path`, or simulate some where there is no path.

    every_row: see `read_transients`
    """
    data = config.data
    if data.path:
        columns = {role: name for role, name in data.columns.items() if name}
        if data.get("label", "label") != "label":
            columns["label"] = data.label
        transients, ledger = read_transients(
            data.path,
            format=data.format or None,
            survey=data.survey or None,
            zero_point=data.zero_point or None,
            band=data.band or None,
            snr=data.snr,
            time_format=data.time_format or None,
            columns=columns,
            every_row=every_row,
        )
    else:
        transients = simulate(data.simulate, config.seed)
        ledger = opening(len(transients), len(transients.time))
        transients, ledger = keep_bands(transients, ledger, as_bands(data.band))
        transients, ledger = cut_snr(transients, ledger, data.snr)
    return transients, ledger


def simulate(wanted: ConfigDict, seed: int) -> Transients:
    """Simulate `wanted.transients` objects, as many as each of `wanted.surveys` sees.

    wanted.classes: of them only, all equally frequent; none given: the twelve; wanted.types: label
    them by type
    """
    surveys = surveys_of(wanted)
    shares = dict.fromkeys(wanted.classes or LABELS, 1.0)
    count = -(-wanted.transients // len(surveys))
    found = join([simulate_transients(count, seed, name, shares) for name in surveys])
    return with_types(found) if wanted.types else found


def surveys_of(wanted: ConfigDict) -> Sequence[str]:
    """Return the names of the surveys to simulate; UserError where none is given."""
    surveys = as_bands(wanted.surveys)
    if not surveys or not all(surveys):
        raise UserError("config.data.simulate.surveys is empty: give ztf, lsst or yse, or a path")
    return surveys


def with_types(transients: Transients) -> Transients:
    """Return the same transients with the type of each label (SNIIn: SNII) in its place."""
    types = [None if label is None else PARENT.get(label, label) for label in transients.label]
    columns = transients.columns
    place = columns.column_names.index("label")
    return transients.with_columns(columns.set_column(place, "label", pa.array(types, pa.string())))


def without_metadata(transients: Transients, names: Sequence[str]) -> Transients:
    """Return the same transients with null in the columns `names`, as if nothing were known."""
    columns = transients.columns
    for name in names:
        if name in columns.column_names:
            place = columns.column_names.index(name)
            empty = pa.array(np.full(len(transients), np.nan), from_pandas=True)
            columns = columns.set_column(place, name, empty)
    return transients.with_columns(columns)
