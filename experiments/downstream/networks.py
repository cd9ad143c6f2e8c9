"""Fine-tuning by budget, heads by scenario, and the sweeps: loops over the configs.

Every training is as short as two cores ask for, and equally long for all that are compared.
"""

import shutil
from itertools import product
from pathlib import Path
from typing import Any

import jax
from absl import flags
from common import FLAGS, HERE, NAMES, RUNS, data_of, fill, labelled, run, weights_of
from plots import plot_curves, plot_dots, plot_lines

import astro_jax
from astro_jax.data.labels import few_labels
from astro_jax.data.pipeline import eval_batches, spread
from astro_jax.data.windows import consecutive_windows
from astro_jax.evals.reconstruction import mean_of_visible, model_predictor, rmse, score
from astro_jax.infer import encoder_of
from astro_jax.summary import read_metrics
from astro_jax.workdir import read_json

SHORT = {"eval_every": 20, "patience": 3}
FINETUNE = {"steps": 100, **SHORT}
CLASSIFY = {"steps": 200, **SHORT}
WEIGHTS = ("base", "official", "without")
# Scenario and head.  a, b, c: as in the paper; frozen: no fine-tuning.  `forest`, the head that
# configs/classify.py recommends, is grown on a frozen encoder: in (c) on one fine-tuned on all
# curves.  Where an encoder is trained with its head, `fusion_slow` sees the same inputs.
TRAINED = (
    ("b", "fusion_slow"),
    ("b", "mlp_att_trained"),
    ("c", "fusion_slow"),
    ("c", "mlp_att_trained"),
    ("b", "lstm_att_trained"),
    ("c", "lstm_att_trained"),
)
FROZEN = (
    ("a", "mlp_att"),
    ("a", "lstm_att"),
    ("a", "forest"),
    ("a", "fusion"),
    ("c", "forest"),
    ("frozen", "mlp_att"),
    ("frozen", "forest"),
    ("frozen", "lstm_att"),
)
BASELINES = ("features + random forest", "majority class", "same network, encoder untrained")
ALONE = ("mlp_att_untrained", "fusion_untrained", "lstm")
flags.DEFINE_list("weights", list(WEIGHTS), "which weights, of the grid")
flags.DEFINE_list("budgets", ["20", "100", "0", "50", "500"], "curves or labels a class; 0: all")


def finetuned(survey: str, weights: str, budget: int, fold: int) -> tuple[Path, str]:
    """Fine-tune on the curves of a budget, without labels; return the folder and its `init`."""
    variant = "finetune.py:official" if weights == "official" else "finetune.py"
    init = weights_of(weights, survey)
    changes = {"init": init, "per_class": budget, "seed": fold, **FINETUNE, **data_of(survey)}
    return run(variant, f"ft_{survey}_{weights}_{budget}_{fold}", **changes), init


def table_cell(survey: str, weights: str, budget: int, fold: int) -> dict[str, Any]:
    """Return epochs, seconds, and test RMSE before and after fine-tuning (Table 5, Fig. 9).

    On the test objects of the fold, the same for all budgets; "as fed": with the hidden magnitudes
    left in the input, as the released code does, which ours ignore.
    """
    folder, init = finetuned(survey, weights, budget, fold)
    curves, labels = labelled(survey)
    test = curves.take(few_labels(labels, curves.star, None, fold).test)
    windows = spread(consecutive_windows(test.lengths, 200), 256)
    predictors = {"mean of visible points": mean_of_visible}
    for name, source in (("before", init), ("after", folder)):
        loaded = encoder_of(astro_jax.load(source))
        predictors[name] = model_predictor(loaded.model.apply, loaded.params)
        predictors[f"{name}, as fed"] = model_predictor(loaded.model.apply, loaded.params, False)
    errors = score(predictors, eval_batches(test, windows, 64, 200), jax.random.key(fold))
    summary = read_json(folder / "summary.json")
    told = {name: summary[name] for name in ("best_step", "epochs", "seconds", "curves")}
    return {
        **told,
        "windows": len(errors["before"]),
        "rmse": {k: rmse(e) for k, e in errors.items()},
    }


def left_out() -> None:
    """Train the weights that never saw a survey, one after the other."""
    for survey in chosen():
        print(weights_of("without", survey), flush=True)


def tables() -> None:
    """Measure all surveys, weights and budgets; write tables.json, tables.png and times.png."""
    order = product(range(FLAGS.folds), budgets(), chosen(), WEIGHTS)
    records = fill("tables", [(s, w, b, fold) for fold, b, s, w in order], table_cell)
    errors: dict = {}
    times: dict = {}
    begun = set()  # the RMSE before is the same for all budgets of a fold
    for record in records:
        survey, weights, budget, fold = record["cell"]
        line = errors.setdefault(survey, {}).setdefault(weights, {})
        line.setdefault(budget or 2000, []).append(record["rmse"]["after"])
        if (survey, weights, fold) not in begun:
            begun.add((survey, weights, fold))
            line.setdefault(10, []).append(record["rmse"]["before"])
        mean = errors[survey].setdefault("mean of visible points", {})
        mean.setdefault(budget or 2000, []).append(record["rmse"]["mean of visible points"])
        line = times.setdefault(survey, {}).setdefault(weights, {})
        line.setdefault(budget or 2000, []).append(record["seconds"] / 60)
    words, budget = {10: "none", 2000: "all"}, "fine-tuned on, curves a class"
    plot_lines("tables", errors, budget, "test RMSE (mag)", words)
    plot_lines("times", times, budget, "minutes on one core", words)


def head_cell(survey: str, weights: str, scenario: str, head: str, budget: int, fold: int) -> dict:
    """Return the scores of a head on test objects, and its learning curve (Figs. 11, 12)."""
    if scenario == "alone":  # nothing of an encoder that was trained
        init = ""
    elif scenario == "frozen":
        init = weights_of(weights, survey)
    else:
        some, seed = (0, 0) if scenario == "c" else (budget, fold)
        init = str(finetuned(survey, weights, some, seed)[0])
    changes = {"per_class": budget, "seed": fold, **CLASSIFY, **data_of(survey)}
    if init:
        changes["init"] = init
    if (scenario, head) == ("frozen", "forest"):
        changes["baselines"] = True  # once: they are the same for all cells of a fold
    name = f"clf_{survey}_{weights}_{scenario}_{head}_{budget}_{fold}"
    return scores_of(run(f"classify.py:{head}", name, **changes))


def scores_of(folder: Path) -> dict[str, Any]:
    """Return what a run of classify says of its test objects, and its learning curve."""
    summary = read_json(folder / "summary.json")
    kinds = {"object": "model", "voted": "model, windows voted", "window": "model, per window"}
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if line["step"] % 20 == 0]
    curve = [[m["step"], m["split"], round(m["loss"], 4), round(m["accuracy"], 4)] for m in lines]
    classes = summary["model"]["classes"].values()
    return {
        **{name: summary[name] for name in ("best_step", "epochs", "seconds", "objects")},
        "macro_f1": {kind: summary[name]["macro_f1"] for kind, name in kinds.items()},
        **{name: sum(c[name] for c in classes) / len(classes) for name in ("precision", "recall")},
        "accuracy": summary["model"]["accuracy"],
        "calibration_error": summary["model"]["calibration_error"],
        "baselines": {name: summary[name]["macro_f1"] for name in BASELINES if name in summary},
        "curve": curve,
    }


def grid() -> None:
    """Measure heads, scenarios, weights and budgets; write grid.json and two pictures."""
    weights = [name for name in WEIGHTS if name in FLAGS.weights]
    trained = [(name, *head) for name, head in product(weights, TRAINED)]
    frozen = [(name, *head) for name, head in product(weights, FROZEN)]
    frozen += [("none", "alone", head) for head in ALONE]
    folds = range(FLAGS.folds)
    order = [x for kinds in (trained, frozen) for x in product(folds, budgets(), kinds, chosen())]
    cells = [(survey, *kind, budget, fold) for fold, budget, kind, survey in order]
    cells = [cell for cell in cells if (cell[2], cell[4]) != ("b", 0)]  # all labels: (b) is (c)
    records = fill("grid", cells, head_cell)
    bars: dict = {}
    for record in records:
        survey, *_, budget, _ = record["cell"]
        if bar := record["baselines"].get(BASELINES[0]):
            bars.setdefault((survey, budget), []).append(bar)
    plot_dots("grid", records, ("macro_f1", "object"), "macro-F1 of test objects", bars)
    plot_curves("learning_curves", records)
    for survey in chosen():  # of the recommended head
        drawn = Path(RUNS) / f"clf_{survey}_base_frozen_forest_100_0" / "confusion.png"
        if drawn.exists():
            shutil.copy(drawn, HERE / f"confusion_{survey}.png")


def vector_cell(survey: str, weights: str, vector: str, budget: int, fold: int) -> dict[str, Any]:
    """Return the scores of MLP+ATT on one vector of the embeddings."""
    head = "mlp_att" if vector == "mean" else f"mlp_att_{vector}"
    return head_cell(survey, weights, "frozen", head, budget, fold)


def vectors() -> None:
    """Compare first, last, random and mean vector; write vectors.json and vectors.png."""
    kinds = ("mean", "first", "last", "random")
    order = product(range(FLAGS.folds), (100, 20), chosen(), ("base", "official"), kinds)
    cells = [(survey, w, kind, budget, fold) for fold, budget, survey, w, kind in order]
    records = fill("vectors", cells, vector_cell)
    plot_dots("vectors", records, ("macro_f1", "object"), "macro-F1 of test objects")


def rates() -> None:
    """Sweep the learning rate of the LSTM baseline (Fig. D.1); write rates.json, rates.png."""
    variants = ("lstm", "lstm_1e-2", "lstm_1e-4", "lstm_1e-5")
    order = product(range(FLAGS.folds), chosen(), variants)
    cells = [(s, "none", "alone", v, 100, fold) for fold, s, v in order]
    plot_curves("rates", fill("rates", cells, head_cell))


def width_cell(width: int, base: int, seed: int) -> dict[str, Any]:
    """Return the validation RMSE of an encoder of a width and a base at the common budget."""
    folder = run(
        f"pretrain_macho.py:width_{width}_base_{base}", f"width_{width}_{base}_{seed}", seed=seed
    )
    summary = read_json(folder / "summary.json")
    lines = read_metrics(folder / "metrics.jsonl")
    valid = [[m["step"], m["rmse_hidden"]] for m in lines if m["split"] == "valid"]
    return {"valid": valid, "seconds": summary["seconds"], **summary["rmse_hidden"]["test"]}


def widths() -> None:
    """Compare widths and bases of the time encoding (Fig. 8); write widths.json, widths.png."""
    cells = [(w, b, s) for s, w, b in product(range(FLAGS.folds), (256, 128, 64), (10000, 1000))]
    records = fill("widths", cells, width_cell)
    points: dict = {}
    for record in records:
        width, base, _ = record["cell"]
        line = points.setdefault("all surveys", {}).setdefault(f"base {base}", {})
        line.setdefault(width, []).append(record["model"])
    plot_lines("widths", points, "width", "test RMSE (mag)")


def budgets() -> list[int]:
    """Return the budgets to measure."""
    return [int(budget) for budget in FLAGS.budgets]


def chosen() -> list[str]:
    """Return the surveys to measure, the most informative ones first."""
    order = ["ogle3_lmc", "asas", "eros1", "macho", "crts"]
    return [name for name in order if name in FLAGS.surveys and name in NAMES]
