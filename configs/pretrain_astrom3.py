"""Learn one space for light curves, spectra and catalogue, without labels (AstroM3).

    python -m astro_jax.main --config=configs/pretrain_astrom3.py --workdir=runs/clip
    python -m astro_jax.main --config=configs/pretrain_astrom3.py --config.data.path=full_42
    python -m astro_jax.main --config=configs/pretrain_astrom3.py:four \
        --config.data.curves=curves.parquet --config.data.band=V,g \
        --config.data.catalogue=catalogue.parquet

`data.path` is a file or a folder of the published layout (AstroM3Processed); raw parts instead, see
docs/astrom3.md; nothing: simulate as many stars as were published, 21,440, in 95 seconds of a core
and 3 GB.  That, with batches of 512, is for a GPU; on a laptop: --config.data.simulate.stars=500
--config.batch_size=32.
Variants: none (recommended: attention under a mask, missing values and modalities allowed),
`official` (the released towers and rules), `four` (the second band g as a fourth modality).
Hyper-parameters: the published set `clip-full`.  Expected on the published data: the frozen space
classifies 81 % (photometry), 67 % (spectra) and 75 % (metadata) by the nearest centroid.
"""

from ml_collections import ConfigDict

from astro_jax import defaults_objects as defaults
from astro_jax.errors import UserError, suggest
from astro_jax.models.astrom3 import AstroM3
from astro_jax.objectives.contrastive import contrastive
from astro_jax.spec import spec

VARIANTS = ("", "official", "four")


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant."""
    if variant not in VARIANTS:
        raise UserError(f"pretrain_astrom3 has no variant '{variant}'{suggest(variant, VARIANTS)}")
    official = variant == "official"
    config = defaults.training("astro_jax.pretrain_objects:run", "clip", "full", False)
    config.monitor, config.select = "loss", "mismatch"
    bands = ("V", "g") if variant == "four" else ("V",)
    towers = defaults.towers("clip", "full", False, official, bands)
    config.data = defaults.data(official, bands)
    config.data.required = ("photometry", "metadata")
    config.model = spec(AstroM3, towers=towers)
    config.objective = spec(contrastive, rows=0, axis="")
    return config
