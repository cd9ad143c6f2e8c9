"""All formats, in the order in which a file is tried; the generic text reader comes last."""

from astro_jax.data import table
from astro_jax.surveys import (
    asas,
    asassn,
    astromer,
    atlas,
    crts,
    eros,
    generic,
    macho,
    ogle,
    sdss,
    shards,
)
from astro_jax.surveys.source import Format

BINARY: tuple[Format, ...] = (*shards.FORMATS, *table.FORMATS, *astromer.FORMATS)
TEXT: tuple[Format, ...] = (
    *macho.FORMATS,
    *asassn.FORMATS,
    *atlas.FORMATS,
    *crts.FORMATS,
    *eros.FORMATS,
    *sdss.FORMATS,
    *ogle.FORMATS,
    *asas.FORMATS,
    *generic.FORMATS,
)
NAMES = tuple(dict.fromkeys(f.name for f in BINARY + TEXT))
NAMED = frozenset(f.name for f in BINARY + TEXT if f.named)
