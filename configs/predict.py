"""Predict classes, or a number, of light curves with a run that was trained with labels.

    python -m astro_jax.main --config=configs/predict.py --config.init=runs/clf \
        --config.data.path=new.parquet --config.output=pred.parquet

With a classifier of transients the table also has the types that classes are part of, an outlier
score, and whether the redshift was used; `per_epoch` adds lists, a value an observation.
With a classifier of several modalities (AstroM3) `data.path` is of the published layout, or raw
parts are joined by id, whichever there are: `data.curves`, `data.spectra`, `data.catalogue`; the
table also says which modalities were used.
"""

from ml_collections import ConfigDict

from astro_jax import defaults


def get_config() -> ConfigDict:
    """Return the config."""
    data = defaults.source("ogle", 100)
    more = defaults.transients()
    data.update({"curves": "", "spectra": "", "catalogue": ""})  # of AstroM3, instead of path
    data.update({"catalogue_id": "id", "spectra_link": ""})  # as in configs/pretrain_astrom3.py
    data.update({name: more[name] for name in ("survey", "zero_point", "snr", "columns")})
    return ConfigDict(
        {
            "job": "astro_jax.prediction:run",
            "seed": 0,
            "init": "",
            "step": "best",  # of a run folder: best or last
            "output": "",
            "batch_size": 0,  # windows at once; 0: 16 on CPU, 1024 elsewhere
            "redshift": True,  # of transients: use it where it is known
            "per_epoch": False,  # of transients: probabilities after each observation too
            "data": data,
        }
    )
