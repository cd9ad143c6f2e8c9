"""The jobs of transients: base, transfer with few labels; what their folders say."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict
from tiny import config_of
from tiny_transients import BASE, SMALL, TRANSFER, known_labels, labelled_transients

from astro_jax.classify import passes
from astro_jax.data.ledger import opening
from astro_jax.data.simulate.transients import simulate_transients
from astro_jax.data.transient_table import write_transients
from astro_jax.data.transients import from_arrays
from astro_jax.main import main
from astro_jax.optim import label_by_path
from astro_jax.transient_task import labelled, transient_task
from astro_jax.tree import flatten
from astro_jax.weights import load

pytestmark = pytest.mark.usefixtures("hastily")
THREE = ["SNII", "SNIa", "SNIb/c"]


def read(folder, name="summary.json"):
    return json.loads((folder / name).read_text())


def words(base, file, *more):
    return [f"--config.init={base}", f"--config.data.path={file}", *SMALL, *more]


# The base


def test_the_base_knows_twelve_classes_and_says_that_it_simulates(transient_base, tmp_path, capsys):
    result = read(transient_base)
    assert len(result["classes"]) == 12 and result["scored_on"] == "test"
    objects = result["objects"]
    assert sum(objects.values()) == 240 and objects["test"] == sum(
        c["objects"] for c in result["model"]["classes"].values()
    )
    assert main(["main", *BASE, f"--workdir={transient_base}"]) == 0  # finished: reports only
    said = capsys.readouterr().out
    assert "simulating 240 transients, ZTF-like" in said and "nothing to train" in said
    assert "macro AUROC by days since the trigger: 0 d" in said


def test_a_folder_holds_what_a_prediction_needs(transferred):
    facts = read(transferred, "task.json")
    assert facts["classes"] == THREE and facts["metadata"] == ["redshift", "mwebv"]
    assert facts["rows"] == {
        "dilate": "none", "length": 32, "scale": "const500", "wavelengths": "effective"
    }  # fmt: skip
    assert facts["model"]["leaves"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # nine of twelve outputs stay
    run = load(transferred)
    assert run.config.temperature == read(transferred)["temperature"] > 0
    assert len(run.config.outlier.means) == 3
    for name in ("confusion", "calibration", "early", "training"):
        assert (transferred / f"{name}.png").stat().st_size > 5000


# Labels


def test_labels_are_counted_with_those_to_validate(transferred, transient_file):
    objects = read(transferred)["objects"]
    assert objects["train"] + objects["valid"] == 40 and objects["valid"] == 4
    table = pq.read_table(transient_file)
    known = known_labels(labelled_transients())
    assert known.sum() == 148 and table.num_rows == 160
    assert 0.15 * 148 < objects["test"] < 0.45 * 148


def test_what_is_not_learned_is_left_out_by_name(transferred):
    left_out = read(transferred)["left_out"]
    assert left_out["label 'rare kind': fewer than 10 objects"] == 4
    assert left_out["no label"] == 8
    assert read(transferred)["classes"] == THREE


def test_classes_are_counted_in_objects_that_have_a_trigger():
    """Objects of one `sky_group` count each; a class is not kept by objects that nobody can see."""
    bright, faint = ([[59000.0, 59003.0], ["ztfr"] * 2, [f, 2 * f], [10.0] * 2] for f in (90, 9))
    label = ["SNIa"] * 4 + ["SNII"] * 4 + ["TDE"] * 4
    star = [0, 0, 0, 1, *range(2, 10)]  # SNIa: four objects, two stars
    curves = [bright] * 8 + [bright] * 2 + [faint] * 2  # TDE: four objects, two triggers
    transients = from_arrays(curves, label=label, star=star)
    data = ConfigDict({"min_class": 3, "without": ()})
    kept, classes, ledger = labelled(transients, opening(12, 24), data)
    assert classes == ["SNII", "SNIa"] and kept.label == label[:8]
    assert {d.reason: d.objects for d in ledger.drops} == {"label 'TDE': fewer than 3 objects": 2}
    assert ledger.quarantined == (2, 4) and ledger.kept == (8, 16)


def task_of(base, file, **changes):
    config = ConfigDict(config_of("transfer_bts"))
    config.update({"init": str(base), "labels": 30, **changes})
    config.data.path = str(file)
    return transient_task(config)


def test_sub_types_of_a_file_stay_what_they_are(transient_base, tmp_path):
    sample = simulate_transients(150, 8, "yse", {"SNII": 2.0, "SNIIn": 1.0, "SNIa": 2.0})
    write_transients(sample, str(tmp_path / "x.parquet"))
    task = task_of(transient_base, tmp_path / "x.parquet")
    assert task.facts["classes"] == ["SNII", "SNIIn", "SNIa"]
    assert task.facts["model"]["leaves"] == [0, 0, 1, 2, 2, 2]  # SNIIb is a part of SNII


def test_all_labels_leave_none_to_test(transient_base, transient_file):
    task = task_of(transient_base, transient_file, labels=148)
    assert len(task.test) == 0 and len(task.train) + len(task.valid) == 148


def test_a_seed_draws_other_labels_and_never_the_test_part(transient_base, transient_file):
    first, other = (task_of(transient_base, transient_file, seed=seed) for seed in (0, 1))
    ids = [[set(part.columns["id"].to_pylist()) for part in t[:3]] for t in (first, other)]
    assert ids[0][2] == ids[1][2] and ids[0][0] != ids[1][0]
    assert not ids[0][2] & (ids[0][0] | ids[0][1] | ids[1][0] | ids[1][1])
    stars = [set(part.star) for part in first[:3]]
    assert not (stars[0] & stars[1] or stars[0] & stars[2])


def test_fewer_objects_than_a_batch_are_an_epoch_a_step(transient_base, transient_file):
    task = task_of(transient_base, transient_file, steps=1, epochs=40, batch_size=128)
    assert len(task.train) == 27 and task.facts["changes"]["steps"] == 40
    task = task_of(transient_base, transient_file, steps=1, epochs=40, batch_size=8)
    assert task.facts["changes"]["steps"] == 135  # 40 * 27 / 8
    assert passes(40, 128, 27) == 40 and passes(135, 8, 27) == 40


def test_the_paper_evaluates_once_an_epoch_whatever_the_number_of_labels(transient_file):
    config = ConfigDict(config_of("transfer_bts:direct_paper"))
    config.data.path, config.batch_size = str(transient_file), 16
    for labels, epoch in ((10, 1), (30, 2), (100, 6)):  # 9, 27 and 90 train
        config.labels = labels
        task = transient_task(config)
        changes, n = task.facts["changes"], len(task.train)
        assert n == round(0.9 * labels) and changes["eval_every"] == epoch
        assert passes(changes["steps"], 16, n) == pytest.approx(40, abs=0.5)
        counts = np.bincount(task.train.arrays["label"])
        np.testing.assert_allclose(changes["objective"]["class_weights"], n / counts)
    assert config.patience == 5 and task.facts["model"]["target"].endswith(":Official")
    assert task.facts["model"]["features"] == 2 and not task.facts["model"]["leaves"]


# Transfer


def moved_layers(base, run):
    """Return the layers without the head that differ between two runs."""
    before, after = (flatten(load(*where).params) for where in ((base,), (run, "last")))
    return {
        path.split("/")[0]
        for path in before
        if not path.startswith("output") and np.abs(after[path] - before[path]).max() > 0
    }


def test_all_layers_are_trained_and_the_variants_freeze_some(
    transient_base, transient_file, transferred, tmp_path
):
    layers = {"gru_1", "gru_2", "dense_1", "metadata", "dense_3", "latent"}
    assert moved_layers(transient_base, transferred) == layers
    line = [f"{TRANSFER}:gru_latent_output", *words(transient_base, transient_file)]
    assert main(["main", *line, "--config.labels=20", f"--workdir={tmp_path}"]) == 0
    assert moved_layers(transient_base, tmp_path) == {"gru_1", "gru_2", "latent"}
    assert load(tmp_path).params["output"]["kernel"].shape == (8, 9)


def test_the_rules_of_the_variants_name_the_layers():
    params = {name: {"kernel": 0.0} for name in ("gru_1", "dense_1", "dense_3", "latent", "output")}
    config = config_of("transfer_bts:latent_output")
    labels = label_by_path(params, dict(config.optimizer.rules))
    assert [k for k, v in labels.items() if v["kernel"] != "frozen"] == ["latent", "output"]
    assert not config_of("transfer_bts").optimizer.rules


def test_baselines_stand_beside_the_model(transferred):
    result = read(transferred)
    for name in (
        "model",
        "model, redshift hidden",
        "features + random forest",
        "features + random forest, no redshift",
        "majority class",
        "same network, untrained",
    ):
        low, high = result[name]["macro_auroc_interval"]
        assert low <= result[name]["macro_auroc"] <= high
        assert (
            sum(c["objects"] for c in result[name]["classes"].values())
            == (result["objects"]["test"])
        )
    assert result["majority class"]["macro_auroc"] == 0.5
    assert result["features + random forest"]["macro_auroc"] > 0.6
    assert list(result["by_day"]) == ["0", "3", "7", "15", "30", "70"]


def test_a_base_may_be_the_official_weights(shared, transient_file):
    weights = shared / "weights" / "transient_astromcad_ztfsims.npz"
    task = task_of(weights, transient_file)
    assert task.facts["rows"]["wavelengths"] == "astromcad"
    assert task.facts["rows"]["dilate"] == "redshift" and task.facts["rows"]["length"] == 128
    assert task.facts["model"]["target"].endswith(":Official")
    assert task.facts["model"]["leaves"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert task.ledger.filtered.observations > 1000  # in bands that they do not know


def test_a_run_whose_report_was_not_written_ends_the_same(
    transferred, transfer_words, tmp_path, capsys
):
    """A kill between calibration and summary: the same command goes on, and changes nothing."""
    shutil.copytree(transferred, tmp_path / "again")
    before = read(tmp_path / "again")
    (tmp_path / "again" / "summary.json").unlink()
    assert main(["main", *transfer_words, f"--workdir={tmp_path / 'again'}"]) == 0
    again = read(tmp_path / "again")
    for name in ("best_step", "temperature", "model", "by_day", "objects"):
        assert again[name] == before[name]


# What is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--config.labels=3", "3 classes need at least 4 labels"),
        ("--config.labels=-1", "config.labels=-1 must be at least 0"),
        ("--config.data.test=1.5", "config.data.test=1.5 must lie between 0 and 1"),
        ("--config.head=kept", "config.head='kept' is unknown"),
        ("--config.data.label=kind", "no column 'kind'"),
        ("--config.data.min_class=1000", "needs two classes"),
        ("--config.data.band=ztfq", "unknown band 'ztfq'"),
        ("--config.objective.steps=first", "config.objective.steps='first' is unknown"),
        ("--config.monitor=auroc", "config.monitor 'auroc' is unknown"),
    ],
)
def test_refused(transient_base, transient_file, tmp_path, capsys, change, message):
    line = [TRANSFER, *words(transient_base, transient_file), "--config.labels=20", change]
    assert main(["main", *line, f"--workdir={tmp_path}"]) == 1
    assert message in capsys.readouterr().err


def test_no_labels(transient_base, transient_file, tmp_path, capsys):
    table = pq.read_table(transient_file)
    empty = table.set_column(table.column_names.index("label"), "label", [[""] * 160])
    for name, given in (("absent", table.drop_columns(["label"])), ("empty", empty)):
        pq.write_table(given, tmp_path / f"{name}.parquet")
        line = [TRANSFER, *words(transient_base, tmp_path / f"{name}.parquet")]
        assert main(["main", *line, f"--workdir={tmp_path / name}"]) == 1
    said = capsys.readouterr().err
    assert "no column 'label'" in said and "column 'label' holds no label" in said


def test_no_network(transient_file, finished, tmp_path, capsys):
    line = [TRANSFER, f"--config.data.path={transient_file}", *SMALL, f"--workdir={tmp_path}"]
    assert main(["main", *line]) == 1
    assert "give --config.init=RUN" in capsys.readouterr().err
    assert main(["main", *line, f"--config.init={finished}"]) == 1
    assert "is no classifier of transients" in capsys.readouterr().err
