"""Classify light curves with few labels: a head on a pre-trained encoder.

    python -m astro_jax.main --config=configs/classify.py --config.init=base \
        --config.data.path=asas.parquet --config.per_class=20 --workdir=runs/clf

Variants: none (recommended: trees on hand-made features and on what the frozen encoder says of a
curve, grown at once: `steps` and the optimiser do not matter; up to `unlabelled` further curves
tell how common each class is), `forest_features`, `forest_vectors` (the same on one of the two
alone), `fusion` (a network on both), `mlp_att`, `lstm_att` (the paper's heads), `lstm` (its
baseline, without an encoder), `skip`, `max` (Astromer 2), `mlp_att_first`, `mlp_att_last`,
`mlp_att_random`; a suffix `_trained` trains the encoder too, `_slow` with a tenth of the rate,
`_untrained` leaves it as drawn from the seed (`forest_untrained`: the recommended one);
`lstm_1e-2` and the like: other learning rates.
Sources: Donoso-Oliva et al. 2023, A&A 670 A54, sections 5.2 and 6, and the released code.
"""

from ml_collections import ConfigDict

from astro_jax import defaults
from astro_jax.data.inputs import FEATURES, NOTHING, VECTORS
from astro_jax.errors import UserError, suggest
from astro_jax.models.astromer import Smoother
from astro_jax.models.classifier import Classifier, Fusion, Lstm, LstmAtt, MlpAtt, Skip
from astro_jax.models.forest import Forest
from astro_jax.objectives.classification import classification, noise_and_gaps
from astro_jax.spec import spec

FROZEN = (("^encoder/", None),)
SLOW = (("^encoder/", 0.1),)


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant."""
    if variant not in VARIANTS:
        raise UserError(f"classify has no variant '{variant}'{suggest(variant, VARIANTS)}")
    config = base_config()
    head, trained = variant, ""
    for suffix in ("_trained", "_slow", "_untrained"):
        if variant.endswith(suffix):
            head, trained = variant.removesuffix(suffix), suffix
    HEADS[head](config)
    rules = config.optimizer.rules
    config.optimizer.rules = {"_trained": (), "_slow": SLOW}.get(trained, rules)
    if trained == "_untrained":
        config.init = ""
        config.model.encoder = spec(
            Smoother, width=256, heads=8, ffn=512, blocks=2, base=10000.0, candidates=4
        )
    return config


def base_config() -> ConfigDict:
    """Return what all variants share."""
    config = defaults.training(
        "astro_jax.classify:run",
        init="base",
        per_class=0,  # labels of a class; 0: all but the test part. The seed is also the fold.
        windows=4,  # of a curve at most, evenly spaced, when it is classified; 0: all
        eval_every=20,
        eval_windows=0,
        patience=10,
        monitor="loss",
        baselines=False,  # also features with a random forest, the majority, no pre-training
        inputs={},
    )
    config.data = defaults.labels(defaults.training_data("ogle", 2000))
    config.model = spec(Classifier, encoder={}, head=spec(MlpAtt, classes=0))
    config.objective = spec(classification, augment=spec(noise_and_gaps))
    config.optimizer = defaults.adam(config, rate=1e-3, warmup=20, weight_decay=1e-3, rules=FROZEN)
    return config


def _forest(features: str = FEATURES, vector: str = VECTORS):
    def change(config: ConfigDict) -> None:
        config.model.head = spec(Forest, classes=0, features=0, vector=0, trees=400)
        config.inputs = ConfigDict({"features": features, "vector": vector})
        config.unlabelled = 1000  # curves that tell how common classes are; 0: all are alike

    return change


def _fusion(config: ConfigDict) -> None:
    config.model.head = spec(Fusion, classes=0)
    config.inputs = ConfigDict({"features": FEATURES})


def _lstm(config: ConfigDict) -> None:
    config.model = spec(Classifier, encoder=None, head=spec(Lstm, classes=0))
    config.optimizer.rules = ()
    config.init = ""


def _lstm_rate(rate: float):
    def change(config: ConfigDict) -> None:
        _lstm(config)
        config.optimizer.schedule.rate = rate

    return change


def _head(head: type, **arguments: object):
    def change(config: ConfigDict) -> None:
        config.model.head = spec(head, classes=0, **arguments)

    return change


HEADS = {
    "": _forest(),
    "forest": _forest(),
    "forest_features": _forest(vector=NOTHING),
    "forest_vectors": _forest(features=NOTHING),
    "fusion": _fusion,
    "lstm": _lstm,
    **{f"lstm_{rate}": _lstm_rate(float(rate)) for rate in ("1e-2", "1e-4", "1e-5")},  # Fig. D.1
    "lstm_att": _head(LstmAtt),
    "mlp_att": _head(MlpAtt),
    "mlp_att_first": _head(MlpAtt, vector="first"),
    "mlp_att_last": _head(MlpAtt, vector="last"),
    "mlp_att_random": _head(MlpAtt, vector="random"),
    "skip": _head(Skip),
    "max": _head(MlpAtt, vector="max"),
}
VARIANTS = [
    *HEADS,
    *(
        f"{head}{suffix}"
        for head in ("fusion", "lstm_att", "mlp_att", "skip", "max")
        for suffix in ("_trained", "_slow")
    ),
    *(f"{head}_untrained" for head in ("forest", "fusion", "mlp_att")),
]
