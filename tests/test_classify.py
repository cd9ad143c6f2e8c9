"""The job of classification: what it writes, that it resumes and repeats, what is trained."""

import json
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from tiny import WIDTH

import astro_jax
from astro_jax.data.split import star_position
from astro_jax.data.windows import at_most, consecutive_windows
from astro_jax.evals.classification import confusion_matrix
from astro_jax.main import main
from astro_jax.prediction import pooled_outputs
from astro_jax.summary import read_metrics
from astro_jax.supervised import class_task
from astro_jax.train import Log
from astro_jax.tree import flatten
from astro_jax.workdir import read_json

pytestmark = pytest.mark.usefixtures("hastily")


def run_main(*words) -> int:
    return main(["main", *map(str, words)])


def variant(words, name) -> list[str]:
    """Return a command line with another variant of its config."""
    return [f"{words[0].rpartition(':')[0]}:{name}", *words[1:]]


def metrics(workdir, split):
    return [line for line in read_metrics(workdir / "metrics.jsonl") if line["split"] == split]


def assert_same_run(ours, theirs):
    """Compare metrics, parameters and predictions bit by bit."""
    assert (ours / "metrics.jsonl").read_bytes() == (theirs / "metrics.jsonl").read_bytes()
    runs = [astro_jax.load(folder, step) for folder in (ours, theirs) for step in ("best", "last")]
    for a, b in zip(runs[:2], runs[2:], strict=True):
        a, b = flatten(a.params), flatten(b.params)
        assert a.keys() == b.keys()
        assert all(a[name].tobytes() == b[name].tobytes() for name in a)
    tables = [pq.read_table(folder / "test_predictions.parquet") for folder in (ours, theirs)]
    assert tables[0].equals(tables[1])


# What a run leaves behind


def test_the_files_of_a_run(classified):
    for name in ("confusion.png", "calibration.png", "training.png"):
        assert imread(classified / name).std() > 0.01
    assert (classified / "quarantine.csv").read_text().startswith("file,object")
    facts = read_json(classified / "task.json")
    assert facts["classes"] == ["fast", "flat", "slow"]
    assert facts["model"]["encoder"]["width"] == WIDTH
    summary = read_json(classified / "summary.json")
    assert summary["objects"] == {"train": 24, "valid": 6, "test": summary["model"]["objects"]}
    assert summary["left_out"] == {"no label": 2, "label 'rare': fewer than 10 objects": 3}
    assert summary["best_step"] in (4, 8, 12) and summary["seconds"] > 0
    assert summary["epochs"] == pytest.approx(summary["best_step"] * 8 / 24, abs=0.01)
    assert {"precision", "recall", "f1"} <= summary["model"]["classes"]["fast"].keys()
    assert 0 <= summary["model, per window"]["calibration_error"] <= 1


def test_the_scores_are_those_of_the_predictions_that_were_written(classified):
    table = pq.read_table(classified / "test_predictions.parquet")
    assert table.column_names == [
        "id",
        "prediction",
        "prob_fast",
        "prob_flat",
        "prob_slow",
        "label",
    ]
    assert (star_position(table["id"].to_numpy()) >= 0.8).all()
    classes = ["fast", "flat", "slow"]
    truth = np.array([classes.index(x) for x in table["label"].to_pylist()])
    told = np.array([classes.index(x) for x in table["prediction"].to_pylist()])
    summary = read_json(classified / "summary.json")["model"]
    assert summary["confusion"] == confusion_matrix(told, truth, 3).tolist()
    assert summary["accuracy"] == pytest.approx((told == truth).mean())
    f1 = [
        2 * ((told == c) & (truth == c)).sum() / max((told == c).sum() + (truth == c).sum(), 1)
        for c in range(3)
    ]
    assert summary["macro_f1"] == pytest.approx(np.mean(f1))


def test_training_and_prediction_prepare_curves_alike(classified):
    """The validation loss of the best step follows from the probabilities of all windows."""
    run = astro_jax.load(classified)
    task = class_task(run.config)
    _, (windows, curve) = pooled_outputs(run, task.valid, windows=0)
    assert len(windows) == 2 * len(task.valid)  # 40 points in windows of 32
    loss = -np.log(windows[np.arange(len(windows)), task.valid.arrays["label"][curve]]).mean()
    best = next(m for m in metrics(classified, "valid") if m["step"] == run.step)
    assert loss == pytest.approx(best["loss"], abs=1e-5)


def test_a_curve_is_seen_by_at_most_so_many_windows():
    windows = consecutive_windows(np.array([10, 0, 64, 25, 7]), 10)
    few = at_most(windows, 3)
    assert np.bincount(few.curve, minlength=5).tolist() == [1, 0, 3, 3, 1]
    assert few.start[few.curve == 2].tolist() == [0, 30, 50]
    assert at_most(windows, 0) is windows
    with pytest.raises(astro_jax.UserError, match="windows=-1"):
        at_most(windows, -1)


# The same command


def test_an_interrupted_run_goes_on_and_ends_the_same(
    classify_words, classified, tmp_path, monkeypatch, capsys
):
    """SIGTERM between two steps; the run of `classified` had the same config and was left alone."""
    workdir, step = tmp_path / "run", Log.step

    def interrupt(log, number, *values):
        step(log, number, *values)
        if number == 5:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Log, "step", interrupt)
        assert run_main(*classify_words, f"--workdir={workdir}") == 75
    assert "stopped at step 5; the same command goes on" in capsys.readouterr().out
    assert not (workdir / "summary.json").exists()
    assert run_main(*classify_words, f"--workdir={workdir}") == 0
    assert_same_run(workdir, classified)


def test_a_finished_run_only_reports(classify_words, classified, capsys):
    before = {p: p.stat().st_mtime_ns for p in classified.rglob("*") if p.name != ".lock"}
    assert run_main(*classify_words, f"--workdir={classified}") == 0
    told = capsys.readouterr().out
    assert "is finished; nothing to train" in told and "macro-F1" in told
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_another_config_in_the_folder_is_refused(classify_words, classified, capsys):
    assert run_main(*classify_words, f"--workdir={classified}", "--config.seed=1") == 1
    assert "seed: 0 -> 1" in capsys.readouterr().err


def test_a_dry_run_trains_nothing(classify_words, tmp_path, capsys):
    assert run_main(*classify_words, f"--workdir={tmp_path}/x", "--config.dry_run=True") == 0
    told = capsys.readouterr().out
    assert "parameters" in told and "24 train, 6 valid" in told and "label 'rare'" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config.data.label=labl"], "no column 'labl'"),
        (["--config.data.without=('quasar',)"], "no object has label 'quasar'"),
        (["--config.per_class=3"], "per_class=3: give at least 5"),
        (["--config.per_class=-1"], "per_class=-1 must be at least 0"),
        (["--config.data.min_class=51"], "no class has 51 objects"),
        (["--config.init="], "--config.init=RUN"),
    ],
)
def test_a_mistake_is_one_line(classify_words, tmp_path, capsys, words, message):
    assert run_main(*classify_words, f"--workdir={tmp_path}", *words) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


# What is trained


def changes(workdir, source):
    """Return the largest change of each parameter of the encoder."""
    ours, theirs = flatten(astro_jax.load(workdir, "last").params["encoder"]), flatten(source)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    return {name: float(np.abs(ours[name] - theirs[name]).max()) for name in ours}


def test_a_frozen_encoder_keeps_every_bit(classified, finished):
    source = astro_jax.load(finished).params
    assert set(changes(classified, source).values()) == {0.0}
    assert "head" in astro_jax.load(classified).params


def test_the_encoder_is_trained_where_the_variant_says_so(
    classify_words, classified, finished, tmp_path
):
    source, sums = astro_jax.load(finished).params, {}
    for how in ("trained", "slow"):
        words = variant(classify_words, f"mlp_att_{how}")
        assert run_main(*words, f"--workdir={tmp_path / how}", "--config.steps=6") == 0
        changed = changes(tmp_path / how, source)
        assert changed["embed/kernel"] > 0
        sums[how] = sum(changed.values())
    assert 0 < 2 * sums["slow"] < sums["trained"]


def test_baselines_are_scored_on_the_same_test_objects(classify_words, classified, tmp_path):
    words = [*variant(classify_words, "mlp_att"), "--config.baselines=True"]
    assert run_main(*words, f"--workdir={tmp_path}", "--config.steps=2") == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    objects = read_json(classified / "summary.json")["model"]["objects"]
    names = ("features + random forest", "majority class", "same network, encoder untrained")
    assert [summary[name]["objects"] for name in names] == [objects] * 3
    assert summary["features + random forest"]["accuracy"] > 0.9
    assert summary["majority class"]["macro_f1"] < 0.25
    assert summary["same network, encoder untrained"]["macro_f1"] != summary["model"]["macro_f1"]


# Starting points


def test_a_head_starts_from_a_run_with_the_same_classes_only(
    classify_words, classified, labelled, tmp_path, capsys
):
    again = [w for w in classify_words if not w.startswith("--config.init")]
    again += [f"--config.init={classified}", "--config.steps=1", "--config.eval_every=1"]
    assert run_main(*again, f"--workdir={tmp_path / 'same'}") == 0
    assert "starts anew" not in capsys.readouterr().out
    last = metrics(classified, "train")[-1]["loss"]
    assert metrics(tmp_path / "same", "train")[0]["loss"] < 1.05 * last
    table = pq.read_table(labelled)
    renamed = [name and f"other_{name}" for name in table["label"].to_pylist()]
    place = table.column_names.index("label")
    pq.write_table(table.set_column(place, "label", [renamed]), tmp_path / "other.parquet")
    words = [*again, f"--config.data.path={tmp_path / 'other.parquet'}"]
    assert run_main(*words, f"--workdir={tmp_path / 'other'}") == 0
    assert "stands for other classes: it starts anew" in capsys.readouterr().out


def test_a_model_without_encoder_takes_none(classify_words, finished, tmp_path, capsys):
    words = variant(classify_words, "lstm")
    assert run_main(*words, f"--workdir={tmp_path}") == 1
    assert "config.model has no encoder" in capsys.readouterr().err
