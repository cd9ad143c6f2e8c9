"""The regression of periods by a choice among candidates: the job, its prediction, its errors."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from tiny import ROOT, config_of

import astro_jax
from astro_jax.data.curves import from_arrays
from astro_jax.data.inputs import period_candidates
from astro_jax.data.split import star_position
from astro_jax.data.table import write_table
from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.models.period_forest import PeriodForest
from astro_jax.regress import log_period
from astro_jax.summary import read_metrics
from astro_jax.supervised import class_task
from astro_jax.workdir import read_json

CONFIG = f"--config={ROOT / 'configs' / 'regress.py'}:period"
SMALL = ["--config.model.head.trees=40", "--config.window=32"]


def eclipsing(stars=160, points=80, seed=0):
    """Return pulsating stars, and eclipsing binaries with equal minima, one of three.

    The periodogram finds half the period of the latter, whose catalogue has the whole; 3 further
    stars have no known period.
    """
    rng = np.random.default_rng(seed)
    curves, periods = [], []
    for k in range(stars + 3):
        period = 10 ** rng.uniform(-0.3, 1.0)
        time = 50_000 + np.sort(rng.uniform(0, 300, points))
        phase = (time / period + rng.uniform()) % 1.0
        if k % 3 == 0:
            near = np.abs((phase % 0.5) - 0.25)  # half a cycle from one minimum to the next
            mag = 15 + 0.8 * np.exp(-((near / 0.06) ** 2))
        else:
            mag = 15 + 0.8 * np.minimum(phase / 0.8, (1 - phase) / 0.2)
        mag += 0.01 * rng.normal(size=points)
        curves.append(np.stack([time, mag, np.full(points, 0.01)], axis=1))
        periods.append(period if k < stars else None)
    return from_arrays(curves, ids=(7 + 3 * np.arange(len(curves))).tolist(), period=periods)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    path = tmp_path_factory.mktemp("eclipsing") / "x.parquet"
    write_table(eclipsing(), str(path))
    return path


@pytest.fixture(scope="module")
def words(survey):
    return [CONFIG, f"--config.data.path={survey}", *SMALL]


@pytest.fixture(scope="module")
def workdir(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chosen") / "run"
    assert main(["main", *words, "--config.baselines=True", f"--workdir={folder}"]) == 0
    return folder


def test_it_repairs_the_half_periods_of_eclipsing_binaries(workdir, survey):
    summary = read_json(workdir / "summary.json")
    ours, best = summary["model"], summary["periodogram alone"]
    assert 0.3 < best["within_0.01"] < 0.8 < 0.9 < ours["within_0.01"]
    assert ours["rmse"] < 0.7 * min(best["rmse"], summary["features + random forest"]["rmse"])
    assert ours["median_error"] < 1e-3 and list(summary["left_out"]) == ["no usable log_period"]
    (line,) = read_metrics(workdir / "metrics.jsonl")
    assert (line["step"], line["split"]) == (0, "valid") and line["within_0.01"] > 0.8
    assert 0 < line["rmse"] < 0.3 and 0 < line["loss"] < 0.5


def test_what_is_chosen_is_a_candidate_to_a_millionth(workdir, survey):
    told = pq.read_table(workdir / "test_predictions.parquet")
    curves = eclipsing()
    place = [curves.columns["id"].to_pylist().index(id) for id in told["id"].to_pylist()]
    assert (star_position(curves.star[place]) >= 0.8).all()
    log = period_candidates(curves.take(place))[..., 0]
    every = (log[..., None] + np.log10([1, 0.5, 2])).reshape(len(place), -1)
    off = np.abs(every - told["prediction"].to_numpy()[:, None]).min(1)
    right = np.abs(told["prediction"].to_numpy() - told["target"].to_numpy()) < 0.01
    assert right.sum() > 20 and off[right].max() < 1e-6
    facts = read_json(workdir / "task.json")
    assert (facts["mean"], facts["std"], facts["scales"]) == (0.0, 1.0, {})


def test_predict_and_saved_files_say_what_the_run_said(workdir, survey, tmp_path):
    output = tmp_path / "p.parquet"
    predict = [f"--config={ROOT / 'configs' / 'predict.py'}", f"--config.init={workdir}"]
    place = [f"--config.data.path={survey}", f"--config.output={output}"]
    assert main(["main", *predict, *place]) == 0
    table = pq.read_table(output)
    every = dict(zip(table["id"].to_pylist(), table["prediction"].to_pylist(), strict=True))
    assert len(every) == 163
    own = pq.read_table(workdir / "test_predictions.parquet")
    ids = own["id"].to_pylist()
    np.testing.assert_array_equal([every[id] for id in ids], own["prediction"])
    run = astro_jax.load(workdir)
    assert isinstance(run.model.head, PeriodForest) and "encoder" not in run.params
    astro_jax.save_safetensors(run, tmp_path / "x.safetensors")
    given = [np.empty((0, 3)), *(eclipsing().curve(k) for k in range(5))]
    told = astro_jax.predict(run, given)
    again = astro_jax.predict(astro_jax.load(tmp_path / "x.safetensors"), given)
    assert told.prediction == again.prediction and told.prediction[0] is None
    rows = [7 + 3 * k for k in range(5)]
    np.testing.assert_allclose(told.prediction[1:], [every[id] for id in rows], atol=1e-6)


def test_a_curve_without_candidates_gets_a_guess(workdir):
    short = np.array([[50_000.0 + k, 15.0 + 0.1 * k, 0.01] for k in range(4)])
    assert not period_candidates(from_arrays([short])).any()
    (value,) = astro_jax.predict(astro_jax.load(workdir), [short]).prediction
    assert -0.3 < value < 1.0


def test_candidates_are_those_of_the_periodogram():
    curves = eclipsing(20)
    found = period_candidates(curves)
    assert found.shape == (23, 4, 5) and (found[:, 0, 4] == 1).all()
    np.testing.assert_allclose(found[:, 0, 0], log_period(curves))
    assert (found[..., 0][found[..., 4] == 0] == 0).all()


def test_a_dry_run_writes_nothing(words, tmp_path, capsys):
    assert main(["main", *words, "--config.dry_run=True", f"--workdir={tmp_path / 'dry'}"]) == 0
    assert "40 trees" in capsys.readouterr().out and not (tmp_path / "dry").exists()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--config.data.target=period", "give log_period"),
        ("--config.data.target=log_id", "give log_period"),
        ("--config.init=base", "leave --config.init out"),
    ],
)
def test_what_it_cannot_predict_is_one_line(words, tmp_path, capsys, word, message):
    assert main(["main", *words, word, f"--workdir={tmp_path / 'no'}"]) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_period_in_hours_is_refused(tmp_path, capsys):
    survey = eclipsing(60)
    hours = [p and 24 * p for p in survey.columns["period"].to_pylist()]
    columns = survey.columns.set_column(1, "period", [hours])
    write_table(survey.with_columns(columns), str(tmp_path / "x.parquet"))
    words = [CONFIG, f"--config.data.path={tmp_path / 'x.parquet'}", *SMALL]
    assert main(["main", *words, f"--workdir={tmp_path / 'run'}"]) == 1
    assert "log10 of a period in days" in capsys.readouterr().err


def test_it_is_no_head_of_a_classifier(labelled):
    config = config_of("classify")
    other = config_of("regress:period")
    config.data.path, config.init, config.data.min_class = str(labelled), "", 10
    config.model = other.model
    config.inputs = other.inputs
    with pytest.raises(UserError, match=r"PeriodForest is a head for configs/regress\.py"):
        class_task(config)


def test_nor_of_one_that_is_fitted_from_python(finished):
    head = config_of("regress:period").model.head
    curves = [np.column_stack([np.arange(30.0), np.sin(np.arange(30.0) + k)]) for k in range(24)]
    with pytest.raises(UserError, match=r"PeriodForest is a head for configs/regress\.py"):
        astro_jax.fit_classifier(astro_jax.load(finished), curves, ["a", "b"] * 12, head=head)
