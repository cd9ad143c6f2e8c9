"""PLAsTiCC CSV: light curves of many objects, and a file of metadata beside them.

Light curves: object_id, mjd, passband (0 .. 5 = ugrizy of LSST), flux, flux_err, detected_bool;
metadata: object_id, hostgal_photoz, hostgal_specz, mwebv, true_target or target, a number a class.
Fluxes are FLUXCAL (zero point 27.5). The redshift is the photometric one of the host, which every
object has, also when it is to be classified; `columns.redshift=hostgal_specz` takes the other.
Source: the PLAsTiCC data note (arXiv 1810.00001), the unblinded files (Zenodo 2539456).

ELAsTiCC in CSV: the columns SNID, MJD, BAND, FLUXCAL, FLUXCALERR, PHOTFLAG, and others as in any
table. Bands are those of LSST, unless a column `survey` or the user says otherwise.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from astro_jax.data.clean import FileError
from astro_jax.data.transient_rules import RawTransients
from astro_jax.errors import UserError, suggest
from astro_jax.surveys.fluxes import beside, empty, long_table
from astro_jax.surveys.roles import TRANSIENT
from astro_jax.surveys.source import Format, Source, split_lines, text, unpack
from astro_jax.surveys.values import ids, numbers

LIGHT = {"object_id", "mjd", "passband", "flux", "flux_err"}
ELASTICC = {"snid", "mjd", "band", "fluxcal", "fluxcalerr", "photflag"}
META = {"object_id", "hostgal_photoz", "mwebv"}
COLUMNS = {
    "redshift": ("hostgal_photoz",),
    "mwebv": ("mwebv",),
    "label": ("true_target", "target"),
    "ra": ("ra",),
    "dec": ("decl", "dec"),
}
# Kessler et al. 2019 PASP 131 094501 table 2, by the numbers of the unblinded files.
TARGETS = {
    90: "SNIa", 67: "SNIa-91bg", 52: "SNIax", 42: "SNII", 62: "SNIbc", 95: "SLSN-I", 15: "TDE",
    64: "KN", 88: "AGN", 92: "RRL", 65: "M-dwarf", 16: "EB", 53: "Mira", 6: "uLens-Single",
    991: "uLens-Binary", 992: "ILOT", 993: "CaRT", 994: "PISN", 995: "uLens-String",
}  # fmt: skip


def header(source: Source) -> set[str]:
    """Return the column names of the first line."""
    line = source.head.split("\n")[0]
    return {name.strip().strip('"').lower() for name in line.split(",")}


def sniff(source: Source) -> bool:
    """Tell light curves by their columns."""
    return header(source) >= LIGHT


def sniff_elasticc(source: Source) -> bool:
    """Tell light curves of ELAsTiCC by their columns."""
    return header(source) >= ELASTICC


def read_elasticc(source: Source) -> RawTransients:
    """Read light curves with the columns of ELAsTiCC."""
    lines = split_lines(source.data, ",")
    table = pa.table(lines.table.columns, names=list(lines.names))
    raw = long_table(table, source, lines.broken, "lsst")
    note = "columns of ELAsTiCC: bands are those of LSST where no survey is named"
    return raw if source.survey else replace(raw, notes=(*raw.notes, note))


def sniff_metadata(source: Source) -> bool:
    """Tell metadata by their columns, where they hold no light curves."""
    return header(source) >= META and "passband" not in header(source)


def read(source: Source) -> RawTransients:
    """Read light curves, with the metadata beside them where there are any."""
    lines = split_lines(source.data, ",")
    names = [name.lower() for name in lines.names]
    light = {r: c for r, c in source.columns.items() if c in lines.names}
    table = pa.table(lines.table.columns, names=names)
    raw = long_table(table, source._replace(columns=light), lines.broken, "lsst")
    path = metadata_path(source.path)
    if path is None:
        return raw
    chosen = tuple((r, c) for r, c in source.columns.items() if c and r not in light)
    known = metadata(str(path), path.stat().st_mtime_ns, chosen)
    columns = raw.columns
    for name, column in beside(known, columns["id"]).items():
        if name not in columns.column_names:
            columns = columns.append_column(name, column)
    return raw.with_columns(columns)


def metadata_path(path: str) -> Path | None:
    """Return the file of metadata beside light curves.

    `..._lightcurves[_01].csv` has `..._metadata.csv`, `x.csv` has `x_metadata.csv`.
    """
    where = Path(path)
    name = where.name.removesuffix(".gz").removesuffix(".csv")
    front = name.split("_lightcurves")[0]
    found = (where.with_name(front + "_metadata.csv" + end) for end in ("", ".gz"))
    return next((p for p in found if p.is_file()), None)


@lru_cache(maxsize=2)
def metadata(path: str, changed: int, chosen: tuple[tuple[str, str], ...]) -> dict[str, pa.Array]:
    """Return what a file of metadata says of its objects, by our names.

    changed: its time of change, so that a new file is read again; chosen: role, column of the user
    """
    del changed
    lines = split_lines(text(unpack(Path(path).read_bytes())), ",")
    names = [name.lower() for name in lines.names]
    if not set(names) >= META:
        raise FileError(f"{path} lacks {', '.join(sorted(META - set(names)))}")
    wanted = dict(COLUMNS)
    for role, name in chosen:
        if role not in TRANSIENT or name.lower() not in names:
            raise UserError(f"{path}: no column '{name}' for {role}{suggest(name, names)}")
        wanted[role] = (name.lower(),)
    found = {"id": ids(lines.column("object_id"))}
    for role, choices in wanted.items():
        name = next((n for n in choices if n in names), None)
        if name is not None:
            values = numbers(lines.column(name))[0]
            found[role] = targets(values) if role == "label" else pa.array(values, from_pandas=True)
    return found


def targets(values: np.ndarray) -> pa.Array:
    """Return numbers of classes as names; a number that is none of theirs as text."""
    texts = {v: TARGETS.get(int(v), str(int(v))) for v in np.unique(values[np.isfinite(values)])}
    return pa.array([texts.get(v) for v in values], pa.string())


def read_metadata(source: Source) -> RawTransients:
    """Return no curves: the file is read together with the light curves."""
    return empty(f"{Path(source.path).name}: metadata, read with the light curves beside it")


FORMATS = (
    Format("plasticc", sniff, read),
    Format("plasticc", sniff_elasticc, read_elasticc),
    Format("plasticc", sniff_metadata, read_metadata, beside=True),
)
