"""Training from Python."""

import logging
import os
import signal
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from ml_collections import ConfigDict
from tiny import labelled_survey, toy_curves

import astro_jax
from astro_jax.checkpoint import latest_step
from astro_jax.data.inputs import FEATURES
from astro_jax.data.table import to_table
from astro_jax.errors import UserError
from astro_jax.fitting import fit, fit_classifier, labelled_curves, usable
from astro_jax.infer import as_curves, encode, reconstruct
from astro_jax.models.astromer import Smoother
from astro_jax.models.classifier import Classifier, Fusion, Lstm, MlpAtt
from astro_jax.models.forest import Forest
from astro_jax.prediction import predict
from astro_jax.spec import spec
from astro_jax.summary import read_metrics
from astro_jax.tree import flatten
from astro_jax.weights import Run, load, save_safetensors

pytestmark = pytest.mark.usefixtures("hastily")
TRAIN, VALID = toy_curves(24, seed=1), toy_curves(16, seed=2)
SMALL = ConfigDict({"model": spec(Smoother, width=16, heads=2, ffn=16, blocks=1)})
OPTIONS = {"batch_size": 8, "window": 32}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("fit") / "run"


@pytest.fixture(scope="module")
def run(workdir):
    return fit(SMALL, TRAIN, VALID, epochs=12, rate=1e-2, workdir=workdir, **OPTIONS)


def valid_rmse(workdir) -> list[float]:
    lines = read_metrics(workdir / "metrics.jsonl")
    return [line["rmse_hidden"] for line in lines if line["split"] == "valid"]


def test_it_learns(run, workdir):
    rmse = valid_rmse(workdir)
    untrained = read_metrics(workdir / "metrics.jsonl")[-1]["rmse_mean"]  # it predicts the mean
    assert len(rmse) == 12 and min(rmse) < 0.8 * untrained
    probe = [np.arange(60) % 3 == 0 for _ in VALID]
    predicted = reconstruct(run, VALID, probe)
    error = [p[w] - c[w, 1] for p, w, c in zip(predicted, probe, VALID, strict=True)]
    mean = [c[w, 1] - c[~w, 1].mean() for w, c in zip(probe, VALID, strict=True)]
    assert np.std(np.concatenate(error)) < 0.8 * np.std(np.concatenate(mean))


def test_it_returns_the_best_step_and_a_whole_record(run, workdir):
    assert run.step == latest_step(workdir / "checkpoints" / "best")
    assert run.config.steps == 36 and run.config.window == 32
    loaded = astro_jax.load(workdir)
    assert loaded.step == run.step and loaded.model == run.model


def test_the_same_call_on_the_same_folder_trains_no_further(run, workdir):
    before = (workdir / "metrics.jsonl").read_bytes()
    again = fit(SMALL, TRAIN, VALID, epochs=12, rate=1e-2, workdir=workdir, **OPTIONS)
    assert again.step == run.step and (workdir / "metrics.jsonl").read_bytes() == before


def test_another_call_on_the_same_folder_is_refused(run, workdir):
    with pytest.raises(UserError, match="steps: 36 -> 39"):
        fit(SMALL, TRAIN, VALID, epochs=13, rate=1e-2, workdir=workdir, **OPTIONS)


def test_other_curves_on_the_same_folder_are_refused(run, workdir):
    with pytest.raises(UserError, match="data.digest"):
        fit(SMALL, TRAIN[::-1], VALID, epochs=12, rate=1e-2, workdir=workdir, **OPTIONS)


def test_an_interrupt_is_no_result_and_the_same_call_goes_on(tmp_path):
    def interrupt():
        while not (tmp_path / "checkpoints" / "last").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    watch = threading.Thread(target=interrupt)
    watch.start()
    with pytest.raises(KeyboardInterrupt, match="stopped at step"):
        fit(SMALL, TRAIN, VALID, epochs=100_000, rate=1e-3, workdir=tmp_path, **OPTIONS)
    watch.join()
    assert latest_step(tmp_path / "checkpoints" / "last") > 0


def test_it_goes_on_from_a_run(run, tmp_path):
    fit(run, TRAIN, VALID, epochs=1, rate=1e-6, workdir=tmp_path / "more", **OPTIONS)
    fit(SMALL, TRAIN, VALID, epochs=1, rate=1e-6, workdir=tmp_path / "new", **OPTIONS)
    assert valid_rmse(tmp_path / "more")[0] < 0.9 * valid_rmse(tmp_path / "new")[0]


def test_without_a_folder_it_leaves_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = to_table(as_curves(TRAIN))
    assert fit(SMALL, table, VALID, epochs=1, **OPTIONS).step == 3
    assert not list(tmp_path.iterdir())


def test_unusable_curves_are_left_out_and_none_is_an_error():
    junk = [np.full((5, 2), np.nan), np.array([[1.0, 2.0]]), np.empty((0, 2))]
    assert len(usable([*junk, TRAIN[0]], "train_curves")) == 1
    with pytest.raises(UserError, match="valid_curves holds no curve"):
        fit(SMALL, TRAIN, junk, epochs=1)


@pytest.mark.parametrize("wrong", [{"probed": 1.5}, {"epochs": 0}, {"batch_size": 0}])
def test_a_wrong_number_is_a_user_error(wrong):
    with pytest.raises(UserError):
        fit(SMALL, TRAIN, VALID, **wrong)


# Classifiers

SURVEY = labelled_survey(12)
LABELS = SURVEY.columns["label"].to_pylist()
LABELS_OF_TWO = ["flat" if label == "flat" else "other" for label in LABELS]
FEW = {"steps": 4, "batch_size": 8}
FUSION = {"head": spec(Fusion, classes=0), "inputs": {"features": FEATURES}}


@pytest.fixture(scope="module")
def classifier(finished):
    known = [label if label != "rare" else None for label in LABELS]
    return fit_classifier(load(finished), to_table(SURVEY), known, **FEW, **FUSION)


def test_a_classifier_is_a_run_that_predicts(classifier, finished):
    assert classifier.config.classes == ["fast", "flat", "slow"]
    told = predict(classifier, to_table(SURVEY))
    assert told.probabilities.shape == (len(SURVEY), 3) and told.classes == ["fast", "flat", "slow"]
    ours = flatten(classifier.params["encoder"])
    source = flatten(load(finished).params)
    assert all(ours[name].tobytes() == source[name].tobytes() for name in source)


def test_arrays_and_a_column_of_labels_give_the_same(classifier, finished, tmp_path):
    """The star of an array is its number, so ids that are numbers in order give the same parts."""
    table = to_table(SURVEY)
    curves = [SURVEY.curve(k) for k in range(len(SURVEY))]
    numbered = table.set_column(0, "id", [list(range(len(SURVEY)))])
    known = pa.array([label if label != "rare" else None for label in LABELS])
    words = {**FEW, **FUSION}
    ours = fit_classifier(load(finished), curves, known, workdir=tmp_path / "run", **words)
    theirs = fit_classifier(load(finished), numbered, np.array(known.to_pylist()), **words)
    told = predict(ours, curves)
    np.testing.assert_array_equal(predict(theirs, curves).probabilities, told.probabilities)
    assert np.abs(predict(classifier, curves).probabilities - told.probabilities).max() > 0
    save_safetensors(ours, tmp_path / "x.safetensors")
    for place in (tmp_path / "x.safetensors", tmp_path / "run"):
        again = predict(load(place), curves)
        np.testing.assert_array_equal(again.probabilities, told.probabilities)
        assert again.prediction == told.prediction


def test_another_head_and_a_trained_encoder(classifier, finished):
    """From a classifier its encoder is taken; a head without features takes none."""
    head = spec(MlpAtt, classes=0, layers=(8,))
    run = fit_classifier(classifier, SURVEY, LABELS_OF_TWO, head=head, train_encoder=True, **FEW)
    assert run.config.classes == ["flat", "other"] and run.model.head.layers == (8,)
    before, after = flatten(load(finished).params), flatten(run.params["encoder"])
    assert np.abs(after["embed/kernel"] - before["embed/kernel"]).max() > 0
    assert predict(run, SURVEY).probabilities.shape == (len(SURVEY), 2)


def test_the_default_head_reads_nothing_but_the_photometry(finished):
    run = fit_classifier(load(finished), SURVEY, LABELS_OF_TWO)
    table = to_table(SURVEY)
    told = predict(run, table)
    assert len(set(told.prediction)) == 2
    again = predict(run, table.select(["id", "time", "mag", "magerr"]))
    np.testing.assert_array_equal(again.probabilities, told.probabilities)


def test_a_forest_says_what_it_lacks(finished):
    forest = {"head": spec(Forest, classes=0, features=0, vector=0, trees=8)}
    with pytest.raises(UserError, match="the head Forest sees features and vector"):
        fit_classifier(load(finished), SURVEY, LABELS_OF_TWO, **forest)
    with pytest.raises(UserError, match="give train_encoder=False"):
        fit_classifier(load(finished), SURVEY, LABELS_OF_TWO, train_encoder=True, **forest)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:5], "5 labels for 41 curves"),
        ([None] * 41, "needs two classes; the labels hold none"),
        (["a"] * 41, r"two classes; the labels hold \['a'\]"),
        (np.array(LABELS)[:, None], "labels have 2 dimensions"),
        (["a"] * 38 + ["b"] * 3, "class 'b' has 3 labels to train and validate on; at least 5"),
    ],
)
def test_labels_that_cannot_be_fitted_are_errors(finished, labels, message):
    with pytest.raises(UserError, match=message):
        fit_classifier(load(finished), SURVEY, labels, **FEW)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"unlabelled": -1}])
def test_a_wrong_number_of_a_classifier_is_a_user_error(finished, wrong):
    with pytest.raises(UserError, match=f"config.{next(iter(wrong))}=-1 must be at least 0"):
        fit_classifier(load(finished), SURVEY, LABELS, **{**FEW, **wrong})


def test_labelled_curves_without_two_observations_are_named(caplog):
    curves = [np.full((3, 2), np.nan), *[np.arange(6.0).reshape(3, 2)] * 10, np.ones((1, 2))]
    with caplog.at_level(logging.WARNING):
        kept, classes, rest = labelled_curves(curves, ["a"] * 6 + ["b"] * 5 + [None])
    assert "class 'a': 1 curves lack two finite observations" in caplog.text
    assert "class 'b'" not in caplog.text and classes == ["a", "b"]
    assert kept.arrays["label"].tolist() == [0] * 5 + [1] * 5 and len(rest) == 0
    said = labelled_curves(curves, np.array(["a"] * 6 + ["b"] * 6, "S1"))[1]
    assert said == ["a", "b"]  # bytes, as in FITS
    with pytest.raises(UserError, match="class 'c' has 0 labels"):
        labelled_curves(curves, ["c"] + ["a"] * 5 + ["b"] * 6)


def test_a_classifier_of_raw_curves_has_no_encoder_to_give(finished):
    head = Lstm(classes=2, width=4)
    model = spec(Classifier, encoder=None, head=spec(Lstm, classes=2))
    run = Run(ConfigDict({"model": model, "window": 32}), Classifier(None, head), {"head": {}}, 0)
    for use in (lambda: fit_classifier(run, SURVEY, LABELS_OF_TWO), lambda: encode(run, SURVEY)):
        with pytest.raises(UserError, match="has no encoder"):
            use()


def test_fitting_goes_on_from_the_encoder_of_a_classifier(classifier, tmp_path):
    run = fit(classifier, TRAIN, VALID, epochs=1, workdir=tmp_path, **OPTIONS)
    assert type(run.model).__name__ == "Smoother" and "head" not in run.params
