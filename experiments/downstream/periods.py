"""The logarithm of the period by regression and by choice, beside a forest and a periodogram."""

from common import FLAGS, data_of, fill, run

from astro_jax.workdir import read_json

STEPS = {"steps": 200, "eval_every": 20, "patience": 4}
SURVEYS = ("eros1", "ogle4_lmc_cep")
VARIANTS = ("period", "", "mlp_att")  # of configs/regress.py


def regress_cell(survey: str, variant: str, seed: int) -> dict:
    """Return the errors of a model on test stars, beside the baselines."""
    name = f"regress.py:{variant}" if variant else "regress.py"
    changes = {"data__target": "log_period", "baselines": variant != "mlp_att", "seed": seed}
    place = f"regress_{survey}_{variant or 'ours'}_{seed}"
    folder = run(name, place, **changes, **STEPS, **data_of(survey))
    summary = read_json(folder / "summary.json")
    told = {name: summary[name] for name in ("best_step", "epochs", "seconds", "objects")}
    return {**told, **{k: v for k, v in summary.items() if isinstance(v, dict) and "rmse" in v}}


def regress() -> None:
    """Measure both surveys; write regress.json."""
    order = [(s, v, k) for k in range(FLAGS.folds) for v in VARIANTS for s in SURVEYS]
    fill("regress", order, regress_cell)
