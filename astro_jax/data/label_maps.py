"""Classes of the ASTROMER papers from those of the catalogues: tables, one row a catalogue class.

A class maps to its name in the paper, or to `Drop` with the reason.  The counts are those that the
paper gives for its labelled sets (Donoso-Oliva et al. 2023, A&A 670, A54, section 3).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Drop(NamedTuple):
    """A catalogue class that the paper leaves out, and why."""

    reason: str


class Dropped(NamedTuple):
    """Rows that a label map or a choice leaves out: their class, how many, and why."""

    name: str
    count: int
    reason: str


UNKNOWN = "not in the label map"
NO_LABEL = "no label"
CATCH_ALL = Drop("irregular or long-period catch-all class")
FOURIER = Drop("known by the shape of its Fourier series only")
LPV = "LPV"  # the four sequences of Wood et al. (1999)

# MACHO variable star catalogue of the LMC (Alcock et al., CDS II/247): number and acronym.
# Cep_0 1182, Cep_1 683, EC 6824, LPV 3046, RRab 7397, RRc 1762: 20 894 objects.
MACHO: Mapping[str, str | Drop] = {
    **dict.fromkeys(("1", "RRL AB", "RRL_AB", "RRab"), "RRab"),
    **dict.fromkeys(("2", "RRL C", "RRL_C", "RRc"), "RRc"),
    **dict.fromkeys(("3", "RRL E", "RRL_E", "RRe"), Drop("RRe: left out by the paper")),
    **dict.fromkeys(("4", "Ceph Fundamental", "CEPH_FUND", "Cep_0"), "Cep_0"),
    **dict.fromkeys(("5", "Ceph 1st Overtone", "CEPH_1ST", "Cep_1"), "Cep_1"),
    **dict.fromkeys(("6", "LPV WoodA", "LPV_WoodA"), LPV),
    **dict.fromkeys(("7", "LPV WoodB", "LPV_WoodB"), LPV),
    **dict.fromkeys(("8", "LPV WoodC", "LPV_WoodC"), LPV),
    **dict.fromkeys(("9", "LPV WoodD", "LPV_WoodD"), LPV),
    **dict.fromkeys(("10", "EB", "EC"), "EC"),
    **dict.fromkeys(
        ("11", "RRL + GB", "RRL_GB", "RR Lyrae and GB blends"),
        Drop("RR Lyrae and giant branch blends: left out by the paper"),
    ),
}

# OGLE-III catalogue of variable stars, type or subtype as the catalogue writes it.
# EC 6862, ED 21503, ESD 9475, Mira 6090, OSARG 234932, RRab 25943, RRc 7990, SRV 34835, cep 7836,
# dsct 2822.
OGLE3: Mapping[str, str | Drop] = {
    **{name: name for name in ("EC", "ED", "ESD", "Mira", "OSARG", "RRab", "RRc", "SRV")},
    **dict.fromkeys(("cep", "CEP", "F", "1O", "2O", "F/1O", "1O/2O", "F/1O/2O", "1O/2O/3O"), "cep"),
    **dict.fromkeys(("dsct", "DSCT", "SINGLEMODE", "MULTIMODE"), "dsct"),
    **dict.fromkeys(("RRd", "RRe", "t2cep", "T2CEP", "acep", "ACEP"), Drop("not in the paper")),
    **dict.fromkeys(("dpv", "DPV", "rcb", "RCB", "ELL"), Drop("not in the paper")),
}

# ATLAS variable stars, first catalogue (Heinze et al. 2018, AJ 156, 241, section 5).
# CB 80218, DB 28767, Mira 7370, Pulse 25021.
ATLAS: Mapping[str, str | Drop] = {
    **dict.fromkeys(("CBF", "CBH"), "CB"),  # close binary, fitted at its full or at half its period
    **dict.fromkeys(("DBF", "DBH"), "DB"),  # distant binary, likewise
    "MIRA": "Mira",
    "PULSE": "Pulse",
    **dict.fromkeys(("SINE", "NSINE", "MSINE", "MPULSE"), FOURIER),
    **dict.fromkeys(("IRR", "LPV", "STOCH"), CATCH_ALL),
    **dict.fromkeys(("dubious", "DUBIOUS"), Drop("dubious variability")),
}

# Types that surveys share, from the classes of the shared surveys as each spells them (ASAS ACVS,
# CRTS, OGLE-III, EROS-1, MACHO): what a classifier of one survey can say of another.
_ECLIPSING = {
    **dict.fromkeys(("EA", "Detached", "Algol (Beta Persei)", "Beta_Persei"), "EA"),
    **dict.fromkeys(("EB", "Semidetached", "beta_lyrae", "Beta Lyrae", "Beta_Lyrae"), "EB"),
    **dict.fromkeys(("EW", "Contact Systems", "W Ursae Majoris", "W_Ursae_Maj"), "EW"),
}
_RR_LYRAE = {
    **dict.fromkeys(("RRab", "RR Lyrae, Fundamental Mode", "RRL_AB", "RR_Lyrae_FM"), "RRab"),
    **dict.fromkeys(("RRc", "RR Lyrae, First Overtone", "RRL_C", "RR_Lyrae_FO"), "RRc"),
}
_ALIKE = {
    **dict.fromkeys(("Mira", "mira"), "Mira"),
    **dict.fromkeys(("dsct", "Delta Scuti", "Delta_Scuti", "HADS", "LADS"), "DSCT"),
    **dict.fromkeys(("cep", "cepheid", "CEPH_FUND", "CEPH_1ST", "Cep_0", "Cep_1"), "CEP"),
    **dict.fromkeys(("Classical Cepheid", "Classical_Cepheid"), "CEP"),
}
SUBTYPES: Mapping[str, str | Drop] = {**_ECLIPSING, **_RR_LYRAE, **_ALIKE}
TYPES: Mapping[str, str | Drop] = {
    **dict.fromkeys((*_ECLIPSING, "ecl", "binary", "Close Binary Eclipsing Systems"), "ECL"),
    **dict.fromkeys((*_RR_LYRAE, "rrlyr", "rr_lyrae", "RRd", "Blazhko", "RRL_E"), "RR"),
    **_ALIKE,
    **dict.fromkeys(("Mira", "mira", "lpv", "LPV"), "LPV"),
    **dict.fromkeys((f"LPV_Wood{sequence}" for sequence in "ABCD"), "LPV"),
}


def apply_map(
    labels: Sequence[object], label_map: Mapping[str, str | Drop]
) -> tuple[list[str | None], tuple[Dropped, ...]]:
    """Return the labels under a map, None where left out, and what was left out with the reason.

    A label that the map does not know is left out too, and says so.
    """
    mapped: list[str | None] = []
    lost: Counter = Counter()
    for label in labels:
        target = NO_LABEL if label is None else label_map.get(str(label), Drop(UNKNOWN))
        kept = label is not None and isinstance(target, str)
        mapped.append(target if kept else None)
        if not kept:
            reason = target.reason if isinstance(target, Drop) else NO_LABEL
            lost[("" if label is None else str(label), reason)] += 1
    return mapped, tuple(Dropped(name, n, why) for (name, why), n in sorted(lost.items()))
