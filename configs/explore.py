"""Explore a space: searches, outliers, doubtful labels, a map, clusters, classes never seen.

    python -m astro_jax.main --config=configs/explore.py --config.init=runs/clip --workdir=runs/seen
    python -m astro_jax.main --config=configs/explore.py --config.init=runs/clip \
        --config.data.path=full_42

Give the data that the run was trained on (`data.path`, or the same simulation). Leaves Parquet
tables and `report.html`, which shows queries and hits with their cosines.
"""

from ml_collections import ConfigDict

from astro_jax import defaults_objects as defaults


def get_config() -> ConfigDict:
    """Return the config."""
    config = ConfigDict(
        {
            "job": "astro_jax.explore:run",
            "init": "",  # a run of pretrain_astrom3.py, or a classifier of all modalities, which
            # also tells how much each modality matters to each class
            "unseen": "",  # objects of other classes, in the published layout: where do they fall?
            "seed": 42,  # of the split, as in the run
            "k": 10,  # hits of a search
            "queries": 20,  # objects of the training part that are searched for
            "map": "pca",  # or umap (extra umap)
            "search": "exact",  # or approximate (extra ann)
        }
    )
    config.data = defaults.data(official=False)
    config.data.required = ("photometry", "metadata")
    return config
