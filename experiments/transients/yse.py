"""YSE with few labels: what transfer reaches beside forests, linear probes and the majority."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from common import FLAGS, HERE, OFFICIAL, SEEDS, THREE, YSE, base, run, write

import astro_jax
from astro_jax.data.read_transients import read_transients
from astro_jax.data.transient_labels import draw_labels
from astro_jax.data.transients import Transients
from astro_jax.evals.auroc import area, aurocs, calibration_error, macro_auroc, summary
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.calibration import softmax
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.transient_features import transient_features
from astro_jax.report import line_plot, text_table
from astro_jax.transient_prediction import network_outputs, network_rows, predict_transients
from astro_jax.transient_task import hide

TEST = 0.4  # of YSE: 123 objects


class Setting(NamedTuple):
    """Labels in all (0: all outside of the test part), share of the test part, how it is drawn.

    fixed: the same test part for all seeds, which nothing was chosen by; else every seed has
    another one, and objects that choices were made by may be in it
    """

    labels: int
    test: float
    fixed: bool

    def split(self, seed: int) -> int:
        """Return which draw of the test part belongs to a seed; 0 is that of the package."""
        return 0 if self.fixed else seed + 1


SETTINGS = {
    "60": Setting(60, TEST, True),
    "all": Setting(0, TEST, True),
    "60, five splits": Setting(60, 0.3, False),
    "all, five splits": Setting(0, 0.3, False),
}


def yse_file(split: int) -> Path:
    """Return the file of YSE; for another split one whose stars have other names, so other hashes.

    Objects of one `sky_group` stay together in each.
    """
    if not split:
        return YSE
    path = Path(FLAGS.runs) / f"yse_split_{split}.parquet"
    if not path.exists():
        table = pq.read_table(YSE)
        names = [f"{split}-{name}" for name in table["sky_group"].to_pylist()]
        place = table.column_names.index("sky_group")
        pq.write_table(table.set_column(place, "sky_group", [names]), path)
    return path


def goal() -> None:
    """Train with 60 and with all labels outside of the test part, five seeds, from each base.

    Writes goal.json: {base: {setting: scores}}.
    """
    told: dict[str, dict] = {}
    for name in ("ztf", "yse", "surveys"):
        told[name] = goal_from(name)
        write("goal", told)
    draw_days({name: told["ztf"][name] for name in ("60", "all")})


def goal_from(start: str) -> dict[str, Any]:
    """Return the scores of what starts from one base, and of what needs none, by setting."""
    told = {}
    for name, setting in SETTINGS.items():
        found = [one_seed(start, setting, seed) for seed in range(SEEDS)]
        scores = {key: [f[key] for f, _, _ in found] for key in found[0][0]}
        told[name] = {
            "mean and 95 % over seeds": {k: list(over_seeds(v)) for k, v in scores.items()},
            "seeds": scores,
            "tested": [np.bincount(truth).tolist() for _, _, truth in found],
        }
        if setting.fixed:
            truth = found[0][2]
            mean = np.mean([said for _, said, _ in found], axis=0)
            told[name]["five seeds averaged"] = summary(aurocs(mean, truth, THREE))
    keys = next(iter(told.values()))["seeds"]
    print(f"from the base {start}")
    print(text_table([
        {"": k, **{n: round(t["mean and 95 % over seeds"][k][0], 3) for n, t in told.items()}}
        for k in keys
    ]))  # fmt: skip
    return told


def one_seed(
    start: str, setting: Setting, seed: int
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Return all scores of a seed, the probabilities of the test objects and their classes."""
    prefix = "goal" if start == "ztf" else f"goal_{start}"
    folder = run(
        "transfer_bts.py",
        f"{prefix}_{setting.labels}_{setting.split(seed)}_{seed}",
        init=base(start),
        data__path=yse_file(setting.split(seed)),
        data__test=setting.test,
        labels=setting.labels,
        seed=seed,
    )
    result = json.loads((folder / "summary.json").read_text())
    said, truth = predicted(folder, setting, seed)
    scores = {
        "transfer": result["model"]["macro_auroc"],
        "transfer, redshift hidden": result["model, redshift hidden"]["macro_auroc"],
        "calibration error before": result["model"]["calibration_error_before"],
        "calibration error after": result["model"]["calibration_error"],
        **{f"day {d}": v[0] for d, v in result["by_day"].items()},
    }
    plain = plain_baselines(setting, seed, base(start))
    trees, forest = plain["our latents, trees"], plain["forest"]
    plain["transfer and forest, averaged"] = (said + forest) / 2
    plain["our latents, trees, and forest, averaged"] = (trees + forest) / 2
    plain["all three averaged"] = (said + trees + forest) / 3
    scores |= {name: macro_auroc(told, truth) for name, told in plain.items()}
    return scores, said, truth


def split_of(setting: Setting, seed: int) -> tuple[Transients, np.ndarray, np.ndarray, np.ndarray]:
    """Return the labelled objects, class numbers, and the rows to learn from and to test on."""
    transients, _ = read_transients(str(yse_file(setting.split(seed))))
    transients = transients.take(np.array([label in THREE for label in transients.label]))
    codes = np.array([THREE.index(label) for label in transients.label])
    split = draw_labels(codes, transients.star, setting.labels, seed, setting.test, 0.1)
    return transients, codes, np.concatenate([split.train, split.valid]), split.test


def predicted(folder: Path, setting: Setting, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the test objects by a run, and their class numbers."""
    transients, codes, _, test = split_of(setting, seed)
    found = predict_transients(astro_jax.load(folder), transients.take(test))
    order = [found.classes.index(name) for name in THREE]
    return found.probabilities[:, order], codes[test]


def plain_baselines(setting: Setting, seed: int, init: str) -> dict[str, np.ndarray]:
    """Return the test probabilities [N, 3] of forests, of the majority, and of what reads latents.

    Those are linear probes on the released networks, and trees on the base as it is: chosen by
    cross-validation on the objects outside of the fixed test part, before any test.
    """
    transients, codes, known, test = split_of(setting, seed)
    told = {"majority": majority_class(codes[known], len(test), 3)}
    for name, redshift in (("forest", True), ("forest, no redshift", False)):
        table = transient_features(transients, redshift)[1]
        told[name] = random_forest(table[known], codes[known], table[test], 3, seed)
    for network in ("host", "nohost"):
        table = latents(astro_jax.load(OFFICIAL, network=network), transients)
        said = linear_probe(table[known], codes[known], table[test])
        told[f"official latents ({network}), linear probe"] = said
    table = latents(astro_jax.load(init), transients)
    told["our latents, trees"] = trees(table[known], codes[known], table[test], seed)
    return told


def latents(run_of: astro_jax.Run, transients: Transients) -> np.ndarray:
    """Return the latents of a network, [N, 100]; bands are fed to it as it was trained."""
    rows, place, _ = network_rows(run_of, transients)
    full = np.zeros((len(transients), 100))  # an object that it cannot see has no latent: zeros
    full[place] = network_outputs(run_of, rows)["embedding"]
    return full


def trees(train: np.ndarray, codes: np.ndarray, query: np.ndarray, seed: int) -> np.ndarray:
    """Return the probabilities of extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(
        400, min_samples_leaf=2, class_weight="balanced", random_state=seed
    )
    return model.fit(train, codes).predict_proba(query)


def linear_probe(train: np.ndarray, codes: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the probabilities of a logistic regression on standardised columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return model.fit(train, codes).predict_proba(query)


def draw_days(told: dict[str, Any]) -> None:
    """Draw AUROC against days since the trigger."""
    lines = {}
    for labels, part in told.items():
        means = part["mean and 95 % over seeds"]
        days = [k for k in means if k.startswith("day ")]
        lines[f"{labels} labels"] = [(float(d[4:]), *means[d]) for d in days]
    axes = "days since the trigger", "macro AUROC (mean of 5 seeds, 95 %)"
    line_plot(HERE / "days.png", lines, *axes, "YSE, three classes", "linear")


def redshift() -> None:
    """Hide a growing share of the redshifts of the test objects; write redshift.json."""
    told: dict[str, Any] = {}
    for name in ("60", "all"):
        found: dict[str, list] = {}
        for seed in range(SEEDS):
            trained = astro_jax.load(Path(FLAGS.runs) / f"goal_{SETTINGS[name].labels}_0_{seed}")
            transients, codes, _, test = split_of(SETTINGS[name], seed)
            rows, place, _ = network_rows(trained, transients.take(test))
            logits = network_outputs(trained, rows)["logits"]
            blind = network_outputs(trained, hide(rows, trained.config.metadata, ["redshift"]))
            order = np.random.default_rng(seed).permutation(len(logits)) / len(logits)
            classes = list(trained.config.classes)
            truth = np.array([classes.index(THREE[c]) for c in codes[test][place]])
            for share in (0.0, 0.25, 0.5, 0.75, 1.0):
                mixed = np.where((order < share)[:, None], blind["logits"], logits)
                said = softmax(mixed, trained.config.temperature)
                told_now = [macro_auroc(said, truth), calibration_error(said, truth)]
                found.setdefault(f"{share:g}", []).append(told_now)
        told[name] = {
            share: dict(zip(("macro_auroc", "calibration_error"),
                            [list(over_seeds(v)) for v in zip(*values, strict=True)], strict=True))
            for share, values in found.items()
        }  # fmt: skip
    write("redshift", told)
    lines = {
        f"{labels} labels": [(float(s), *v["macro_auroc"]) for s, v in part.items()]
        for labels, part in told.items()
    }
    axes = "share of the redshifts that is hidden", "macro AUROC (mean of 5 seeds, 95 %)"
    line_plot(HERE / "redshift.png", lines, *axes, "YSE, three classes", "linear")


def outliers() -> None:
    """Tell objects of other classes by the outlier score of the YSE runs; write outliers.json.

    Known are the test objects; unknown are YSE's TDE and SLSN-I, and simulated objects of classes
    that the run does not know, as YSE would see them.
    """
    whole, _ = read_transients(str(YSE))
    real = whole.take(np.array([label in ("TDE", "SLSN-I") for label in whole.label]))
    others = {"real TDE and SLSN-I": real}
    for name in ("AGN", "TDE", "SLSN-I"):
        others[f"simulated {name}"] = astro_jax.simulate_transients(200, 9, "yse", {name: 1.0})
    told: dict[str, list] = {}
    for seed in range(SEEDS):
        trained = astro_jax.load(Path(FLAGS.runs) / f"goal_0_0_{seed}")
        transients, _, _, test = split_of(SETTINGS["all"], seed)
        known = predict_transients(trained, transients.take(test)).outlier
        for name, part in others.items():
            score = np.concatenate([known, predict_transients(trained, part).outlier])
            new = np.arange(len(score)) >= len(known)
            ranked = area(score, new, np.ones((1, len(score))))[0]
            told.setdefault(name, []).append(float(ranked))
    counts = {name: len(part) for name, part in others.items()}
    write("outliers", {"auroc": {k: list(over_seeds(v)) for k, v in told.items()}, "n": counts})
