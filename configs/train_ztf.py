"""Train a classifier of transients on simulations: the base of a transfer.

    python -m astro_jax.main --config=configs/train_ztf.py --workdir=runs/ztf

Without a path ZTF-like transients of twelve classes are simulated (some parameters of the simulator
were tuned on real objects, see `data.simulate.transient_classes`). At most ten minutes on two
cores. Variants: none (recommended), `yse`, `lsst` (other surveys), `surveys` (all three at once),
`paper` (the network, loss and stopping of the paper).
Sources: arXiv 2502.18558 and its code; Gupta et al. 2025 RASTI 4 rzae054 (the network).
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.errors import UserError, suggest
from astro_jax.models.transient import Official, Transient
from astro_jax.objectives.transient import noise_and_gaps, transient_classification
from astro_jax.optim import constant
from astro_jax.spec import spec


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant."""
    if variant not in VARIANTS:
        raise UserError(f"train_ztf has no variant '{variant}'{suggest(variant, VARIANTS)}")
    config = base_config()
    VARIANTS[variant](config)
    return config


def base_config() -> ConfigDict:
    """Return the recommended variant on ZTF-like simulations."""
    config = defaults.training(
        "astro_jax.transient_training:run",
        steps=4000,
        batch_size=64,
        window=64,  # observations of a transient at most: those of the highest |S/N|
        eval_every=400,
        eval_windows=500,
        monitor="loss",
        least=0.0,  # what a better value must be better by
        epochs=0,  # train so many at least, where `steps` are fewer
        min_valid=50,  # objects to validate, below which the last step is used
        labels=0,  # all outside of the test part, those to validate with included
        head="",
        metadata=("redshift", "mwebv"),
        weights="astro_jax.objectives.transient:balanced_weights",
        cut=0.0,  # share of curves that are cut at a random time
        baselines=False,
    )
    config.data = defaults.transients(("ztf",), 20000)
    config.data.test = 0.1
    config.rows = {"wavelengths": "effective", "scale": "const500", "dilate": "none"}
    config.model = spec(Transient, classes=0, width=100, latent_width=100, redshift=0, dropout=0.3)
    config.objective = spec(
        transient_classification, class_weights=(), steps="all", augment=spec(noise_and_gaps)
    )
    config.optimizer = defaults.adam(config, rate=2e-3, warmup=50)
    return config


def _surveys(*names: str):
    def change(config: ConfigDict) -> None:
        config.data.simulate.surveys = names

    return change


def _paper(config: ConfigDict) -> None:
    """Build what the authors ran: 40 epochs at most, patience 5, N / N_c, last step only."""
    config.window, config.batch_size = 656, 128
    config.model = spec(Official, classes=0, width=100, latent_width=100)
    config.objective = spec(transient_classification, class_weights=(), steps="last")
    config.weights = "astro_jax.objectives.transient:official_weights"
    config.steps, config.epochs = 1, 40
    config.eval_epochs, config.eval_windows = 1, 0  # evaluate once an epoch
    config.monitor, config.patience, config.least = "cross_entropy", 5, 1e-3
    config.optimizer = defaults.adam(config, 1e-3, warmup=0, b2=0.999, eps=1e-7, clip=0.0)
    config.optimizer.schedule = spec(constant, rate=1e-3)


VARIANTS = {
    "": lambda config: None,
    "yse": _surveys("yse"),
    "lsst": _surveys("lsst"),
    "surveys": _surveys("ztf", "yse", "lsst"),
    "paper": _paper,
}
