"""The one table of passbands: names, what surveys call them, effective wavelengths.

No wavelength stands anywhere else. A passband that is not here is an error; to add one is to add a
line to `PASSBANDS` and, where a survey calls it otherwise, an alias.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from astro_jax.errors import UserError, suggest


class Passband(NamedTuple):
    """A passband: its name here, its effective wavelength (micrometre), its colour.

    colour: the letter by which filters of several telescopes are alike, "" where there is none
    """

    name: str
    wavelength: float
    colour: str = ""


# Effective wavelengths: ZTF, SVO filter profile service (4746.48, 6366.38, 7829.03 Angstrom);
# PS1, Tonry et al. 2012 ApJ 750 99 table 4; LSST, middles of the band edges of Ivezic et al. 2019
# ApJ 873 111 table 1, which the networks for ELAsTiCC were given; ATLAS, Tonry et al. 2018 PASP 130
# 064505; UBVRI, Bessell 1990 PASP 102 1181; desgriz (SNPCC) and ugrizy (the like filters of many
# telescopes), as the documentation of the object tables gives them.
PASSBANDS = (
    Passband("ztfg", 0.4746, "g"),
    Passband("ztfr", 0.6366, "r"),
    Passband("ztfi", 0.7829, "i"),
    Passband("ps1g", 0.481, "g"),
    Passband("ps1r", 0.617, "r"),
    Passband("ps1i", 0.752, "i"),
    Passband("ps1z", 0.866, "z"),
    Passband("ps1y", 0.962, "y"),
    Passband("desg", 0.482, "g"),
    Passband("desr", 0.642, "r"),
    Passband("desi", 0.784, "i"),
    Passband("desz", 0.926, "z"),
    Passband("lsstu", 0.360, "u"),
    Passband("lsstg", 0.476, "g"),
    Passband("lsstr", 0.6215, "r"),
    Passband("lssti", 0.7545, "i"),
    Passband("lsstz", 0.870, "z"),
    Passband("lssty", 1.015, "y"),
    Passband("atlasc", 0.533),
    Passband("atlaso", 0.679),
    Passband("u", 0.360, "u"),
    Passband("g", 0.482, "g"),
    Passband("r", 0.625, "r"),
    Passband("i", 0.763, "i"),
    Passband("z", 0.900, "z"),
    Passband("y", 0.960, "y"),
    Passband("U", 0.366),
    Passband("B", 0.436),
    Passband("V", 0.545),
    Passband("R", 0.641),
    Passband("I", 0.798),
)
NAMES = tuple(p.name for p in PASSBANDS)
MISSING = 255  # the place of a band that a file leaves empty, until its observation is set aside


def _prefixed(prefix: str, letters: str) -> dict[str, str]:
    return {letter: prefix + letter.lower() for letter in letters}


# What one survey's files call a passband, where the letter alone would not do. ZTF's alerts number
# their filters (fid), and the broker ANTARES writes R for r; PLAsTiCC numbers its passbands; YSE's
# SNANA files write ZTF g and r as X and Y beside the griz of Pan-STARRS (checked against their
# object table).
SURVEYS = {
    "ztf": {
        **_prefixed("ztf", "gri"),
        **{"1": "ztfg", "2": "ztfr", "3": "ztfi", "zg": "ztfg", "zr": "ztfr", "zi": "ztfi"},
        "R": "ztfr",
    },
    "yse": {**_prefixed("ps1", "grizy"), "X": "ztfg", "Y": "ztfr"},
    "ps1": _prefixed("ps1", "grizy"),
    "des": _prefixed("des", "griz"),
    "lsst": {
        **_prefixed("lsst", "ugrizyY"),
        **{str(k): "lsst" + letter for k, letter in enumerate("ugrizy")},
    },
    "atlas": _prefixed("atlas", "co"),
    "sdss": {letter: letter for letter in "ugriz"},
}
# Other names of the surveys themselves, lower case.
SAME_SURVEY = {
    "ps1md": "ps1",
    "panstarrs": "ps1",
    "pan-starrs": "ps1",
    "foundation": "ps1",
    "plasticc": "lsst",
    "elasticc": "lsst",
    "yse(ps1)+ztf": "yse",
    "des(sim)": "des",
}
# Prefixes under which other packages know the plain passbands.
SAME_BAND = {
    **{f"sdss{letter}": letter for letter in "ugriz"},
    **{f"bessell{letter.lower()}": letter for letter in "UBVRI"},
    "bessellux": "U",
}

# The released ZTFSims networks were trained with g and r swapped: their notebook gives r the
# wavelength of g and the other way round, so they must be fed so. They know no other colour.
SWAPPED = {"g": 0.6223, "r": 0.4827}
SYSTEMS = ("effective", "astromcad")


def resolve(
    names: Iterable[str | None], survey: str | None = None, where: str = "", strict: bool = True
) -> np.ndarray:
    """Return the places in `PASSBANDS` of band names, [M] uint8.

    names: as a file writes them: a name of the table, a letter or number of `survey`, or a survey
        and a letter in any spelling (ZTF_g, LSST-Y, ps1::g)
    survey: whose letters those are, a key of `SURVEYS` or another name of it; None or one that is
        not known: the table's own names only
    where: file and column, for the message
    strict: an unknown band is an error; else each has a place of its own behind the table's end,
        for the caller to leave out
    Raises UserError for an unknown band, with the known ones.
    """
    names = list(names)
    known = {name: find(name, survey) for name in dict.fromkeys(names)}
    unknown = [name for name, place in known.items() if place is None]
    if unknown and (strict or len(unknown) > MISSING - len(NAMES)):
        raise UserError(_complaint(unknown, survey, where))
    known |= {name: MISSING - 1 - k for k, name in enumerate(unknown)}
    return np.array([known[name] for name in names], np.uint8)


def find(name: str | None, survey: str | None = None) -> int | None:
    """Return the place of one band in `PASSBANDS`, or None where it is unknown."""
    name = str(name).strip()
    letters = SURVEYS.get(survey_name(survey), {})
    squashed = re.sub(r"[^a-z0-9]", "", name.lower())
    for word in (letters.get(name), name, squashed, SAME_BAND.get(squashed)):
        if word in NAMES and not (word is squashed and len(word) == 1):
            return NAMES.index(word)
    return None


def survey_name(survey: str | None) -> str:
    """Return the key of `SURVEYS` for a survey's name, in lower case; "" for None."""
    low = (survey or "").strip().lower()
    return SAME_SURVEY.get(low, low)


def _complaint(unknown: Sequence[str | None], survey: str | None, where: str) -> str:
    shown = ", ".join(f"'{name}'" for name in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
    letters = SURVEYS.get(survey_name(survey))
    of_survey = f"; survey {survey} also writes {', '.join(letters)}" if letters else ""
    hint = "" if letters else f"; letters of a survey need its name: survey={'|'.join(SURVEYS)}"
    near = suggest(str(unknown[0]), NAMES) if unknown[0] else ""
    near = near if "did you mean" in near else ""
    place = f"{where}: " if where else ""
    return f"{place}unknown band {shown}{near}; bands are {', '.join(NAMES)}{of_survey}{hint}"


def wavelengths(system: str = "effective") -> np.ndarray:
    """Return what a network is told of each passband of the table, micrometre, [bands] float32.

    system: "effective", the true effective wavelengths; "astromcad", what the released networks of
        AstroMCAD were trained with, g and r swapped, NaN for every other colour
    Raises UserError for another system.
    """
    if system not in SYSTEMS:
        raise UserError(f"no wavelengths '{system}'{suggest(system, SYSTEMS)}")
    if system == "effective":
        return np.array([p.wavelength for p in PASSBANDS], np.float32)
    return np.array([SWAPPED.get(p.colour, np.nan) for p in PASSBANDS], np.float32)
