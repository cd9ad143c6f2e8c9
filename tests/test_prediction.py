"""Prediction: a row a row, from the photometry alone, by what the run knows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import ROOT, toy_curves

import astro_jax
from astro_jax.data.curves import from_arrays
from astro_jax.data.table import to_table
from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.models.classifier import Classifier, Fusion
from astro_jax.prediction import pooled_outputs, predict
from astro_jax.spec import spec
from astro_jax.weights import Run, load, save_safetensors

pytestmark = pytest.mark.usefixtures("hastily")
BIG = 2**53 + 1  # float64 would make it 2**53
CLASSES = ["fast", "flat", "slow"]


@pytest.fixture(scope="module")
def run(classified):
    return load(classified)


@pytest.fixture(scope="module")
def table(labelled):
    """Return the first 45 rows of the labelled survey."""
    return pq.read_table(labelled).slice(0, 45)


def predict_file(init, path, output, *words) -> int:
    config = f"--config={ROOT}/configs/predict.py"
    places = [f"--config.init={init}", f"--config.data.path={path}", f"--config.output={output}"]
    return main(["main", config, *places, *words])


def same(ours, theirs):
    assert ours.prediction == theirs.prediction and ours.classes == theirs.classes
    np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


# From Python


def test_the_record(run, table):
    told = predict(run, table)
    assert told.id == table["id"].to_pylist() and told.classes == CLASSES
    assert told.probabilities.shape == (45, 3) and told.probabilities.dtype == np.float64
    np.testing.assert_allclose(told.probabilities.sum(1), 1, atol=1e-12)
    assert told.prediction == [CLASSES[k] for k in told.probabilities.argmax(1)]
    assert len(set(told.prediction)) > 1


def test_nothing_but_the_photometry_is_read(run, table):
    told = predict(run, table)
    rng = np.random.default_rng(0)
    other = table
    for name in ("period", "ra", "dec", "n_obs", "label"):
        place = other.column_names.index(name)
        values = ["slow"] * 45 if name == "label" else rng.uniform(0, 1, 45)
        other = other.set_column(place, name, pa.array(values))
    same(predict(run, other), told)
    same(predict(run, table.select(["id", "time", "mag", "magerr"])), told)
    without = predict(run, table.select(["id", "time", "mag"]))
    assert np.abs(without.probabilities - told.probabilities).max() > 1e-4


def test_errors_that_say_nothing_are_unknown(run):
    curves = toy_curves(3)
    for error in (-1.0, 0.0, 99.0, np.inf):
        wrong, unknown = [c.copy() for c in curves], [c.copy() for c in curves]
        for a, b in zip(wrong, unknown, strict=True):
            a[::2, 2], b[::2, 2] = error, np.nan
        same(predict(run, wrong), predict(run, unknown))


def test_the_order_of_rows_and_of_observations_changes_nothing(run, table):
    told, order = predict(run, table), np.random.default_rng(1).permutation(45)
    shuffled = predict(run, table.take(pa.array(order)))
    assert shuffled.id == [told.id[k] for k in order]
    np.testing.assert_allclose(shuffled.probabilities, told.probabilities[order], atol=1e-6)
    curves = [np.random.default_rng(2).permutation(c) for c in arrays_of(table)]
    np.testing.assert_allclose(predict(run, curves).probabilities, told.probabilities, atol=1e-6)
    np.testing.assert_allclose(
        predict(run, table, batch_size=3).probabilities, told.probabilities, atol=1e-6
    )


def arrays_of(table):
    lists = [table[name].to_pylist() for name in ("time", "mag", "magerr")]
    return [np.stack(row, axis=1) for row in zip(*lists, strict=True)]


def test_curves_that_say_nothing_and_curves_that_say_little(run):
    good = toy_curves(1, 40)[0]
    nan = np.full((4, 3), np.nan)
    told = predict(run, [np.empty((0, 3)), good, nan, good[:1], good[:2, :2]])
    assert told.prediction[0] is None and told.prediction[2] is None
    assert np.isnan(told.probabilities[[0, 2]]).all()
    assert np.isfinite(told.probabilities[[1, 3, 4]]).all()
    np.testing.assert_allclose(
        told.probabilities[1], predict(run, [good]).probabilities[0], atol=1e-6
    )
    assert predict(run, [])[:2] == ([], []) and predict(run, []).probabilities.shape == (0, 3)


def test_windows_of_a_curve_are_averaged(run):
    curve = toy_curves(1, 100)
    survey = from_arrays(curve)
    _, (each, of) = pooled_outputs(run, survey, windows=0)
    assert len(each) == 4 and (of == 0).all()
    np.testing.assert_allclose(predict(run, curve, windows=0).probabilities[0], each.mean(0))
    np.testing.assert_allclose(
        predict(run, curve, windows=2).probabilities[0], each[[0, 2]].mean(0), atol=1e-6
    )
    with pytest.raises(UserError, match="windows=-2"):
        predict(run, curve, windows=-2)


def test_saving_keeps_every_bit(run, table, tmp_path):
    save_safetensors(run, tmp_path / "x.safetensors")
    again = load(tmp_path / "x.safetensors")
    same(predict(again, table), predict(run, table))
    assert again.config.classes == run.config.classes and again.config.windows == 4


def test_a_run_without_labels_is_an_error(finished, run, table, tmp_path, capsys):
    with pytest.raises(UserError, match="not trained with labels"):
        predict(load(finished), table)
    pq.write_table(table, tmp_path / "x.parquet")
    assert predict_file(finished, tmp_path / "x.parquet", tmp_path / "p.parquet") == 1
    err = capsys.readouterr().err
    assert "not trained with labels" in err and err.count("\n") == 1
    assert not (tmp_path / "p.parquet").exists()


def test_the_head_never_sees_a_label(run):
    survey = from_arrays(toy_curves(3, 30))
    plain = pooled_outputs(run, survey)[0]
    labelled = survey.with_arrays(label=np.array([0, 1, 2], np.int32), features=np.ones((3, 2)))
    np.testing.assert_array_equal(pooled_outputs(run, labelled)[0], plain)


def test_a_head_that_needs_features_says_so(run, table):
    assert isinstance(run.model.head, Fusion)
    config = run.config.copy_and_resolve_references()
    config.inputs = {}
    with pytest.raises(UserError, match="needs `inputs` with features"):
        predict(Run(config, run.model, run.params, 0), table)


def test_a_config_that_names_a_column_requires_it(run, table):
    config = run.config.copy_and_resolve_references()
    inputs = {"features": spec("astro_jax.data.inputs:features_and_columns", names=("period",))}
    tuned = astro_jax.fit_classifier(
        run,
        table,
        table["label"],
        head=config.model.head,
        inputs=inputs,
        steps=2,
        batch_size=8,
    )
    assert isinstance(tuned.model, Classifier)
    told = predict(tuned, table).probabilities
    half = [p / 3 if p else None for p in table["period"].to_pylist()]
    place = table.column_names.index("period")
    other = predict(tuned, table.set_column(place, "period", pa.array(half, pa.float64())))
    known = np.array([p is not None for p in half])
    assert (np.abs(other.probabilities - told).max(1) > 0)[known].mean() > 0.9
    np.testing.assert_array_equal(other.probabilities[~known], told[~known])
    with pytest.raises(UserError, match="lack the column 'period'"):
        predict(tuned, table.drop_columns("period"))


# From the command line


def test_the_table_of_predictions(classified, run, table, tmp_path):
    """A suffix says nothing, labels of the input are not read, ids stay what they were."""
    wrong = table.set_column(table.column_names.index("label"), "label", [[7.5] * 45])
    order = np.random.default_rng(3).permutation(45)
    pq.write_table(wrong.take(pa.array(order)), tmp_path / "x.parquet")
    assert predict_file(classified, tmp_path / "x.parquet", tmp_path / "new" / "p.csv") == 0
    told = pq.read_table(tmp_path / "new" / "p.csv")
    assert told.column_names == ["id", "prediction", "prob_fast", "prob_flat", "prob_slow"]
    assert told.schema.field("id").type == pa.int64() and told["id"].to_pylist()[0] > 2**53
    expected = predict(run, table.take(pa.array(order)))
    assert told["id"].to_pylist() == expected.id
    assert told["prediction"].to_pylist() == expected.prediction
    np.testing.assert_allclose(
        np.stack([told[f"prob_{c}"] for c in CLASSES], axis=1), expected.probabilities, atol=1e-6
    )


@pytest.mark.parametrize("ids", [[BIG, BIG + 2, 7, 9, 5], ["a b", "ö", "007", "7.0", "NGC-1"]])
def test_every_input_row_has_its_row(classified, tmp_path, capsys, ids):
    """Row 1 is empty, in row 3 nothing is finite, row 2 has one point."""
    curves = [*toy_curves(2, 40), toy_curves(1, 1)[0], np.full((3, 3), np.nan), toy_curves(1, 9)[0]]
    curves[1] = np.empty((0, 3))
    survey = from_arrays(curves, ids=ids, band=["V", "I", "V", "I", "V"])
    pq.write_table(to_table(survey), tmp_path / "x.parquet")
    assert predict_file(classified, tmp_path / "x.parquet", tmp_path / "p.parquet") == 0
    told = pq.read_table(tmp_path / "p.parquet")
    assert told.column_names[:3] == ["id", "band", "prediction"]
    assert told["id"].to_pylist() == ids
    assert told["band"].to_pylist() == ["V", "I", "V", "I", "V"]
    null = [v is None for v in told["prediction"].to_pylist()]
    assert null == [False, True, False, True, False]
    assert [v is None for v in told["prob_flat"].to_pylist()] == null
    out = capsys.readouterr().out
    assert "5 predictions of step" in out and "2 of them null: no usable observation" in out


def test_the_input_is_never_the_output(classified, labelled, tmp_path, capsys):
    file = tmp_path / "x.parquet"
    file.write_bytes(labelled.read_bytes())
    for source in (file, tmp_path, tmp_path / "*.parquet"):
        assert predict_file(classified, source, file) == 1
        assert "is among what is read" in capsys.readouterr().err
    assert file.read_bytes() == labelled.read_bytes()


def test_a_report_of_an_earlier_run_goes(classified, labelled, tmp_path):
    report = tmp_path / "p.parquet.quarantine.csv"
    report.write_text("of an earlier run")
    assert predict_file(classified, labelled, tmp_path / "p.parquet") == 0
    assert not report.exists()


def test_rows_with_the_same_key_or_none_keep_their_rows(classified, tmp_path):
    survey = from_arrays(toy_curves(4, 20), ids=[3, None, 3, None])
    pq.write_table(to_table(survey), tmp_path / "x.parquet")
    assert predict_file(classified, tmp_path / "x.parquet", tmp_path / "p.parquet") == 0
    told = pq.read_table(tmp_path / "p.parquet")
    assert told["id"].to_pylist() == [3, None, 3, None]
    assert told["prediction"].null_count == 0


def test_bands_inside_the_lists_give_rows_in_order(classified, tmp_path):
    time = [[1.0, 2.0, 3.0, 4.0], [], [5.0, 6.0]]
    band = [["r", "g", "r", "g"], [], ["g", "g"]]
    table = pa.table(
        {
            "id": ["x", "y", "z"],
            "time": time,
            "mag": [[15.0 + t for t in r] for r in time],
            "band": band,
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert predict_file(classified, tmp_path / "x.parquet", tmp_path / "p.parquet") == 0
    told = pq.read_table(tmp_path / "p.parquet")
    assert told["id"].to_pylist() == ["x", "x", "y", "z"]
    assert sorted(told["band"].to_pylist()[:2]) == ["g", "r"] and told["band"][2].as_py() is None
    assert [v is None for v in told["prediction"].to_pylist()] == [False, False, True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--config.init=",), "predict needs --config.init=RUN"),
        (("--config.output=",), "predict needs"),
        (("--config.step=first",), "'best' or 'last'"),
        (("--config.batch_size=-1",), "batch_size=-1 must be at least 1"),
        (("--config.data.path=nowhere.parquet",), "nowhere.parquet"),
    ],
)
def test_a_mistake_is_one_line(classified, labelled, tmp_path, capsys, change, message):
    assert predict_file(classified, labelled, tmp_path / "p.parquet", *change) == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
