"""Transfer of transient classification: what it is worth on real and simulated surveys.

    python experiments/transients/run.py [bases curve goal zero_shot ...] [--runs=FOLDER]

Parts, each resumable: `bases` trains a base on each of simulated ZTF, YSE, LSST-and-both, and on
SNPCC; `curve` measures the learning curves; `goal` trains with 60 and with all labels of YSE, five
seeds, beside forests, linear probes and the majority; `zero_shot` classifies real objects without
any label; `redshift` hides redshifts; `outliers` looks for other classes; `speed`. Each writes a
JSON, some a picture, beside this file.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict

import astro_jax
from astro_jax.data.ledger import opening
from astro_jax.data.read_transients import read_transients
from astro_jax.data.transient_labels import draw_labels
from astro_jax.data.transients import Transients, cut_snr, keep_bands
from astro_jax.evals.auroc import area, aurocs, calibration_error, macro_auroc, summary
from astro_jax.evals.baselines import majority_class, random_forest
from astro_jax.evals.calibration import softmax
from astro_jax.evals.classification import over_seeds
from astro_jax.evals.transient_features import transient_features
from astro_jax.main import main as command
from astro_jax.report import line_plot, text_table
from astro_jax.transient_prediction import (
    network_outputs,
    network_rows,
    predict_transients,
)
from astro_jax.transient_task import hide
from astro_jax.workdir import write_text

SHARED = Path(os.environ.get("ASTRO_JAX_SHARED", "../shared"))
HERE = Path(__file__).parent
YSE = SHARED / "data" / "transient_yse_dr1.parquet"
THREE = ["SNII", "SNIa", "SNIb/c"]
FIVE = ["SNIa", "SNII", "SNIb/c", "SLSN-I", "TDE"]
TEST = 0.4  # of YSE: 123 objects
SEEDS = 5
flags.DEFINE_string("runs", "runs/experiment_transients", "where all runs are kept")
FLAGS = flags.FLAGS


def run(config: str, folder: str, **changes: Any) -> Path:
    """Run a config in a folder of the experiment, or go on with it; return the folder."""
    words = [f"--config=configs/{config}", f"--workdir={FLAGS.runs}/{folder}"]
    words += [f"--config.{key.replace('__', '.')}={value}" for key, value in changes.items()]
    code = command(["main", *words])
    if code:
        raise SystemExit(code)
    return Path(FLAGS.runs) / folder


def base(name: str) -> str:
    """Return the folder of a base; train it where it is not there."""
    if name == "snpcc":
        path = SHARED / "data" / "transient_snpcc_sim.parquet"
        return str(run("train_ztf.py", name, data__path=path))
    variant = "" if name == "ztf" else f":{name}"
    return str(run(f"train_ztf.py{variant}", name))


def write(name: str, content: dict[str, Any]) -> None:
    """Write a result beside this file."""
    write_text(HERE / f"{name}.json", json.dumps(content, indent=1) + "\n")


# Learning curves

CURVES = {
    "ztf_yse": ("ztf_yse", "ztf", {}),
    "ztf_yse_two_bands": (
        "ztf_yse",
        "ztf",
        {
            "data__band": "ztfg,ztfr",
            "sizes": (15, 60, 200),
            "methods": ("transfer", "direct", "direct_paper"),
        },
    ),
    "ztf_lsst": (
        "ztf_lsst",
        "ztf",
        {"methods": ("transfer", "latent_output", "gru_latent_output", "direct", "direct_paper")},
    ),
    "snpcc_yse": ("snpcc_yse", "snpcc", {"sizes": (15, 60, 200)}),
    "surveys_yse": ("ztf_yse", "surveys", {"sizes": (15, 60, 200)}),
    "yse_yse": ("ztf_yse", "yse", {"sizes": (15, 60, 200)}),
}
SAME_TARGET = ("snpcc_yse", "surveys_yse", "yse_yse")  # their direct fits are those of ztf_yse


def curve() -> None:
    """Measure all learning curves; write curves.json."""
    told = {}
    for name, (variant, start, changes) in CURVES.items():
        init = base(start)
        changes = dict(changes)
        if variant != "ztf_lsst":
            changes["data__path"] = YSE
        if name in SAME_TARGET:
            changes["methods"] = ("transfer", "direct", "direct_paper")
            copy_direct(name, changes["sizes"])
        if name == "snpcc_yse":
            changes["base__data__path"] = SHARED / "data" / "transient_snpcc_sim.parquet"
        if name in ("surveys_yse", "yse_yse"):
            surveys = {"surveys_yse": ("ztf", "yse", "lsst"), "yse_yse": ("yse",)}[name]
            changes["base__data__simulate__surveys"] = surveys
        folder = run(f"learning_curve.py:{variant}", f"curve_{name}", init=init, **changes)
        told[name] = json.loads((folder / "summary.json").read_text())
        write("curves", told)
        picture = (folder / "learning_curve.png").read_bytes()
        (HERE / f"curve_{name}.png").write_bytes(picture)


def copy_direct(name: str, sizes: tuple[int, ...]) -> None:
    """Take the direct fits of `ztf_yse` over: same target, sizes, seeds and networks."""
    source = Path(FLAGS.runs) / "curve_ztf_yse" / "fits.jsonl"
    folder = Path(FLAGS.runs) / f"curve_{name}"
    if not source.exists() or (folder / "fits.jsonl").exists():
        return
    fits = [json.loads(line) for line in source.read_text().splitlines()]
    kept = [f for f in fits if f["method"].startswith("direct") and f["size"] in sizes]
    write_text(folder / "fits.jsonl", "".join(json.dumps(f) + "\n" for f in kept))


# The goal: YSE with 60 and with all labels


def goal() -> None:
    """Train with 60 and with all labels outside of the test part, five seeds; write goal.json."""
    init = base("ztf")
    told = {}
    for labels in (60, 0):
        scores: dict[str, list[float]] = {}
        pooled = []
        for seed in range(SEEDS):
            folder = run(
                "transfer_bts.py",
                f"goal_{labels}_{seed}",
                init=init,
                data__path=YSE,
                data__test=TEST,
                labels=labels,
                seed=seed,
            )
            result = json.loads((folder / "summary.json").read_text())
            found = {
                "transfer": result["model"]["macro_auroc"],
                "transfer, redshift hidden": result["model, redshift hidden"]["macro_auroc"],
                "calibration error before": result["model"]["calibration_error_before"],
                "calibration error after": result["model"]["calibration_error"],
                **{f"day {d}": v[0] for d, v in result["by_day"].items()},
                **plain_baselines(labels, seed),
            }
            for key, value in found.items():
                scores.setdefault(key, []).append(value)
            pooled.append(predicted(folder, labels, seed))
        truth = pooled[0][1]
        mean = np.mean([p for p, _ in pooled], axis=0)
        told[str(labels or "all")] = {
            "mean and 95 % over seeds": {k: list(over_seeds(v)) for k, v in scores.items()},
            "seeds": scores,
            "five seeds averaged": summary(aurocs(mean, truth, THREE)),
            "tested": np.bincount(truth).tolist(),
        }
        write("goal", told)
    print(text_table([{"": k, **{n: round(t["mean and 95 % over seeds"][k][0], 3)
                                 for n, t in told.items()}}
                      for k in told["60"]["mean and 95 % over seeds"]]))  # fmt: skip
    draw_days(told)


def labelled_yse() -> tuple[Transients, np.ndarray]:
    """Return the labelled objects of YSE and their class numbers."""
    transients, _ = read_transients(str(YSE))
    transients = transients.take(np.array([label in THREE for label in transients.label]))
    return transients, np.array([THREE.index(label) for label in transients.label])


def split_of(labels: int, seed: int) -> tuple[Transients, np.ndarray, np.ndarray, np.ndarray]:
    """Return the labelled objects, class numbers, and the rows to learn from and to test on."""
    transients, codes = labelled_yse()
    split = draw_labels(codes, transients.star, labels, seed, TEST, 0.1)
    return transients, codes, np.concatenate([split.train, split.valid]), split.test


def predicted(folder: Path, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities of the test objects by a run, and their class numbers."""
    transients, codes, _, test = split_of(labels, seed)
    found = predict_transients(astro_jax.load(folder), transients.take(test))
    order = [found.classes.index(name) for name in THREE]
    return found.probabilities[:, order], codes[test]


def plain_baselines(labels: int, seed: int) -> dict[str, float]:
    """Return macro AUROC of forests, of linear probes on official latents, of the majority."""
    transients, codes, known, test = split_of(labels, seed)
    truth, told = codes[test], {}
    for name, redshift in (("forest", True), ("forest, no redshift", False)):
        table = transient_features(transients, redshift)[1]
        said = random_forest(table[known], codes[known], table[test], 3, seed)
        told[name] = macro_auroc(said, truth)
    for network in ("host", "nohost"):
        table = official_latents(transients, network)
        said = linear_probe(table[known], codes[known], table[test])
        told[f"official latents ({network}), linear probe"] = macro_auroc(said, truth)
    told["majority"] = macro_auroc(majority_class(codes[known], len(test), 3), truth)
    return told


def official_latents(transients: Transients, network: str) -> np.ndarray:
    """Return the latents of the released network with g and r fed as it was trained, [N, 100]."""
    released = astro_jax.load(
        SHARED / "weights" / "transient_astromcad_ztfsims.npz", network=network
    )
    rows, place, _ = network_rows(released, transients)
    full = np.zeros((len(transients), 100))  # an object without g and r has no latent: zeros
    full[place] = network_outputs(released, rows)["embedding"]
    return full


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


# Without any label


def real_objects() -> dict[str, Transients]:
    """Return real ZTF photometry in g and r, S/N above 4 for every source.

    In `ztf_public` class and source are confounded; the mixed set adds SNII and SNIb/c of YSE and
    takes 250 of the SNIa, as in the measurement that it is compared with.
    """
    sets = {}
    for name in ("ztf_public", "yse_dr1"):
        transients, ledger = read_transients(str(SHARED / "data" / f"transient_{name}.parquet"))
        transients, ledger = cut_snr(transients, ledger, 4.0)
        transients, _ = keep_bands(transients, ledger, ("ztfg", "ztfr"))
        good = np.array([label in FIVE for label in transients.label])
        rows, place, _ = seen(transients.take(good))
        sets[name] = transients.take(good).take(place)
    public, yse = sets["ztf_public"], sets["yse_dr1"]
    few = np.flatnonzero(np.array(public.label) == "SNIa")[::6][:250]
    rest = np.flatnonzero(np.array(public.label) != "SNIa")
    return {
        "ztf_public (class and source confounded)": [public],
        "mixed": [public.take(np.concatenate([few, rest])), yse],
        "yse_dr1": [yse],
    }


def seen(transients: Transients) -> tuple:
    """Return what the released network can see, which all are compared on."""
    released = astro_jax.load(SHARED / "weights" / "transient_astromcad_ztfsims.npz")
    return network_rows(released, transients, opening(len(transients), len(transients.time)))


def zero_shot() -> None:
    """Classify real objects by networks that saw no real label; write zero_shot.json."""
    networks = {name: astro_jax.load(base(name)) for name in ("ztf", "surveys")}
    for network in ("host", "nohost", "nohost_new"):
        found = astro_jax.load(
            SHARED / "weights" / "transient_astromcad_ztfsims.npz", network=network
        )
        true = ConfigDict(found.config.to_dict())
        true.rows.wavelengths = "effective"
        networks[f"official {network}, bands swapped as trained"] = found
        networks[f"official {network}, true bands"] = found._replace(config=true)
    told: dict[str, Any] = {}
    for name, parts in real_objects().items():
        labels = np.concatenate([[FIVE.index(x) for x in part.label] for part in parts])
        told[name] = {}
        for network, found in networks.items():
            said = np.concatenate([five_classes(found, part) for part in parts])
            told[name][network] = summary(aurocs(said, labels, FIVE))
            print(name, network, round(told[name][network]["macro_auroc"], 3), flush=True)
    write("zero_shot", told)


def five_classes(found: astro_jax.Run, transients: Transients) -> np.ndarray:
    """Return the probabilities of the five types, [N, 5]; what else is known is left out."""
    said = predict_transients(found, transients)
    five = said.type_probabilities[:, [said.types.index(name) for name in FIVE]]
    return five / np.maximum(five.sum(1, keepdims=True), 1e-12)


# Missing redshifts


def redshift() -> None:
    """Hide a growing share of the redshifts of the test objects; write redshift.json."""
    told: dict[str, Any] = {}
    for labels in (60, 0):
        found: dict[str, list] = {}
        for seed in range(SEEDS):
            trained = astro_jax.load(Path(FLAGS.runs) / f"goal_{labels}_{seed}")
            transients, codes, _, test = split_of(labels, seed)
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
        told[str(labels or "all")] = {
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
        trained = astro_jax.load(Path(FLAGS.runs) / f"goal_0_{seed}")
        transients, _, _, test = split_of(0, seed)
        known = predict_transients(trained, transients.take(test)).outlier
        for name, part in others.items():
            score = np.concatenate([known, predict_transients(trained, part).outlier])
            new = np.arange(len(score)) >= len(known)
            ranked = area(score, new, np.ones((1, len(score))))[0]
            told.setdefault(name, []).append(float(ranked))
    counts = {name: len(part) for name, part in others.items()}
    write("outliers", {"auroc": {k: list(over_seeds(v)) for k, v in told.items()}, "n": counts})


def speed() -> None:
    """Time the simulator and the prediction on this machine; write speed.json."""
    told: dict[str, Any] = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    for survey in ("ztf", "yse", "lsst"):
        start = time.perf_counter()
        sample = astro_jax.simulate_transients(4000, 3, survey)
        told[f"simulated {survey}, objects a second"] = 4000 / (time.perf_counter() - start)
    run_of = astro_jax.load(base("ztf"))
    for _ in range(2):  # the first one compiles
        start = time.perf_counter()
        predict_transients(run_of, sample)
        told["predicted, objects a second"] = 4000 / (time.perf_counter() - start)
    write("speed", told)


def bases() -> None:
    """Train all bases; write bases.json with their scores on simulations."""
    told = {}
    for name in ("ztf", "surveys", "yse", "snpcc"):
        result = json.loads((Path(base(name)) / "summary.json").read_text())
        told[name] = {k: result[k] for k in ("model", "objects", "best_step", "seconds")}
        write("bases", told)


def main(argv: list[str]) -> None:
    """Run the named parts."""
    logging.set_verbosity(logging.WARNING)
    parts = {"bases": bases, "curve": curve, "goal": goal, "zero_shot": zero_shot,
             "redshift": redshift, "outliers": outliers, "speed": speed}  # fmt: skip
    for name in argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    app.run(main)
