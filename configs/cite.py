"""Print what to cite for a run: BibTeX of its network, method and software.

    python -m astro_jax.main --config=configs/cite.py --config.init=RUN

What the data files ask for, as far as their metadata say, follows as comments.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the config."""
    return ConfigDict({"job": "astro_jax.cite:run", "init": ""})
