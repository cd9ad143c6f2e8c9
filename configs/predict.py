"""Predict classes, or a number, of light curves with a run that was trained with labels.

    python -m astro_jax.main --config=configs/predict.py --config.init=runs/clf \
        --config.data.path=new.parquet --config.output=pred.parquet
"""

from ml_collections import ConfigDict

from astro_jax import defaults


def get_config() -> ConfigDict:
    """Return the config."""
    return ConfigDict(
        {
            "job": "astro_jax.prediction:run",
            "seed": 0,
            "init": "",
            "step": "best",  # of a run folder: best or last
            "output": "",
            "batch_size": 0,  # windows at once; 0: 16 on CPU, 1024 elsewhere
            "data": defaults.source("ogle", 100),
        }
    )
