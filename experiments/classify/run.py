"""Classify with 20 and 100 labels a class: our forest, beside the baselines.

    python experiments/classify/run.py [--surveys=ogle3_lmc,eros1,macho,asas,crts] [--seeds=10]

The protocol of `configs/classify.py`: test objects from the held-out fifth of the stars, up to k
labels a class from the others, a fold a seed, classes of fewer than 40 objects left out.  "shares":
with how common each class is among the other curves of the survey (`models.forest.survey_shift`),
as `configs/classify.py` has it; else all classes are taken to be alike.  "without": our weights
trained without any file of the survey (`experiments/downstream/run.py left_out`).  Features and
vectors of a survey are computed once and kept under --cache, and what <survey>.json has is not
measured again.  Writes <survey>.json for each survey and classify.png over all that there are.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags, logging
from forests import forest
from sklearn.metrics import f1_score
from surveys import NAMES, blocks_of, kept, labelled, others, vectors_of

from astro_jax.data.curves import Curves
from astro_jax.data.labels import Labels, few_labels
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.features import features
from astro_jax.models.forest import TINY, survey_shift
from astro_jax.report import save_figure, text_table
from astro_jax.workdir import read_json, write_text

HERE = Path(__file__).parent
BUDGETS = (20, 100)
# 29 features of the kinds that the forest of the data's README has: moments, percentiles,
# Lomb-Scargle period, statistics of the folded curve.
FEW = (
    *("std", "skew", "kurtosis", "mean_offset", "mad", "iqr", "amplitude", "range", "spread_30"),
    *("spread_60", "spread_80", "asymmetry_50", "asymmetry_90", "log_period_sine", "power_sine"),
    *("log_period", "power_1", "string_length", "folded_eta", "folded_range", "folded_skew"),
    *("faint_share", "bright_share", "rise", "folded_scatter", "amplitude_1", "r_21"),
    *("phi_21_cos", "phi_21_sin"),
)
BAR = "forest, 73 features"
SHARES = ", shares"
ENCODERS = ["base", "without", "official", "untrained"]
COMPARED = (  # in --many folds
    BAR,
    "ours: features alone",
    *(f"ours: features + {encoder}" for encoder in ENCODERS[:3]),
)
LEFT_OUT = "runs/experiment_downstream/without_{}"
UNCOUNTED = "features + base, uncounted"
UNLABELLED = 1000  # curves at most, as in configs/classify.py
flags.DEFINE_list("encoders", ENCODERS, "encoders: runs, shipped weights, or these names")
flags.DEFINE_integer("seeds", 10, "folds")
flags.DEFINE_integer("many", 40, "folds of what is compared closely")
FLAGS = flags.FLAGS


class Survey(NamedTuple):
    """Labels and stars of a survey, and its inputs by name: arrays [N, K] and their blocks.

    The rows behind those of `labels` are the other curves of the survey.
    """

    labels: Labels
    star: np.ndarray
    inputs: dict[str, tuple[np.ndarray, np.ndarray, dict[str, int] | None]]
    few: list[int]


def survey_of(name: str) -> Survey:
    """Return a survey with what all models see of it."""
    curves, labels = labelled(name)
    rest = others(name)
    names = features(curves.take(np.arange(2)))[0]

    def both(what: str, compute: Callable[[Curves], np.ndarray]) -> np.ndarray:
        table = kept(name, what, lambda: compute(curves))
        if not len(rest):
            return table
        more = kept(name, f"others_{what}", lambda: compute(rest))
        return np.concatenate([table, more])

    table = both("features", lambda c: features(c)[1])
    plain = table.astype(np.float32)
    nothing = np.zeros((len(plain), 1), np.float32)
    inputs = {"": (table, nothing, None), "features alone": (plain, nothing, None)}
    sources = {"without": LEFT_OUT.format(name)}
    for encoder in FLAGS.encoders:
        short, source = Path(encoder).name, sources.get(encoder, encoder)
        vectors = both(short, lambda c, e=source: vectors_of(c, e))
        blocks = blocks_of(source)
        inputs[f"features + {short}"] = (plain, vectors, blocks)
        inputs[f"{short} alone"] = (nothing, vectors, blocks)
        if short == "base":  # whether the number of observations tells classes apart
            fewer = {block: size for block, size in blocks.items() if block != "count"}
            inputs[UNCOUNTED] = (plain, vectors[:, : sum(fewer.values())], fewer)
    star = np.concatenate([curves.star, rest.star])
    return Survey(labels, star, inputs, [names.index(n) for n in FEW])


def one_survey(name: str, known: dict) -> dict:
    """Return {budget: {model: [macro-F1 by seed]}} and what they were measured on.

    known: those there are. "official": our forest on the vectors of the released MACHO weights.
    """
    survey, result = survey_of(name), known.get("macro_f1", {})
    labels = survey.labels
    for budget in BUDGETS:
        scores = result.setdefault(str(budget), {})
        for seed in range(max(FLAGS.seeds, FLAGS.many)):
            for model, f1 in one_fold(survey, budget, seed, scores).items():
                scores.setdefault(model, []).append(f1)
        print(name, budget, text_table(rows_of(scores)), sep="\n", flush=True)
    sizes = {c: int((labels.codes == k).sum()) for k, c in enumerate(labels.classes)}
    dropped = {d.name or "no label": [d.count, d.reason] for d in labels.dropped}
    return {"survey": name, "classes": sizes, "left_out": dropped, "macro_f1": result}


def one_fold(survey: Survey, budget: int, seed: int, scores: dict) -> dict[str, float]:
    """Return the macro-F1 of the models whose scores lack this seed."""
    labels, count = survey.labels, len(survey.labels.classes)
    labelled_star = survey.star[: len(labels.codes)]
    split = few_labels(labels, labelled_star, budget, seed)
    known, test = np.concatenate([split.train, split.valid]), split.test
    codes = labels.codes[known]
    free = np.setdiff1d(np.flatnonzero(~np.isin(survey.star, survey.star[test])), known)
    sample = np.random.default_rng([seed, 5]).permutation(free)[:UNLABELLED]
    asked, told = np.concatenate([test, sample]), {}

    def lacks(model: str) -> bool:
        folds = FLAGS.many if model.removesuffix(SHARES) in COMPARED else FLAGS.seeds
        return len(scores.get(model, ())) <= seed < folds

    def keep(model: str, p: np.ndarray, shares: bool = True) -> None:
        logits = np.log(np.maximum(p, TINY))
        shift = survey_shift(p[len(test) :], codes, len(free))
        told[model] = logits[: len(test)]
        if shares:
            told[model + SHARES] = told[model] + shift

    table = survey.inputs[""][0]
    if lacks("majority"):
        keep("majority", majority_class(codes, len(asked), count), False)
    if lacks("forest, 29 features"):
        few = table[:, survey.few]
        p = random_forest(few[known], codes, few[asked], count, seed)
        keep("forest, 29 features", p, False)
    if lacks(BAR) or lacks(BAR + SHARES):
        keep(BAR, random_forest(table[known], codes, table[asked], count, seed))
    for what, (*pair, blocks) in survey.inputs.items():
        model, close = f"ours: {what}", f"ours: {what}" in COMPARED
        if what and (lacks(model) or (close and lacks(model + SHARES))):
            shown = [tuple(x[rows] for x in pair) for rows in (known, asked)]
            logits = forest(shown[0], codes, shown[1], count, seed, blocks=blocks)
            keep(model, np.exp(logits), close)
    truth = labels.codes[test]
    return {
        model: float(f1_score(truth, p.argmax(1), average="macro", zero_division=0))
        for model, p in told.items()
        if lacks(model)
    }


def rows_of(scores: dict[str, list[float]]) -> list[dict]:
    """Return a row a model: mean, its 95 % interval over folds, and that of the gain on the bar."""
    rows = []
    for model, values in scores.items():
        mean, low, high = over_seeds(values)
        gain = over_seeds(list(np.subtract(values, scores[BAR][: len(values)])))
        rows.append(
            {
                "model": model,
                "folds": len(values),
                "macro-F1": round(mean, 3),
                "95 %": f"{low:.3f}-{high:.3f}",
                "gain": round(gain[0], 3),
                "gain 95 %": f"{gain[1]:+.3f} {gain[2]:+.3f}",
            }
        )
    return rows


def plot(results: list[dict]) -> None:
    """Draw macro-F1 with its interval, a panel a survey and budget, a row a model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(results), 6), layout="constrained")
    panels = figure.subplots(len(BUDGETS), len(results), squeeze=False)
    for row, budget in zip(panels, BUDGETS, strict=True):
        for axis, result in zip(row, results, strict=True):
            scores = result["macro_f1"][str(budget)]
            models = sorted(set(scores) - {"majority"}, reverse=True)
            for y, model in enumerate(models):
                mean, low, _ = over_seeds(scores[model])
                color = "C1" if model.endswith(SHARES) else "C0"
                axis.errorbar(mean, y, xerr=mean - low, fmt="o", ms=4, color=color)
            axis.set_yticks(range(len(models)), models if axis is row[0] else [], fontsize=8)
            axis.grid(alpha=0.3)
            axis.set_title(f"{result['survey']}, {budget} labels a class", fontsize=9)
    figure.supxlabel("macro-F1 of held-out objects", fontsize=9)
    save_figure(figure, HERE / "classify.png")


def main(argv: list[str]) -> None:
    """Run the surveys, one after the other."""
    logging.set_verbosity(logging.WARNING)
    for name in FLAGS.surveys:
        path = HERE / f"{name}.json"
        result = one_survey(name, read_json(path) if path.exists() else {})
        write_text(path, json.dumps(result, indent=1) + "\n")
    paths = [HERE / f"{name}.json" for name in sorted(NAMES)]
    plot([read_json(path) for path in paths if path.exists()])


if __name__ == "__main__":
    app.run(main)
