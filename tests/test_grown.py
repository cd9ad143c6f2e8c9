"""The default classifier: a forest on features and encoder vectors, grown at once."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import CLASSIFY, ROOT, TINY_MODEL, labelled_survey

import astro_jax
from astro_jax.data.labels import encode_labels, few_labels
from astro_jax.data.table import to_table
from astro_jax.main import main
from astro_jax.models.forest import Forest
from astro_jax.summary import read_metrics
from astro_jax.supervised import unlabelled_rows
from astro_jax.tree import flatten
from astro_jax.workdir import read_json

CONFIG = f"--config={ROOT / 'configs' / 'classify.py'}"


@pytest.fixture(scope="module")
def words(labelled, finished):
    small = "--config.model.head.trees=30"
    return [CONFIG, f"--config.init={finished}", f"--config.data.path={labelled}", *CLASSIFY, small]


@pytest.fixture(scope="module")
def forest(words, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("forest") / "run"
    assert main(["main", *words, "--config.baselines=True", f"--workdir={workdir}"]) == 0
    return workdir


def test_it_learns_and_is_scored_beside_the_baselines(forest):
    summary = read_json(forest / "summary.json")
    assert summary["model"]["macro_f1"] > 0.8 > summary["majority class"]["macro_f1"]
    assert {"features + random forest", "same network, encoder untrained"} <= summary.keys()
    assert summary["best_step"] == 0 and summary["objects"]["train"] == 24
    (line,) = read_metrics(forest / "metrics.jsonl")
    assert (line["step"], line["split"]) == (0, "valid") and 0 < line["loss"] < 2
    assert len(list(forest.glob("*.png"))) == 3


def test_the_run_is_an_encoder_and_a_forest(forest, finished):
    run = astro_jax.load(forest)
    assert isinstance(run.model.head, Forest) and run.model.head.trees == 30
    ours, source = flatten(run.params["encoder"]), flatten(astro_jax.load(finished).params)
    assert all(ours[name].tobytes() == source[name].tobytes() for name in source)
    assert not run.config.scales
    parts = run.params["head"]["components"] != 0  # by blocks: means, evidences, frequency, count
    assert parts.shape == (24 + 6 + 6 + 4 + 1, 32 + 70 + 48 + 4 + 1)
    assert parts[:24, :32].any(1).all() and not parts[:24, 32:].any() and parts[-5:].sum() == 5


def test_predictions_of_the_test_stars_are_those_of_the_run(forest, labelled, tmp_path):
    output = tmp_path / "pred.parquet"
    predict = [f"--config={ROOT / 'configs' / 'predict.py'}", f"--config.init={forest}"]
    words = [*predict, f"--config.data.path={labelled}", f"--config.output={output}"]
    assert main(["main", *words]) == 0
    told = {row["id"]: row for row in pq.read_table(output).to_pylist()}
    assert len(told) == 155
    for row in pq.read_table(forest / "test_predictions.parquet").to_pylist():
        assert told[row["id"]]["prediction"] == row["prediction"]
        assert told[row["id"]]["prob_slow"] == pytest.approx(row["prob_slow"], abs=1e-6)


def test_the_same_command_only_reports_and_another_folder_gives_the_same(
    words, forest, tmp_path, capsys
):
    assert main(["main", *words, "--config.baselines=True", f"--workdir={forest}"]) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert main(["main", *words, f"--workdir={tmp_path / 'again'}"]) == 0
    ours, theirs = (flatten(astro_jax.load(f).params) for f in (forest, tmp_path / "again"))
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    (tmp_path / "again" / "summary.json").unlink()  # stopped between growing and reporting
    assert main(["main", *words, f"--workdir={tmp_path / 'again'}"]) == 0
    assert (tmp_path / "again" / "summary.json").exists()


def test_another_seed_is_another_fold_and_a_dry_run_writes_nothing(words, tmp_path, capsys):
    assert main(["main", *words, "--config.dry_run=True", f"--workdir={tmp_path / 'dry'}"]) == 0
    assert "30 trees" in capsys.readouterr().out and not (tmp_path / "dry").exists()
    assert main(["main", *words, "--config.seed=1", f"--workdir={tmp_path / 'one'}"]) == 0
    assert read_json(tmp_path / "one" / "task.json")["model"]["head"]["trees"] == 30


def test_python_grows_it_too(finished, tmp_path):
    survey = labelled_survey(20)
    labels = survey.columns["label"].to_pylist()
    known = [label if label != "rare" else None for label in labels]
    run = astro_jax.fit_classifier(astro_jax.load(finished), to_table(survey), known)
    assert isinstance(run.model.head, Forest) and run.config.classes == ["fast", "flat", "slow"]
    told = astro_jax.predict(run, to_table(survey))
    right = [a == b for a, b in zip(told.prediction, known, strict=True) if b]
    assert np.mean(right) > 0.9
    astro_jax.save_safetensors(run, tmp_path / "x.safetensors")
    again = astro_jax.predict(astro_jax.load(tmp_path / "x.safetensors"), to_table(survey))
    np.testing.assert_array_equal(again.probabilities, told.probabilities)


def test_unlabelled_curves_tell_how_common_the_classes_are(words, forest, tmp_path):
    shift = astro_jax.load(forest).params["head"]["shift"]
    assert shift.any() and abs(shift.sum()) < 1e-5
    alike = [*words, "--config.unlabelled=0", f"--workdir={tmp_path / 'alike'}"]
    assert main(["main", *alike]) == 0
    head = astro_jax.load(tmp_path / "alike").params["head"]
    assert not head["shift"].any()
    same = astro_jax.load(forest).params["head"]["share"]
    np.testing.assert_array_equal(head["share"], same)  # nothing else learns from them


def test_a_common_class_is_told_more_often(finished):
    survey = labelled_survey(40)
    names = np.array(survey.columns["label"].to_pylist(), object)
    few = {name: np.flatnonzero(names == name)[:8] for name in ("fast", "flat", "slow")}
    known = np.full(len(names), None, object)
    for name, rows in few.items():
        known[rows] = name
    common = np.flatnonzero(np.isin(names, ["fast", "flat"]))
    kept = np.concatenate([common, few["slow"]])
    run = astro_jax.fit_classifier(
        astro_jax.load(finished), to_table(survey.take(kept)), known[kept].tolist()
    )
    fast, flat, slow = run.params["head"]["shift"]
    assert min(fast, flat) > slow + 0.2


def test_every_row_is_tested_labelled_or_among_the_unlabelled():
    survey = labelled_survey(50)
    labels = encode_labels(survey, minimum=10)
    split = few_labels(labels, survey.star, 10, 0)
    rows = unlabelled_rows(survey, split)
    assert np.array_equal(np.sort(np.concatenate([rows, *split])), np.arange(len(survey)))
    assert not np.isin(survey.star[rows], survey.star[split.test]).any()
    texts = [survey.columns["label"].to_pylist()[row] for row in rows]
    assert "rare" in texts and texts.count(None) == 2  # a label that is unknown leaves none out


def test_the_untrained_variant_is_the_baseline_of_that_name(words, forest, tmp_path):
    encoder = [w.replace("model.", "model.encoder.") for w in TINY_MODEL if ".model." in w]
    rest = [word for word in words[1:] if not word.startswith("--config.init=")]
    command = [f"{CONFIG}:forest_untrained", *rest, *encoder, f"--workdir={tmp_path}"]
    assert main(["main", *command]) == 0
    ours = read_json(tmp_path / "summary.json")["model"]
    theirs = read_json(forest / "summary.json")["same network, encoder untrained"]
    assert ours["macro_f1"] == pytest.approx(theirs["macro_f1"])
    assert ours["calibration_error"] == pytest.approx(theirs["calibration_error"], abs=1e-6)
