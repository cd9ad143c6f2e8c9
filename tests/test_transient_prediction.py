"""Prediction of transients: a row a row, per epoch, a tree, without redshift too; bad input."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_transients import PREDICT, labelled_transients

import astro_jax
from astro_jax.data.transient_table import to_table
from astro_jax.errors import UserError
from astro_jax.evals.calibration import softmax
from astro_jax.main import main
from astro_jax.transient_prediction import network_outputs, network_rows, types_of

pytestmark = pytest.mark.usefixtures("hastily")
THREE = ["SNII", "SNIa", "SNIb/c"]


@pytest.fixture(scope="module")
def run(transferred):
    return astro_jax.load(transferred)


@pytest.fixture(scope="module")
def sample():
    return labelled_transients(60, seed=9)


def probabilities(table):
    return np.stack([table[f"prob_{name}"].to_numpy() for name in THREE], axis=1)


# The job


@pytest.fixture(scope="module")
def predicted(transferred, transient_file, tmp_path_factory):
    output = tmp_path_factory.mktemp("predicted") / "pred.parquet"
    words = [PREDICT, f"--config.init={transferred}", f"--config.data.path={transient_file}"]
    assert main(["main", *words, f"--config.output={output}", "--config.per_epoch=True"]) == 0
    return pq.read_table(output)


def test_the_table_has_a_row_an_input_row_in_its_order(predicted, transient_file):
    assert predicted["id"].to_pylist() == pq.read_table(transient_file)["id"].to_pylist()
    assert predicted.column_names[:2] == ["id", "prediction"]
    assert [n for n in predicted.column_names if n.startswith("prob_")] == [
        f"prob_{name}" for name in THREE
    ]
    p = probabilities(predicted)
    np.testing.assert_allclose(p.sum(1), 1.0, atol=1e-6)
    assert predicted["prediction"].to_pylist() == [THREE[k] for k in p.argmax(1)]


def test_after_the_last_epoch_stands_the_prediction(predicted, transient_file):
    file = pq.read_table(transient_file)
    for k in (0, 17, 150):
        times = predicted["epoch_time"][k].as_py()
        kept = [t for t in file["time"][k].as_py() if times[0] - 1e-4 <= t <= times[-1] + 1e-4]
        assert len(times) == min(len(kept), 32) and times == sorted(times)
        assert min(abs(times[-1] - t) for t in kept) < 1e-4
        for name in THREE:
            steps = predicted[f"epoch_prob_{name}"][k].as_py()
            assert len(steps) == len(times)
            assert steps[-1] == pytest.approx(predicted[f"prob_{name}"][k].as_py(), abs=1e-5)


def test_it_says_where_it_used_the_redshift(predicted, transient_file):
    known = [z is not None for z in pq.read_table(transient_file)["redshift"].to_pylist()]
    assert predicted["redshift_used"].to_pylist() == known and not all(known)


def test_known_objects_are_no_outliers_and_all_have_a_score(predicted):
    score = predicted["outlier"].to_numpy()
    assert np.isfinite(score).all() and 0 <= np.median(score) <= 1


def test_without_redshift_and_without_a_path(transient_base, tmp_path, capsys):
    words = [PREDICT, f"--config.init={transient_base}", f"--config.output={tmp_path}/p.parquet"]
    words += ["--config.redshift=False", "--config.data.simulate.stars=12"]
    assert main(["main", *words]) == 0
    said = capsys.readouterr().out
    assert "simulating 12 transients, ZTF-like" in said and "with redshift 0, without 12" in said
    table = pq.read_table(tmp_path / "p.parquet")
    assert not any(table["redshift_used"].to_pylist())
    types = {n.removeprefix("type_") for n in table.column_names if n.startswith("type_")}
    assert types == {"AGN", "SLSN-I", "SNII", "SNIa", "SNIb/c", "TDE"}
    sub = sum(table[f"prob_{n}"].to_numpy() for n in ("SNIa", "SNIa-91bg", "SNIax"))
    np.testing.assert_allclose(table["type_SNIa"].to_numpy(), sub, atol=1e-9)
    total = sum(table[f"type_{t}"].to_numpy() for t in types)
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


# From Python


def test_predict_takes_a_table_a_path_or_transients(run, sample, tmp_path):
    table = to_table(sample)
    pq.write_table(table, tmp_path / "x.parquet")
    several = [astro_jax.predict(run, x) for x in (sample, table, tmp_path / "x.parquet")]
    for other in several[1:]:
        assert other.id == several[0].id and other.prediction == several[0].prediction
        np.testing.assert_array_equal(other.probabilities, several[0].probabilities)
    assert several[0].classes == several[0].types == THREE and several[0].steps is None


def test_probabilities_are_divided_by_the_temperature(run, sample):
    rows, place, _ = network_rows(run, sample)
    logits = network_outputs(run, rows)["logits"]
    expected = softmax(logits, run.config.temperature)
    np.testing.assert_allclose(astro_jax.predict(run, sample).probabilities[place], expected)
    assert run.config.temperature != 1.0


def test_the_redshift_counts(run, sample):
    with_it, without = (astro_jax.predict(run, sample, redshift=r) for r in (True, False))
    moved = np.abs(with_it.probabilities - without.probabilities).max(1)
    assert (moved[with_it.redshift_used] > 0).all() and (moved[~with_it.redshift_used] == 0).all()
    assert not without.redshift_used.any()


def test_batches_and_lengths_change_nothing(run, sample):
    one, many = (astro_jax.predict(run, sample, batch_size=size) for size in (7, 64))
    np.testing.assert_allclose(one.probabilities, many.probabilities, atol=1e-5)


def test_the_order_of_bands_matters_and_the_order_of_rows_does_not(run, sample):
    table = to_table(sample)
    names = {"ztfg": "ztfr", "ztfr": "ztfg", "ps1g": "ps1r", "ps1r": "ps1g"}
    swapped = [[names.get(b, b) for b in row] for row in table["band"].to_pylist()]
    other = table.set_column(table.column_names.index("band"), "band", pa.array(swapped))
    reverse = pa.table({
        name: pa.array([v[::-1] for v in table[name].to_pylist()], table[name].type)
        if pa.types.is_list(table[name].type) else table[name]
        for name in table.column_names
    })  # fmt: skip
    plain, moved, turned = (
        astro_jax.predict(run, t).probabilities for t in (table, other, reverse)
    )
    assert np.median(np.abs(moved - plain).max(1)) > 1e-3
    np.testing.assert_array_equal(turned, plain)


def test_types_of():
    types, members = types_of(["SNIIn", "AGN", "SNII", "novel"])
    assert types == ["AGN", "SNII", "novel"]
    np.testing.assert_array_equal(members, [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("classes", "parts"),
    [
        (["SN IIn", "SN II", "SN Ia"], {"SN II": ["SN IIn", "SN II"], "SN Ia": ["SN Ia"]}),
        (["SNIIn", "SN IIb"], {"SNII": ["SNIIn", "SN IIb"]}),
        (["SNIb", "SN Ic", "SNIbc"], {"SNIbc": ["SNIb", "SN Ic", "SNIbc"]}),
        (["SNIb", "SN Ic", "SNIb/c"], {"SNIb/c": ["SNIb", "SN Ic", "SNIb/c"]}),
        (["SNIb", "SN Ic"], {"SNIb/c": ["SNIb", "SN Ic"]}),
        (["KN", "SN Ib/c"], {"KN": ["KN"], "SN Ib/c": ["SN Ib/c"]}),
    ],
)
def test_types_of_names_in_any_spelling(classes, parts):
    types, members = types_of(classes)
    assert types == sorted(parts)
    found = {t: [c for c, part in zip(classes, column, strict=True) if part]
             for t, column in zip(types, members.T, strict=True)}  # fmt: skip
    assert found == parts


# Bad input: a rule or a clear error, nothing lost


def curve(count=6, flux=900.0, start=59000.0, band=("ztfg", "ztfr")):
    return {
        "time": [start + 3.0 * k for k in range(count)],
        "band": [band[k % len(band)] for k in range(count)],
        "flux": [flux * (1 + 0.1 * k) for k in range(count)],
        "fluxerr": [30.0] * count,
        "redshift": 0.05,
    }


def bad_table(**rows):
    """Return an object table from a good curve, a row each with its changes."""
    found = {name: {**curve(), **change} for name, change in {"good": {}, **rows}.items()}
    return pa.table(
        {"id": list(found)}
        | {key: [row[key] for row in found.values()] for key in curve()}
    )  # fmt: skip


def test_rows_that_cannot_be_seen_stay_as_nulls_with_their_reason(run, tmp_path):
    nan = float("nan")
    table = bad_table(
        faint={"flux": [10.0, -5.0, 3.0, -60.0, 0.0, 12.0]},
        nothing={"flux": [nan] * 6},
        negative={"flux": [-40.0, 900.0, -10.0, 1000.0, 800.0, -5.0]},
        unsorted={key: curve()[key][::-1] for key in ("time", "band", "flux", "fluxerr")},
        repeated={key: curve()[key] * 2 for key in ("time", "band", "flux", "fluxerr")},
        point={key: curve()[key][:1] for key in ("time", "band", "flux", "fluxerr")},
        unknown_z={"redshift": None},
        strange_z={"redshift": -9.0},
        errors={"fluxerr": [0.0, -1.0, nan, 30.0, 30.0, 30.0]},
    )
    pq.write_table(table, tmp_path / "x.parquet")
    found = astro_jax.predict(run, tmp_path / "x.parquet")
    said = dict(zip(found.id, found.prediction, strict=True))
    assert found.id == table["id"].to_pylist()
    assert {name for name, p in said.items() if p is None} == {"faint", "nothing"}
    p = dict(zip(found.id, found.probabilities, strict=True))
    np.testing.assert_array_equal(p["unsorted"], p["good"])
    np.testing.assert_array_equal(p["repeated"], p["good"])  # the first of each epoch stays
    np.testing.assert_array_equal(p["unknown_z"], p["strange_z"])
    used = dict(zip(found.id, found.redshift_used, strict=True))
    assert [k for k, v in used.items() if not v] == ["faint", "nothing", "unknown_z", "strange_z"]
    found.ledger.write(str(tmp_path / "q.csv"))
    with open(tmp_path / "q.csv") as file:
        reasons = {(row["object"], row["reason"]) for row in csv.DictReader(file)}
    assert ("faint", "no trigger: no point of S/N 5 or more") in reasons
    assert ("nothing", "flux missing or not finite") in reasons
    assert ("repeated", "repeated epoch") in reasons
    assert ("errors", "flux error missing or not positive") in reasons


def test_non_detections_before_the_trigger_are_seen(run):
    before = {
        "time": [58990.0, 58993.0, *curve()["time"]],
        "band": ["ztfg", "ztfr", *curve()["band"]],
        "flux": [-12.0, 5.0, *curve()["flux"]],
        "fluxerr": [30.0, 30.0, *curve()["fluxerr"]],
    }
    found = astro_jax.predict(run, bad_table(more=before), per_epoch=True)
    assert [len(t) for t in found.times] == [6, 8] and found.times[1][0] == pytest.approx(58990.0)


def test_a_trigger_by_hand(run):
    faint = {"flux": [10.0, -5.0, 3.0, -60.0, 0.0, 12.0]}
    table = bad_table(faint=faint).append_column("trigger", [[None, 59003.0]])
    assert None not in astro_jax.predict(run, table).prediction


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"band": ["ztfg", "q"] * 3}, "unknown band 'q'.*bands are ztfg, ztfr"),
        ({"band": ["X", "Y"] * 3}, "letters of a survey need its name"),
    ],
)
def test_unknown_bands_are_an_error_that_lists_the_known_ones(run, change, message):
    with pytest.raises(UserError, match=message):
        astro_jax.predict(run, bad_table(odd=change))


def test_predict_is_told_the_survey(run, sample, tmp_path):
    letters = {"band": ["g", "r"] * 3}
    table = bad_table(plain=letters)
    pq.write_table(table, tmp_path / "x.parquet")
    found = astro_jax.predict(run, tmp_path / "x.parquet", survey="ztf").probabilities
    np.testing.assert_array_equal(found[1], found[0])
    plain = astro_jax.predict(run, table).probabilities
    assert np.abs(plain[1] - plain[0]).max() > 1e-6
    with pytest.raises(UserError, match="survey=ztf: these transients are read"):
        astro_jax.predict(run, sample, survey="ztf")


def test_magnitudes_in_a_column_of_fluxes_are_refused(run):
    magnitudes = {"flux": [18.2, 18.0, 17.9, 18.1, 18.4, 18.8], "fluxerr": [0.05] * 6}
    table = bad_table(**{f"m{k}": magnitudes for k in range(4)}).slice(1)
    with pytest.raises(UserError, match="look like magnitudes, not fluxes"):
        astro_jax.predict(run, table)
    one = astro_jax.predict(run, bad_table(m=magnitudes))
    assert [name is None for name in one.prediction] == [False, True]
    assert "look like magnitudes" in one.ledger.rows[0].reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"flux": [10.0, -5.0, 3.0, -60.0, 0.0, 12.0]}, "no trigger: no point of S/N 5 or more"),
        ({"trigger": 50000.0}, "outside -30 .. 70 days of the trigger"),
    ],
)
def test_a_file_in_which_nothing_can_be_seen_is_null_rows(
    run, transferred, tmp_path, change, reason
):
    """As the same object among others."""
    change = dict(change)
    trigger = change.pop("trigger", None)
    table = (
        bad_table(dark=change).slice(1).append_column("trigger", pa.array([trigger], pa.float64()))
    )
    found = astro_jax.predict(run, table, per_epoch=True)
    assert found.id == ["dark"] and found.prediction == found.type == [None]
    assert np.isnan(found.probabilities).all() and found.probabilities.shape == (1, 3)
    assert np.isnan(found.outlier).all() and not found.redshift_used.any()
    assert [len(t) for t in found.times] == [len(s) for s in found.steps] == [0]
    said = [row.reason for row in found.ledger.rows] + [drop.reason for drop in found.ledger.drops]
    assert said == [reason]
    pq.write_table(table, tmp_path / "x.parquet")
    words = [PREDICT, f"--config.init={transferred}", f"--config.data.path={tmp_path}/x.parquet"]
    assert main(["main", *words, f"--config.output={tmp_path}/p.parquet"]) == 0
    assert pq.read_table(tmp_path / "p.parquet")["prediction"].to_pylist() == [None]


def test_a_run_of_another_kind(finished, sample):
    with pytest.raises(UserError):
        astro_jax.predict(astro_jax.load(finished), to_table(sample))
