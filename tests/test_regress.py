"""The job of regression: values in the unit of the target, beside what must be beaten."""

import logging

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from tiny import LABELLED, ROOT, config_module, labelled_survey, toy_curves

from astro_jax.data.curves import from_arrays
from astro_jax.data.split import star_position
from astro_jax.grown import check_period
from astro_jax.main import main
from astro_jax.prediction import predict
from astro_jax.regress import errors, log_period
from astro_jax.weights import load, save_safetensors
from astro_jax.workdir import read_json

pytestmark = pytest.mark.usefixtures("hastily")


def regress(labelled, finished, workdir, *words) -> int:
    places = [f"--config.init={finished}", f"--config.data.path={labelled}"]
    config = f"--config={ROOT}/configs/regress.py"
    return main(["main", config, *places, *LABELLED, f"--workdir={workdir}", *words])


@pytest.fixture(scope="module")
def workdir(labelled, finished, tmp_path_factory, hastily):
    """Return the folder of a run on `log_period` with its baselines."""
    folder = tmp_path_factory.mktemp("regress") / "run"
    words = ["--config.baselines=True", "--config.optimizer.schedule.rate=3e-3"]
    assert regress(labelled, finished, folder, *words) == 0
    return folder


def test_the_summary_has_the_baselines(workdir):
    summary = read_json(workdir / "summary.json")
    names = ("model", "features + random forest", "periodogram alone", "mean")
    assert all(summary[name]["rmse"] > 0 for name in names) and summary["target"] == "log_period"
    assert summary["features + random forest"]["rmse"] < 0.3 < summary["mean"]["rmse"]
    assert summary["model"]["rmse"] < 1.2 * summary["mean"]["rmse"]
    assert list(summary["left_out"]) == ["no usable log_period"]
    assert imread(workdir / "predicted.png").std() > 0.01


def test_predictions_are_in_the_unit_of_the_target(workdir, labelled):
    told = pq.read_table(workdir / "test_predictions.parquet")
    assert told.column_names == ["id", "prediction", "target"]
    assert (star_position(told["id"].to_numpy()) >= 0.8).all()
    table = pq.read_table(labelled)
    period = dict(zip(table["id"].to_pylist(), table["period"].to_pylist(), strict=True))
    truth = np.log10([period[id] for id in told["id"].to_pylist()])
    np.testing.assert_allclose(told["target"], truth, rtol=1e-5)
    error = told["prediction"].to_numpy() - truth
    summary = read_json(workdir / "summary.json")["model"]
    assert summary["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    low, high = summary["rmse_interval"]
    assert low < summary["rmse"] < high
    facts = read_json(workdir / "task.json")
    assert abs(facts["mean"]) > 0.1 and facts["std"] > 0.5  # the scales of the target are not 0, 1


def test_predict_gives_the_same_values_and_saving_keeps_them(workdir, labelled, tmp_path):
    run, told = load(workdir), pq.read_table(workdir / "test_predictions.parquet")
    table = pq.read_table(labelled)
    rows = [table["id"].to_pylist().index(id) for id in told["id"].to_pylist()]
    table = table.take(rows)
    record = predict(run, table)
    np.testing.assert_allclose(record.prediction, told["prediction"], atol=1e-5)
    assert record.classes == [] and record.probabilities.shape == (len(rows), 0)
    other = table.set_column(table.column_names.index("period"), "period", [[1.0] * len(rows)])
    assert predict(run, other).prediction == record.prediction
    save_safetensors(run, tmp_path / "x.safetensors")
    assert predict(load(tmp_path / "x.safetensors"), table).prediction == record.prediction
    assert predict(run, [np.empty((0, 3)), toy_curves(1, 20)[0]]).prediction[0] is None


def test_the_job_of_prediction_writes_values(workdir, tmp_path, labelled):
    output = tmp_path / "p.parquet"
    words = [f"--config.init={workdir}", f"--config.data.path={labelled}"]
    config = f"--config={ROOT}/configs/predict.py"
    assert main(["main", config, *words, f"--config.output={output}"]) == 0
    told = pq.read_table(output)
    assert told.column_names == ["id", "prediction"] and told.num_rows == 155
    assert str(told.schema.field("prediction").type) == "double"


@pytest.mark.parametrize(
    ("target", "message"),
    [("log_perod", "did you mean 'period'"), ("label", "column 'label' holds no numbers")],
)
def test_a_target_that_cannot_be_used_is_one_line(
    labelled, finished, tmp_path, capsys, target, message
):
    assert regress(labelled, finished, tmp_path, f"--config.data.target={target}") == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_smooth_head_for_a_period_names_the_better_one(caplog):
    config = config_module("regress").get_config()
    with caplog.at_level(logging.WARNING):
        check_period(config)
    assert "log_period: this head" in caplog.text and "regress.py:period" in caplog.text
    caplog.clear()
    config.data.target = "period"
    check_period(config)
    check_period(config_module("regress").get_config("period"))
    assert not caplog.text


def test_errors_of_known_numbers():
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    told = errors(truth + [0.0, 0.005, 0.3, -0.4], truth)
    assert told["rmse"] == pytest.approx(0.25, rel=1e-3)
    assert told["median_error"] == pytest.approx(0.1525)
    assert told["within_0.01"] == 0.5
    assert told["r2"] == pytest.approx(1 - 0.250025 / 5)
    assert errors(np.ones(4), np.ones(4))["r2"] == 1.0


def test_bands_of_a_star_are_drawn_together():
    error = np.random.default_rng(0).normal(size=200)
    low, high = errors(error, np.zeros(200))["rmse_interval"]
    twice = errors(np.repeat(error, 2), np.zeros(400), np.repeat(np.arange(200), 2))
    assert twice["rmse_interval"] == pytest.approx([low, high])
    apart = errors(np.repeat(error, 2), np.zeros(400))["rmse_interval"]
    assert apart[1] - apart[0] < 0.8 * (high - low)


def test_the_period_of_a_curve_and_the_span_of_one_without():
    survey = labelled_survey(4)
    fast = np.array([name == "fast" for name in survey.columns["label"].to_pylist()])
    truth = np.log10(np.array(survey.columns["period"].to_pylist(), float)[fast])
    assert np.median(np.abs(log_period(survey)[fast] - truth)) < 0.01
    short = from_arrays([np.array([[0.0, 15.0], [100.0, 15.1]])])
    np.testing.assert_allclose(log_period(short), [2.0])
