"""The job of a learning curve: resumable, the same test objects, gains by their definitions."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from tiny import ROOT
from tiny_transients import small_curve

from astro_jax.data.read_transients import read_transients
from astro_jax.data.split import star_position
from astro_jax.evals.auroc import macro_auroc
from astro_jax.evals.transfer import (
    epochs_to_converge,
    epochs_to_reach,
    final,
    labels_saved,
    median_and_mad,
    median_interval,
    monotone,
    over_draws,
    proxy_distance,
    reaches,
    retention,
)
from astro_jax.learning_curve import distance, evaluation_interval
from astro_jax.learning_summary import percent, summarise
from astro_jax.main import main
from astro_jax.summary import read_metrics
from astro_jax.transient_prediction import predict_transients
from astro_jax.weights import load

CONFIG = f"--config={ROOT / 'configs' / 'learning_curve.py'}"


def tiny(base, file, *more):
    words = [f"--config.init={base}", f"--config.data.path={file}"]
    return [f"{CONFIG}:ztf_yse", *words, *small_curve(), *more]


@pytest.fixture(scope="module")
def curve(transient_base, transient_file, tmp_path_factory, hastily):
    folder = tmp_path_factory.mktemp("curve") / "run"
    assert main(["main", *tiny(transient_base, transient_file), f"--workdir={folder}"]) == 0
    return folder


def test_all_fits_are_there_on_the_same_test_objects(curve):
    fits = read_metrics(curve / "fits.jsonl")
    assert len(fits) == 5 and {f["method"] for f in fits} == {"transfer", "direct_paper"}
    assert [f["method"] for f in fits if not f["size"]] == ["transfer"]
    assert len({tuple(f["tested"]) for f in fits}) == 1
    for fit in fits:
        low, high = fit["macro_auroc_interval"]
        assert 0 <= low <= fit["macro_auroc"] <= high <= 1
        if fit["size"]:
            assert sum(fit["trained"]) == fit["size"] - max(round(0.1 * fit["size"]), 1)
            assert len(fit["course"]) >= 1
    result = json.loads((curve / "summary.json").read_text())
    assert set(result["gains"]) == {"transfer against direct_paper"}
    assert result["seeds"] == 1 and 0 <= result["distance"] <= 2
    assert (curve / "learning_curve.png").stat().st_size > 5000


def test_it_goes_on_with_the_fits_that_are_missing(
    curve, transient_base, transient_file, tmp_path, capsys
):
    import shutil

    folder = tmp_path / "again"
    shutil.copytree(curve, folder)
    lines = (folder / "fits.jsonl").read_text().splitlines(keepends=True)
    (folder / "fits.jsonl").write_text("".join(lines[:4]) + lines[4][:30])  # a kill while writing
    assert main(["main", *tiny(transient_base, transient_file), f"--workdir={folder}"]) == 0
    assert capsys.readouterr().out.count(" labels, seed ") == 1
    again, before = (read_metrics(f / "fits.jsonl") for f in (folder, curve))
    for fit in (*again, *before):
        del fit["seconds"]
    assert again == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--config.methods=('transfers',)", "no method 'transfers' (did you mean 'transfer'?)"),
        ("--config.fits.transfer.steps=0", "config.steps=0 must be at least 1"),
        ("--config.sizes=(2,)", "3 classes need at least 4 labels"),
        ("--config.sizes=(8, 140)", "config.sizes=140: 95 labels lie outside of the test part"),
    ],
)
def test_refused(transient_base, transient_file, tmp_path, capsys, change, message):
    line = tiny(transient_base, transient_file, f"--workdir={tmp_path}", change)
    assert main(["main", *line]) == 1
    assert message in capsys.readouterr().err


def test_the_distance_is_to_the_objects_of_the_base(transient_base, transient_file, shared):
    target = read_transients(str(transient_file))[0]
    assert 0.5 < distance(ConfigDict({"init": str(transient_base), "seed": 0}), target) <= 2
    released = shared / "weights" / "transient_astromcad_ztfsims.npz"
    assert distance(ConfigDict({"init": str(released), "seed": 0}), target) is None


def test_an_unknown_variant(capsys):
    assert main(["main", f"{CONFIG}:ztf_ysee"]) == 1
    assert "did you mean 'ztf_yse'" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [113, 600])
def test_all_methods_are_evaluated_once_an_epoch_with_many_labels(steps):
    assert evaluation_interval(steps, 6) == 6
    assert evaluation_interval(steps, 1) == -(-steps // 100)  # 15 labels, 600 epochs


def test_without_labels_the_base_is_as_it_is(curve, transient_base, transient_file):
    target, ledger = read_transients(str(transient_file))
    alone = predict_transients(load(transient_base), target, ledger=ledger)
    zero = next(f for f in read_metrics(curve / "fits.jsonl") if not f["size"])
    tested = star_position(target.star.astype(str)) >= 1 - 0.4
    kept = sorted(zero["each"])
    truth = np.array([kept.index(x) if x in kept else -1 for x in target.label])
    place = [k for k, name in enumerate(alone.types) if name in kept]
    rows = tested & (truth >= 0) & np.array([p is not None for p in alone.prediction])
    said = alone.type_probabilities[np.ix_(rows, place)]
    found = macro_auroc(said / said.sum(1, keepdims=True), truth[rows])
    assert found == pytest.approx(zero["macro_auroc"], abs=0.02)


# The definitions

DIRECT = {100: [0.5, 0.6, 0.7], 200: [0.7, 0.7, 0.7], 400: [0.8, 0.8, 0.9]}
TRANSFER = {100: [0.75, 0.75, 0.7], 200: [0.85, 0.85, 0.8], 400: [0.9, 0.9, 0.9]}


def test_median_and_its_deviation():
    assert median_and_mad([1.0, 2.0, 10.0]) == (2.0, 1.0)
    assert median_interval([3.0]) == [3.0, 3.0]
    values = np.random.default_rng(0).normal(size=400)
    low, high = median_interval(values)  # the median's error is 1.25 / sqrt(400)
    assert low < np.median(values) < high and 0.15 < high - low < 0.35


def test_labels_saved_by_hand():
    assert final(DIRECT) == 0.8
    assert reaches(TRANSFER, 0.8) == pytest.approx(150.0)
    assert labels_saved(TRANSFER, DIRECT) == pytest.approx(1 - 150 / 400)
    assert labels_saved(DIRECT, TRANSFER) == -np.inf
    assert labels_saved({100: [0.9], 400: [0.9]}, DIRECT) == pytest.approx(0.75)  # at least


def test_a_dip_is_made_monotone():
    from sklearn.isotonic import IsotonicRegression

    np.testing.assert_allclose(monotone([0.5, 0.9, 0.7]), [0.5, 0.8, 0.8])
    values = np.random.default_rng(0).random(20)
    expected = IsotonicRegression().fit_transform(np.arange(20), values)
    np.testing.assert_allclose(monotone(values), expected)
    assert reaches({1: [0.5], 2: [0.9], 3: [0.7]}, 0.79) < 2


def test_retention_by_hand():
    assert retention(TRANSFER, DIRECT) == pytest.approx((0.75 + 0.1 * 0.2) / 0.8)
    assert retention(TRANSFER, DIRECT, chance=0.5) == pytest.approx(0.27 / 0.3)


def test_epochs():
    course = [(1.0, 2.0), (2.0, 1.004), (3.0, 1.0), (4.0, 1.5)]
    assert epochs_to_converge(course) == 2.0
    assert epochs_to_reach(course, 1.5) == 2.0 and epochs_to_reach(course, 0.5) == np.inf


def test_intervals_hold_the_value():
    value, (low, high) = over_draws(retention, TRANSFER, DIRECT)
    assert low <= value <= high and low < high
    value, interval = over_draws(labels_saved, DIRECT, TRANSFER)
    assert value == interval[0] == -np.inf


def test_the_distance_tells_the_same_from_the_other():
    rng = np.random.default_rng(0)
    a, b, far = rng.normal(size=(3, 150, 4)) + np.array([0, 0, 3.0])[:, None, None]
    assert proxy_distance(a, b) < 0.5 and proxy_distance(a, far) > 1.8


def test_a_summary_in_text():
    fits = [
        {
            "method": method, "size": n, "seed": s, "macro_auroc": v, "tested": [3, 2],
            "each": {"a": v, "b": v},
            "course": [[1.0, 12, 2.0], [2.0, 24, 1.0 / (1 + (method == "t"))]],
            "micro_auroc": v / 2, "calibration_error": 0.25, "trained": [n - 50, 10],
            "macro_auroc_interval": [v - 0.1, v + 0.05],
        }
        for method, curve in (("t", TRANSFER), ("direct", DIRECT))
        for n, values in curve.items()
        for s, v in enumerate(values)
    ]  # fmt: skip
    result = summarise(fits, ["t", "direct"])
    assert result["curves"]["t"]["100"]["median"] == 0.75 and result["tested"] == {"a": 3, "b": 2}
    told = result["gains"]["t against direct"]
    assert told["labels_saved"][0] == pytest.approx(0.625)
    assert told["epochs_to_converge"] == {"t": 2.0, "direct": 2.0}
    assert told["steps_to_converge"] == {"t": 24.0, "direct": 24.0}
    assert told["epochs_to_reach_the_loss_of_direct"] == 2.0
    assert result["micro_auroc"]["t"]["100"]["median"] == 0.375
    assert result["calibration_error"]["t"]["400"] == {
        "median": 0.25, "mad": 0.0, "mean": 0.25, "interval": [0.25, 0.25],
    }  # fmt: skip
    assert result["over_objects"]["t"]["100"] == pytest.approx([0.65, 0.8])
    assert percent([0.5, None, 1.0]) == "50 % (- to 100)"
