"""From `config.data` to the curves of a run, with the account of every row."""

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from astro_jax.data.curves import Curves
from astro_jax.data.filters import noise_cut
from astro_jax.data.ledger import Ledger, opening
from astro_jax.data.read import as_bands, read_survey
from astro_jax.data.simulate import simulate_survey
from astro_jax.data.split import split_by_star
from astro_jax.errors import UserError

PATHS = ("path", "curves", "spectra", "catalogue")  # keys of `config.data` that name files


class Parts(NamedTuple):
    """The curves of a run, split by star, and the account."""

    train: Curves
    valid: Curves
    test: Curves
    ledger: Ledger


def load_parts(config: ConfigDict) -> Parts:
    """Read (or simulate) the survey of `config.data`, cut noise, split by star."""
    curves, ledger = load_curves(config)
    curves, ledger = cut(curves, ledger, config.data)
    rows = split_by_star(curves.star, *config.data.split)
    return Parts(*(curves.take(rows[part]) for part in ("train", "valid", "test")), ledger)


def announce(config: ConfigDict) -> str:
    """Say in one line where the data of a run come from."""
    data = config.data
    paths = [data[name] for name in PATHS if data.get(name)]
    if paths:
        return f"Reading {', '.join(paths)}"
    wanted = data.simulate
    if "bands" in wanted:
        return (
            f"No config.data.path: simulating {wanted.stars} stars in light curves, spectra and "
            f"catalogue (seed {config.seed})"
        )
    if "transients" in wanted:
        seen = ", ".join(name.upper() for name in as_bands(wanted.surveys))
        return (
            f"No config.data.path: simulating {wanted.transients} transients, {seen}-like "
            f"(seed {config.seed})"
        )
    return (
        f"No config.data.path: simulating a {wanted.survey.upper()}-like survey of "
        f"{wanted.stars} stars (seed {config.seed})"
    )


def load_curves(config: ConfigDict, every_row: bool = False) -> tuple[Curves, Ledger]:
    """Read the survey at `config.data.path`, or simulate one where there is no path.

    every_row: see `read_survey`
    """
    data = config.data
    if data.path:
        columns = {role: name for role, name in data.columns.items() if name}
        if data.get("label", "label") != "label":
            columns["label"] = data.label
        return read_survey(
            data.path,
            format=data.format or None,
            band=data.band or None,
            fields=tuple(data.fields) or None,
            time_format=data.time_format or None,
            columns=columns,
            every_row=every_row,
        )
    curves = simulate_survey(data.simulate.stars, config.seed, data.simulate.survey)
    ledger = opening(len(curves), len(curves.time))
    if data.band:
        keep = np.isin(curves.columns["band"].to_numpy(zero_copy_only=False), as_bands(data.band))
        curves, ledger = _keep(curves, ledger, keep, f"band is not {data.band}")
    return curves, ledger


def cut(curves: Curves, ledger: Ledger, data: ConfigDict) -> tuple[Curves, Ledger]:
    """Leave out curves that are too short to learn from, and the paper's noise cut if asked."""
    short = f"fewer than {data.min_points} observations (config.data.min_points)"
    curves, ledger = _keep(curves, ledger, curves.lengths >= data.min_points, short)
    if data.noise_cut:
        reason = f"white noise by the paper's cut (config.data.noise_cut={data.noise_cut})"
        curves, ledger = _keep(curves, ledger, noise_cut(curves, data.noise_cut), reason)
    return curves, ledger


def _keep(curves: Curves, ledger: Ledger, keep: np.ndarray, reason: str) -> tuple[Curves, Ledger]:
    if not keep.any():
        raise UserError(f"none of {len(curves)} curves is left: {reason}")
    dropped = curves.lengths[~keep]
    return curves.take(keep), ledger.filter(len(dropped), int(dropped.sum()), reason)
