"""Classify with 20 and 100 labels a class: our forest, beside the baselines.

    python experiments/classify/run.py [--surveys=ogle3_lmc,eros1,macho,asas,crts] [--seeds=5]

The protocol of `configs/classify.py`: test objects from the held-out fifth of the stars, up to k
labels a class from the others, a fold a seed, classes of fewer than 40 objects left out.  Features
and vectors of a survey are computed once and kept under --cache.  Writes <survey>.json for each
survey and classify.png over all that there are.
"""

import json
from pathlib import Path

import numpy as np
from absl import app, flags
from forests import forest
from sklearn.metrics import f1_score
from surveys import blocks_of, kept, labelled, vectors_of

from astro_jax.data.labels import few_labels
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.features import features
from astro_jax.report import save_figure, text_table
from astro_jax.workdir import write_text

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
ENCODERS = ["base", "untrained", "official"]
flags.DEFINE_list("encoders", ENCODERS, "encoders: runs, shipped weights, untrained, official")
flags.DEFINE_integer("seeds", 5, "folds")
FLAGS = flags.FLAGS


def one_survey(name: str) -> dict:
    """Return {budget: {model: [macro-F1 by seed]}} and what they were measured on.

    "official": our forest on the vectors of the released MACHO weights.
    """
    curves, labels = labelled(name)
    names = features(curves.take(np.arange(2)))[0]
    table = kept(name, "features", lambda: features(curves)[1])
    vectors = {e: kept(name, e, lambda e=e: vectors_of(curves, e)) for e in FLAGS.encoders}
    plain = table.astype(np.float32)
    few = table[:, [names.index(n) for n in FEW]]
    nothing = np.zeros((len(plain), 1), np.float32)
    count, result = len(labels.classes), {}
    for budget in BUDGETS:
        scores: dict[str, list[float]] = {}
        for seed in range(FLAGS.seeds):
            split = few_labels(labels, curves.star, budget, seed)
            known, test = np.concatenate([split.train, split.valid]), split.test
            codes, truth = labels.codes, labels.codes[test]
            told = {
                "majority": majority_class(codes[known], len(test), count),
                "forest, 29 features": random_forest(
                    few[known], codes[known], few[test], count, seed
                ),
                BAR: random_forest(table[known], codes[known], table[test], count, seed),
            }
            inputs = {"features alone": (plain, nothing, None)}
            for e, x in vectors.items():
                name_, blocks = Path(e).name, blocks_of(e)
                inputs[f"features + {name_}"] = (plain, x, blocks)
                inputs[f"{name_} alone"] = (nothing, x, blocks)
            for what, (*pair, blocks) in inputs.items():
                shown = [tuple(x[rows] for x in pair) for rows in (known, test)]
                told[f"ours: {what}"] = forest(
                    shown[0], codes[known], shown[1], count, seed, blocks=blocks
                )
            for model, p in told.items():
                f1 = f1_score(truth, p.argmax(1), average="macro", zero_division=0)
                scores.setdefault(model, []).append(float(f1))
        result[str(budget)] = scores
        print(name, budget, text_table(rows_of(scores)), sep="\n", flush=True)
    sizes = {c: int((labels.codes == k).sum()) for k, c in enumerate(labels.classes)}
    dropped = {d.name or "no label": [d.count, d.reason] for d in labels.dropped}
    return {"survey": name, "classes": sizes, "left_out": dropped, "macro_f1": result}


def rows_of(scores: dict[str, list[float]]) -> list[dict]:
    """Return a row a model: mean, its 95 % interval over folds, and that of the gain on the bar."""
    rows = []
    for model, values in scores.items():
        mean, low, high = over_seeds(values)
        gain = over_seeds(list(np.subtract(values, scores[BAR])))
        rows.append(
            {
                "model": model,
                "macro-F1": round(mean, 3),
                "95 %": f"{low:.3f}-{high:.3f}",
                "gain": round(gain[0], 3),
                "gain 95 %": f"{gain[1]:+.3f} {gain[2]:+.3f}",
            }
        )
    return rows


def plot(results: list[dict]) -> None:
    """Draw macro-F1 with its interval, a panel a budget, a colour a model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    for axis, budget in zip(figure.subplots(1, len(BUDGETS), sharey=True), BUDGETS, strict=True):
        seen: set[str] = set()
        for k, result in enumerate(results):
            scores = result["macro_f1"][str(budget)]
            for j, (model, values) in enumerate(scores.items()):
                mean, low, _ = over_seeds(values)
                label = None if model in seen else model
                seen.add(model)
                at = k + 0.09 * (j - len(scores) / 2)
                axis.errorbar(at, mean, mean - low, fmt="o", ms=4, color=f"C{j}", label=label)
        axis.set_xticks(range(len(results)), [r["survey"] for r in results])
        axis.set_title(f"{budget} labels a class")
    figure.axes[0].set_ylabel("macro-F1 of held-out objects")
    figure.axes[-1].legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, HERE / "classify.png")


def main(argv: list[str]) -> None:
    """Run the surveys, one after the other."""
    for name in FLAGS.surveys:
        write_text(HERE / f"{name}.json", json.dumps(one_survey(name), indent=1) + "\n")
    plot([json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))])


if __name__ == "__main__":
    app.run(main)
