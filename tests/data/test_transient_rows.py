"""Rows for the network and their batches: what each number is, what is left out, what is drawn."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astro_jax.data.ledger import opening
from astro_jax.data.read_transients import read_transients
from astro_jax.data.simulate.transients import simulate_transients
from astro_jax.data.transient_batches import (
    TransientBatches,
    make_batch,
    padded_length,
    transient_batches,
)
from astro_jax.data.transient_rows import loudest, make_rows
from astro_jax.data.transients import from_arrays
from astro_jax.errors import UserError

SNR = (2.0, 2.0, 10.0, 80.0, 70.0, 60.0, 50.0, 40.0, 30.0, 20.0)


def curve(start=58000.0, count=10, step=12.0, band=("ztfg", "ztfr")):
    """Return points whose S/N is that of SNR, in turns in the bands."""
    time = start + step * np.arange(count)
    snr = np.array(SNR[:count])
    return time, [band[k % len(band)] for k in range(count)], 20.0 * snr, np.full(count, 20.0)


def transients(**columns):
    given = {
        "label": ["SNIa", "odd", None],
        "redshift": pa.array([0.25, None, 0.1], pa.float64()),
        "mwebv": [0.01, 0.02, 0.03],
    }
    return from_arrays(
        [curve(), curve(59000.0), curve(60000.0, 4)], ids=[7, 8, 9], **given | columns
    )


def test_each_number_of_a_row():
    rows, ledger = make_rows(transients(), classes=("TDE", "SNIa"))
    # the trigger is the third point; the window ends 70 days after it, 30 before
    first = rows.values[: rows.lengths[0]]
    np.testing.assert_allclose(rows.since[:8], np.arange(-2, 6) * 12.0, atol=1e-4)
    np.testing.assert_allclose(first[:, 1], (np.arange(-2, 6) * 12.0 + 30) / 100, rtol=1e-5)
    np.testing.assert_allclose(first[:, 0], np.tile([0.4746, 0.6366], 4), rtol=1e-6)
    np.testing.assert_allclose(first[:3, 2], np.array([40, 40, 200]) / 500, rtol=1e-6)
    np.testing.assert_allclose(first[:, 3], 20 / 500, rtol=1e-6)
    assert rows.lengths.tolist() == [8, 8, 4]
    assert rows.arrays["label"].tolist() == [1, -1, -1]
    np.testing.assert_allclose(rows.arrays["metadata"], [[0.25, 0.01], [0, 0.02], [0.1, 0.03]])
    assert rows.arrays["known"].tolist() == [[True, True], [False, True], [True, True]]
    assert rows.columns["trigger"].to_pylist() == [58024.0, 59024.0, 60024.0]
    assert ledger.filtered == (0, 4) and ledger.kept == (3, 20)


def test_rows_are_in_time_order_whatever_the_order_of_the_file(shared):
    table = pq.read_table(shared / "data/transient_yse_dr1.parquet").slice(0, 40)
    rng = np.random.default_rng(0)
    order = [rng.permutation(n) for n in table["n_obs"].to_pylist()]
    shuffled = table
    for name in ("time", "band", "flux", "flux_err"):
        lists = table[name].to_pylist()
        lists = [np.array(v)[o].tolist() for v, o in zip(lists, order, strict=True)]
        column = pa.array(lists, table[name].type)
        shuffled = shuffled.set_column(table.column_names.index(name), name, column)
    a, b = (make_rows(read_transients(t)[0])[0] for t in (table, shuffled))
    np.testing.assert_array_equal(a.values, b.values)
    assert not shuffled["time"].equals(table["time"])


def test_time_dilation_is_taken_out_after_the_cut():
    rows, _ = make_rows(transients(), dilate="redshift")
    plain, _ = make_rows(transients())
    assert rows.lengths.tolist() == plain.lengths.tolist()
    time = rows.values[:, 1] * 100 - 30
    np.testing.assert_allclose(time[:8], plain.since[:8] / 1.25, atol=1e-4)
    np.testing.assert_allclose(time[8:16], plain.since[8:16], atol=1e-4)  # no redshift: as it is
    np.testing.assert_array_equal(rows.since, plain.since)


def test_scales():
    plain, curved, peak = (
        make_rows(transients(), scale=scale)[0] for scale in ("const500", "asinh", "peak")
    )
    flux, fluxerr = plain.values[:, 2], plain.values[:, 3]
    np.testing.assert_allclose(curved.values[:, 2], np.arcsinh(flux), rtol=1e-6)
    # the error is that of the scaled flux, to first order
    step = (np.arcsinh(flux + 1e-3 * fluxerr) - np.arcsinh(flux)) / 1e-3
    np.testing.assert_allclose(curved.values[:, 3], step, rtol=1e-2)
    for k in range(3):
        part = slice(*peak.offsets[k : k + 2])
        assert peak.values[part, 2].max() == 1.0
        np.testing.assert_allclose(
            peak.values[part, 3], fluxerr[part] / flux[part].max(), rtol=1e-5
        )


def test_long_curves_lose_their_faintest_points():
    rows, ledger = make_rows(transients(), length=5)
    assert rows.lengths.tolist() == [5, 5, 4]
    assert rows.values[:5, 2].min() == np.float32(800 / 500)  # five of eight
    assert (np.diff(rows.since[:5]) > 0).all()
    reasons = {d.reason: d.observations for d in ledger.drops}
    assert reasons["more than 5 observations: the lowest |S/N|"] == 6
    one = from_arrays([curve(), curve(59000.0)])
    kept = loudest(one, 3)
    assert kept.tolist() == ([False] * 3 + [True] * 3 + [False] * 4) * 2


def test_the_wavelengths_of_the_released_networks():
    mixed = from_arrays([curve(band=("ztfg", "ztfr", "ztfg", "ztfr", "ps1i"))])
    rows, ledger = make_rows(mixed, wavelengths="astromcad")
    told = dict(zip(rows.since.round(), rows.values[:, 0], strict=True))
    assert told[-24.0] == np.float32(0.6223) and told[-12.0] == np.float32(0.4827)
    assert ledger.drops[0].reason.startswith("band that the network does not know")
    assert ledger.drops[0].observations == 2


def test_a_trigger_by_hand_and_objects_without():
    given = transients(trigger=pa.array([58060.0, None, None], pa.float64()))
    rows, _ = make_rows(given)
    assert rows.columns["trigger"][0].as_py() == 58060.0 and rows.since[0] == -24.0
    faint = from_arrays([curve(), curve(count=2)])
    rows, ledger = make_rows(faint)
    assert len(rows) == 1 and ledger.quarantined == (1, 2)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"scale": "log"}, "scale='log' is unknown"),
        ({"dilate": "z"}, "dilate='z' is unknown"),
        ({"wavelengths": "swapped"}, "no wavelengths 'swapped'"),
    ],
)
def test_unknown_choices(choice, words):
    with pytest.raises(UserError, match=words):
        make_rows(transients(), **choice)


def test_no_metadata():
    rows, _ = make_rows(transients(), metadata=())
    assert rows.arrays["metadata"].shape == (3, 0)
    assert make_batch(rows, np.arange(3), np.arange(3), 4, 16)["metadata"]["mask"].shape == (4, 0)


# Batches


@pytest.fixture(scope="module")
def rows():
    sample = simulate_transients(30, 1, "yse")
    found, _ = make_rows(sample, opening(30, len(sample.time)), classes=("SNIa", "TDE", "SNII"))
    return found


def test_a_batch_is_a_function_of_seed_and_step(rows):
    batches = TransientBatches(rows, seed=3, batch_size=8, length=64, cut=0.5)
    a, b, other = batches(5), batches(5), TransientBatches(rows, 4, 8, 64, 0.5)(5)
    for x, y in zip(_leaves(a), _leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)
    assert not np.array_equal(a["photometry"]["values"], other["photometry"]["values"])


def _leaves(tree):
    return [x for v in tree.values() for x in (_leaves(v) if isinstance(v, dict) else [v])]


def test_every_transient_once_an_epoch(rows):
    batches = TransientBatches(rows, 3, batch_size=10, length=padded_length(rows))
    first = [batches(step)["photometry"]["values"] for step in range(3)]
    seen = {row.tobytes() for batch in first for row in batch}
    assert len(seen) == 30
    again = {row.tobytes() for s in range(3, 6) for row in batches(s)["photometry"]["values"]}
    assert again == seen
    assert not np.array_equal(first[0], batches(3)["photometry"]["values"])


def test_shapes_and_padding(rows):
    batch = TransientBatches(rows.take(np.arange(5)), 0, batch_size=8, length=32)(0)
    assert batch["weight"].tolist() == [1.0] * 5 + [0.0] * 3
    photometry = batch["photometry"]
    assert photometry["values"].shape == (8, 32, 4) and photometry["values"].dtype == np.float32
    assert photometry["times"].dtype == np.float32 and photometry["mask"].dtype == bool
    assert not photometry["mask"][5:].any() and (photometry["values"][5:] == 0).all()
    assert (photometry["values"][~photometry["mask"]] == 0).all()
    assert batch["label"].dtype == np.int32 and (batch["label"][5:] == -1).all()
    assert batch["metadata"]["mask"][:5].all() and not batch["metadata"]["mask"][5:].any()
    assert batch["row"].dtype == np.uint32


def test_a_row_of_a_batch_is_its_transient(rows):
    length = padded_length(rows)
    assert length % 16 == 0 and length >= rows.lengths.max() > length - 16
    found = list(transient_batches(rows, 8, length))
    assert [b["weight"].sum() for b in found] == [8, 8, 8, 6]
    for k in (0, 13, 29):
        batch, row = found[k // 8], k % 8
        mask = batch["photometry"]["mask"][row]
        part = slice(*rows.offsets[k : k + 2])
        np.testing.assert_array_equal(batch["photometry"]["values"][row][mask], rows.values[part])
        np.testing.assert_array_equal(batch["photometry"]["times"][row][mask], rows.since[part])
        assert batch["label"][row] == rows.arrays["label"][k] and batch["row"][row] == k


def test_curves_as_they_were_on_a_day(rows):
    for batch in transient_batches(rows, 30, 128, limit=7.0):
        photometry = batch["photometry"]
        assert photometry["times"].max() <= 7.0
        full = make_batch(rows, np.arange(30), np.arange(30), 30, 128)["photometry"]
        np.testing.assert_array_equal(photometry["mask"], full["mask"] & (full["times"] <= 7.0))


def test_random_cuts_come_after_the_trigger(rows):
    whole = TransientBatches(rows, 3, 30, 128, cut=0.0)
    cut = TransientBatches(rows, 3, 30, 128, cut=0.6)
    before, after, shorter = 0, 0, []
    for step in range(10):
        a, b = whole(step)["photometry"], cut(step)["photometry"]
        assert (b["mask"] <= a["mask"]).all()
        assert (b["mask"] >= (a["mask"] & (a["times"] < 0))).all()
        before, after = before + a["mask"].sum(), after + b["mask"].sum()
        shorter.append((b["mask"].sum(1) < a["mask"].sum(1)).mean())
    assert after < 0.85 * before and 0.3 < np.mean(shorter) < 0.6
