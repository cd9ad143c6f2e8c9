"""Turn a survey into embeddings: one vector a curve, or one an observation.

    python -m astro_jax.main --config=configs/embed.py --config.init=runs/macho \
        --config.data.path=x.parquet --config.output=emb.parquet

`config.init` is a run folder, official weights (macho_a0.zip) or the name of shipped weights.
An output that does not end in .parquet is a folder, for a catalogue of any size: each shard takes
every N-th piece of the input, a start that was killed goes on, and whoever ends last compares the
whole with its input (docs/cluster.md):

    python -m astro_jax.main --config=configs/embed.py --config.init=runs/macho \
        --config.data.path=survey --config.output=embedded --config.shard=0/64

Where `data.path` is a HATS catalogue, so is the output (extra `catalog`: LSDB on Dask).
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
            "output": "",  # x.parquet, or a folder
            "shard": "",  # i/N, i from 0: the i-th of N parts of the work; empty: all of it
            "rows_a_unit": 50_000,  # of a folder: rows of the input in a unit of work, at most
            "pooling": "mean",  # mean over observations, or none: a vector an observation
            "dtype": "float32",  # of activations; bfloat16 on an accelerator
            "attention": "einsum",  # or fused, cudnn (bfloat16 on an NVIDIA GPU)
            "batch_size": 0,  # windows at once; 0: 16 on CPU, 1024 elsewhere
            "dask": {  # of a HATS catalogue
                "workers": 0,  # processes of this machine; 0: this one
                "scheduler": "",  # the address of a running cluster, instead
            },
            "data": defaults.source(stars=100),
        }
    )
