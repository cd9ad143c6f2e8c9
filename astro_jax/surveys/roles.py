"""Which column of an unknown table is the id, the time, the magnitude ... by its name."""

import re
from collections.abc import Mapping, Sequence

from astro_jax.data.clean import FileError
from astro_jax.errors import UserError, suggest
from astro_jax.surveys.origin import canonical

ALIASES = {
    "id": "id objid objectid object oid sourceid starid objname objectname name masterid "
    "atoid asassnid newid lcid lcname ztfid gaiaid machoid ogleid catid uid",
    "time": "mjd hmjd bmjd time times hjd bjd jd t obstime timeobs mjdobs obsmjd obsdate date "
    "dateobs epoch epochs timepoints day days btjd bkjd midpointmjdtai",
    "mag": "mag magnitude mags magnitudes m magpsf psfmag magauto vmag imag maginst calmag magap",
    "magerr": "magerr magerror err error errmag emag magnitudeerror merr dmag dm magsigma sigmamag "
    "sigma sigmapsf maguncertainty unc errors magerrs uncertainty magunc errormag",
    "band": "band filter fid passband photfilter filt f filtercode bandname bands",
    "star": "star",
    "label": "label class labels vartype variabletype varclass type classname",
}
# Of a table of transients: fluxes of several bands, and what is known of an object.
TRANSIENT = {
    **{role: ALIASES[role] for role in ("time", "mag", "magerr")},
    "id": ALIASES["id"] + " snid",
    "band": ALIASES["band"] + " flt",
    "flux": "fluxcal flux fluxes psflux forcediffimflux",
    "fluxerr": "fluxcalerr fluxerr fluxerror efluxes fluxerrs eflux dflux sigmaflux fluxsigma "
    "fluxunc psfluxerr forcediffimfluxunc",
    "zero_point": "zeropoint zp zpt zpdiff",
    "photflag": "photflag",
    "star": "star skygroup",
    "label": "label class labels type classname truetarget target",
    "redshift": "redshift z redshifthelio redshiftfinal hostredshift hostgalphotoz hostgalspecz",
    "mwebv": "mwebv ebv",
    "trigger": "trigger triggermjd mjdtrigger",
}
EXTRA = ("label_std", "period", "ra", "dec", "survey")
NEEDED = ("time", "mag")


def squash(name: str) -> str:
    """Return a column name in lower case, without units in brackets and without punctuation."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[(\[].*$", "", name.lower()))


def find_roles(
    names: Sequence[str],
    given: Mapping[str, str],
    where: str,
    needed: Sequence[str] = NEEDED,
    aliases: Mapping[str, str] = ALIASES,
) -> dict[str, str]:
    """Return role -> column; what the user gave wins over the aliases, those by their order.

    Raises UserError for a given role or column that does not exist, FileError where a needed
    role has no column.
    """
    given = {role: str(column) for role, column in given.items() if column not in ("", None)}
    for role, column in given.items():
        if role not in aliases:
            raise UserError(f"unknown key columns.{role}{suggest(role, aliases)}")
        if column not in names:
            raise UserError(f"{where}: no column '{column}' for {role}{suggest(column, names)}")
    free = [n for n in names if n not in given.values()]
    roles = {role: given.get(role) or by_alias(free, role, aliases) for role in aliases}
    for role in needed:
        if roles[role] is None:
            raise FileError(missing(role, names))
        if list(names).count(roles[role]) > 1:
            raise FileError(f"column '{roles[role]}' occurs more than once")
    return {role: name for role, name in roles.items() if name is not None}


def by_alias(names: Sequence[str], role: str, aliases: Mapping[str, str] = ALIASES) -> str | None:
    """Return the column whose name is the first alias of `role` that occurs."""
    squashed = [squash(n) for n in names]
    for alias in aliases[role].split():
        if alias in squashed:
            return names[squashed.index(alias)]
    if role == "time":
        return next((n for n in names if canonical(n) is not None and len(n) < 30), None)
    return None


def missing(role: str, names: Sequence[str]) -> str:
    """Return the reason for a table without a column for `role`."""
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    if role == "mag" and any(squash(n).startswith("flux") for n in names):
        return f"fluxes but no magnitudes (columns: {shown})"
    what = {"time": "times", "mag": "magnitudes", "id": "ids"}.get(role, f"{role}s")
    return f"not a light curve: no column of {what} among {shown}; name it with columns.{role}"


def describe(roles: Mapping[str, str], origin: str) -> str:
    """Return one line that says which column was taken for what."""
    chosen = ", ".join(f"{role}={name}" for role, name in roles.items())
    return f"columns: {chosen}; times read as {origin}"
