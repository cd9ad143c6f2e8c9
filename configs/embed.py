"""Turn a survey into embeddings: one vector a curve, or one an observation.

    python -m astro_jax.main --config=configs/embed.py --config.init=runs/macho \
        --config.data.path=x.parquet --config.output=emb.parquet

`config.init` is a run folder, official weights (macho_a0.zip) or the name of shipped weights.
"""

from ml_collections import ConfigDict

from astro_jax import defaults


def get_config() -> ConfigDict:
    """Return the config."""
    return ConfigDict(
        {
            "job": "astro_jax.embed:run",
            "seed": 0,
            "init": "",
            "step": "best",  # of a run folder: best or last
            "output": "",
            "pooling": "mean",  # mean over observations, or none: a vector an observation
            "dtype": "float32",  # of activations; bfloat16 on an accelerator
            "batch_size": 0,  # windows at once; 0: 16 on CPU, 1024 elsewhere
            "data": defaults.source(stars=100),
        }
    )
