"""Transfer a classifier of transients to another survey with few labels.

    python -m astro_jax.main --config=configs/transfer_bts.py --config.init=runs/ztf \
        --config.data.path=yse.parquet --config.labels=60 --config.seed=0 --workdir=runs/yse

The paper's experiment: from simulations to the ZTF Bright Transient Survey. `labels` counts all
labelled objects that are used, those to validate with included. Variants: none (recommended: all
layers are trained), `latent_output` and `gru_latent_output` (the paper's: the others are frozen),
`direct` (the same network without a base), `direct_paper` (the paper's network, loss and stopping).
Sources: arXiv 2502.18558 and its code.
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.errors import UserError, suggest
from astro_jax.models.transient import Official, Transient
from astro_jax.objectives.transient import noise_and_gaps, transient_classification
from astro_jax.optim import constant
from astro_jax.spec import spec

LATENT_OUTPUT = (("^(?!latent|output)", None),)
GRU_LATENT_OUTPUT = (("^(?!gru_1|gru_2|latent|output)", None),)


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant."""
    if variant not in VARIANTS:
        raise UserError(f"transfer_bts has no variant '{variant}'{suggest(variant, VARIANTS)}")
    config = base_config()
    VARIANTS[variant](config)
    return config


def base_config() -> ConfigDict:
    """Return the recommended variant: all layers from the base, a small rate."""
    config = defaults.training(
        "astro_jax.transient_training:run",
        init="",
        steps=100,
        batch_size=32,
        window=128,  # observations of a transient at most: those of the highest |S/N|
        eval_every=50,
        eval_windows=0,
        patience=10,
        monitor="loss",
        least=0.0,
        epochs=20,  # train so many at least, where `steps` are fewer
        min_valid=50,  # objects to validate, below which the last step is used
        labels=0,
        head="",  # keep: the outputs of the base for these classes; replace; empty: keep if it can
        metadata=("redshift", "mwebv"),
        weights="astro_jax.objectives.transient:balanced_weights",
        cut=0.0,
        baselines=False,
    )
    config.data = defaults.transients(("yse",), 600)
    config.data.simulate.types = True
    config.rows = {}  # those of config.init
    config.model = {}  # that of config.init
    config.objective = spec(
        transient_classification, class_weights=(), steps="both", augment=spec(noise_and_gaps)
    )
    config.optimizer = defaults.adam(config, rate=3e-4, warmup=10)
    return config


def _frozen(rules: tuple):
    def change(config: ConfigDict) -> None:
        config.optimizer.rules = rules

    return change


def _direct(config: ConfigDict) -> None:
    """Train from the seed: a fair baseline, with the time that it needs."""
    config.rows = {"wavelengths": "effective", "scale": "const500", "dilate": "none"}
    config.model = spec(Transient, classes=0, width=100, latent_width=100, redshift=0, dropout=0.3)
    config.steps, config.epochs, config.patience = 600, 60, 40
    config.optimizer.schedule.rate = 1e-3


def _direct_paper(config: ConfigDict) -> None:
    """Train from the seed as the paper does: batches of 128, patience 5, 40 epochs at most.

    Its network, evaluated once an epoch, class weights N / N_c. Differs from the paper: the weights
    come from the labels that are trained on, not from all of the target; the network is told
    redshift and E(B-V), as the other variants are (`metadata=()` for the paper's curves, which are
    without); a share `data.valid` of the labels validates in proportion to the classes.
    """
    _direct(config)
    config.model = spec(Official, classes=0, width=100, latent_width=100)
    config.weights = "astro_jax.objectives.transient:official_weights"
    config.objective = spec(transient_classification, class_weights=(), steps="last")
    config.batch_size, config.steps, config.epochs, config.min_valid = 128, 1, 40, 0
    config.eval_epochs = 1  # in the place of eval_every
    config.monitor, config.patience, config.least = "cross_entropy", 5, 1e-3
    config.optimizer = defaults.adam(config, 1e-3, warmup=0, b2=0.999, eps=1e-7, clip=0.0)
    config.optimizer.schedule = spec(constant, rate=1e-3)


VARIANTS = {
    "": lambda config: None,
    "latent_output": _frozen(LATENT_OUTPUT),
    "gru_latent_output": _frozen(GRU_LATENT_OUTPUT),
    "direct": _direct,
    "direct_paper": _direct_paper,
}
