"""Measure what transfer is worth: test scores against the number of labels, beside direct training.

    python -m astro_jax.main --config=configs/learning_curve.py:ztf_yse \
        --config.init=runs/ztf --config.data.path=yse.parquet --workdir=runs/curve

Without `init` the base is trained first. Variants: `ztf_yse` (simulated ZTF to YSE), `ztf_lsst`
(simulated ZTF to simulated LSST, twelve classes), `snpcc_yse` (SNPCC, at `base.data.path`, to YSE).
Without a path the target is simulated, which is said. Methods: those of `configs/transfer_bts.py`.
Sources: arXiv 2502.18558 and its code (sizes, seeds, protocol).
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.errors import UserError, suggest

METHODS = {
    "transfer": "transfer_bts",
    "latent_output": "transfer_bts:latent_output",
    "gru_latent_output": "transfer_bts:gru_latent_output",
    "direct": "transfer_bts:direct",
    "direct_paper": "transfer_bts:direct_paper",
}


def get_config(variant: str = "ztf_yse") -> ConfigDict:
    """Return the config of a variant."""
    if variant not in VARIANTS:
        raise UserError(f"learning_curve has no variant '{variant}'{suggest(variant, VARIANTS)}")
    config = ConfigDict(
        {
            "job": "astro_jax.learning_curve:run",
            "seed": 0,
            "seeds": 5,
            "sizes": (0, 15, 30, 60, 200),  # labels, those to validate with included; 0: as it is
            "methods": tuple(METHODS),
            "init": "",
            "base": defaults.config_beside(__file__, "train_ztf"),
            "window": 64,  # observations of a transient at most
            "fits": {name: fit(path) for name, path in METHODS.items()},
        }
    )
    config.data = defaults.transients(("yse",), 600)
    config.data.simulate.types = True
    config.data.test = 0.4
    VARIANTS[variant](config)
    return config


def fit(name: str) -> ConfigDict:
    """Return the config of a method without what the curve sets: data, labels, seed, base."""
    config = defaults.config_beside(__file__, name)
    for key in ("data", "labels", "seed", "init", "window", "dry_run", "baselines"):
        del config[key]
    return config


def _ztf_yse(config: ConfigDict) -> None:
    """Simulated ZTF to YSE: the file, or what is simulated in its place."""


def _ztf_lsst(config: ConfigDict) -> None:
    """Simulated ZTF to simulated LSST: twelve classes, as in the paper."""
    config.data.simulate.surveys = ("lsst",)
    config.data.simulate.transients = 6000
    config.data.simulate.types = False
    config.sizes = (0, 100, 300, 1000)


def _snpcc_yse(config: ConfigDict) -> None:
    """Simulations of others, that have seen no object of ours, to YSE."""
    config.base.data.simulate.types = True
    config.base.data.simulate.surveys = ("yse",)
    config.base.data.simulate.classes = ("SNIa", "SNII", "SNIb", "SNIc")


VARIANTS = {"ztf_yse": _ztf_yse, "ztf_lsst": _ztf_lsst, "snpcc_yse": _snpcc_yse}
