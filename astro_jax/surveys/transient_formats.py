"""All formats of transients, in the order in which a file is tried; any table comes last."""

from astro_jax.data import transient_table
from astro_jax.surveys import fluxes, plasticc, snana, snana_fits, ztf_alerts
from astro_jax.surveys.source import Format

TRANSIENTS: tuple[Format, ...] = (
    *transient_table.FORMATS,
    *snana_fits.FORMATS,
    *snana.FORMATS,
    *plasticc.FORMATS,
    *ztf_alerts.FORMATS,
    *fluxes.FORMATS,
)
NAMES = tuple(dict.fromkeys(f.name for f in TRANSIENTS))
