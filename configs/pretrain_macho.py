"""Pre-train on light curves without labels: predict magnitudes that were hidden.

    python -m astro_jax.main --config=configs/pretrain_macho.py
    python -m astro_jax.main --config=configs/pretrain_macho.py --config.data.path=macho.parquet
    python -m astro_jax.main --config=configs/pretrain_macho.py:paper --config.data.path=x.parquet

Without a path a MACHO-like survey is simulated. Variants: none (recommended: no leak, attention
that starts as a kernel smoother in time and in phase at candidate periods, and a read-out that
averages Gaussian processes), `smoother` (the same without periods), `base` (the recommended one on
all shared surveys: the shipped weights), `official` (what the released weights ran), `paper`
(equation 6 as printed), `astromer2`; for `experiments/downstream`, with few steps: `without_asas`
(_crts, _ogle, _eros, _macho: `base` without a survey), `width_64_base_1000` and the like.
Sources: Donoso-Oliva et al. 2023, A&A 670 A54, and the released code.
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.errors import UserError, suggest
from astro_jax.models.astromer import Astromer2, Official, Paper, Smoother
from astro_jax.objectives.reconstruction import reconstruction
from astro_jax.optim import constant, noam
from astro_jax.spec import spec


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant."""
    config = base_config()
    if variant not in VARIANTS:
        raise UserError(f"pretrain_macho has no variant '{variant}'{suggest(variant, VARIANTS)}")
    VARIANTS[variant](config)
    return config


def base_config() -> ConfigDict:
    """Return the recommended variant on the embedded data."""
    config = defaults.training("astro_jax.pretrain:run", steps=120, monitor="rmse_hidden")
    config.data = defaults.training_data()
    config.data.split = (0.6, 0.2)  # shares of the stars to train and to validate on; rest: test
    config.model = spec(Smoother, width=256, heads=8, ffn=512, blocks=2, base=10000.0, candidates=4)
    # 50 % probed, of these 20 % left as they are, of the rest 20 % replaced (released code).
    config.objective = spec(
        reconstruction, probed=0.5, random=0.2, same=0.2, leaky=False, loss="window_mean"
    )
    config.optimizer = defaults.adam(config, rate=1e-3, warmup=20)
    return config


def _smoother(config: ConfigDict) -> None:
    """Build the recommended variant without candidate periods."""
    config.model.candidates = 0


def _official(config: ConfigDict) -> None:
    """Build what the released weights ran: leak included, Adam as in the library."""
    config.model = spec(Official, width=256, heads=4, ffn=128, blocks=2, base=10000.0)
    config.objective.leaky = True
    config.monitor = "rmse"
    _reference_adam(config)


def _paper(config: ConfigDict) -> None:
    """Build the paper: equation 6, base 1000, MACHO R, its fields, its noise cut, its length."""
    config.model = spec(Paper, width=256, heads=4, ffn=128, blocks=2, base=1000.0)
    config.monitor = "rmse"
    config.batch_size = 5000  # conf.json of macho_a0
    config.steps = 184_000  # 1000 epochs of 60 % of about 1.5 million curves
    config.eval_every = 184  # once an epoch
    config.eval_windows = 0
    config.patience = 40
    config.data.band = "R"
    config.data.fields = (1, 10, 101, 102, 103, 104)
    config.data.noise_cut = "all"
    config.data.simulate.stars = 8000
    _reference_adam(config)


def _astromer2(config: ConfigDict) -> None:
    """Build Astromer 2 with its token in the graph, error-weighted, Noam schedule."""
    config.model = spec(Astromer2, width=256, heads=4, ffn=512, blocks=6, base=10000.0)
    config.objective.loss = "error_weighted"
    _reference_adam(config)
    config.optimizer.schedule = spec(noam, width=256, warmup=4000)


def _reference_adam(config: ConfigDict) -> None:
    config.optimizer.clip = 0.0
    config.optimizer.schedule = spec(constant, rate=1e-3)


def _base(config: ConfigDict) -> None:
    """Build the shipped weights: every curve of the shared surveys but a fifth of the stars."""
    config.data.path = "../shared/data/variable_stars"
    config.data.split = (0.77, 0.03)  # the last fifth of the stars is kept for all later tests
    config.steps = 3000
    config.eval_every = 250


def _without(letters: str):
    """Build `base` with 200 steps, without the files of a survey: those of these first letters."""

    def change(config: ConfigDict) -> None:
        _base(config)
        config.data.path += f"/[!{letters}]*.parquet"
        config.steps = 200
        config.eval_every = 50

    return change


def _size(width: int, base: float):
    """Build `base` with 60 steps, of a width and a base of the time encoding (paper, Fig. 8)."""

    def change(config: ConfigDict) -> None:
        _base(config)
        config.model.width = width
        config.model.base = base
        config.steps = 60
        config.eval_every = 20

    return change


VARIANTS = {
    "": lambda config: None,
    "smoother": _smoother,
    "base": _base,
    "official": _official,
    "paper": _paper,
    "astromer2": _astromer2,
    "without_asas": _without("a"),
    "without_crts": _without("c"),
    "without_ogle": _without("do"),  # debosscher.parquet holds curves of OGLE too
    "without_eros": _without("e"),
    "without_macho": _without("m"),
    **{
        f"width_{width}_base_{base}": _size(width, float(base))
        for width in (64, 128, 256)
        for base in (1000, 10000)
    },
}
