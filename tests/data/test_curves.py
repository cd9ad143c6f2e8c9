"""Flat arrays with offsets: take, join, build."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_jax.data.curves import flat_index, from_arrays
from astro_jax.errors import UserError

SIZES = [3, 0, 5, 1]


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [
        np.stack([50_000 + np.arange(n) + 0.123456789, rng.normal(15, 1, n), np.full(n, 0.1)], 1)
        for n in SIZES
    ]


@pytest.fixture
def curves(arrays):
    return from_arrays(arrays, ids=["a", "b", "c", "d"], star=["s", "s", "t", "u"])


def assert_curve(curves, k, array):
    got = curves.curve(k)
    assert got.shape == array.shape
    np.testing.assert_array_equal(got[:, 0], array[:, 0])  # times to the last bit
    np.testing.assert_allclose(got[:, 1:], array[:, 1:], rtol=1e-6)


def test_curves_come_back(curves, arrays):
    assert len(curves) == 4
    np.testing.assert_array_equal(curves.lengths, SIZES)
    assert curves.time.dtype == np.float64
    assert curves.mag.dtype == curves.magerr.dtype == np.float32
    for k, array in enumerate(arrays):
        assert_curve(curves, k, array)


def test_take_by_index_repeats_and_reorders(curves, arrays):
    taken = curves.take([2, 0, 2])
    assert taken.columns["id"].to_pylist() == ["c", "a", "c"]
    for k, row in enumerate([2, 0, 2]):
        assert_curve(taken, k, arrays[row])


def test_take_by_mask(curves, arrays):
    taken = curves.take(curves.lengths > 0)
    assert taken.columns["id"].to_pylist() == ["a", "c", "d"]
    assert_curve(taken, 2, arrays[3])
    assert len(curves.take([])) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.data())
def test_flat_index_is_concatenated_ranges(lengths, data):
    offsets = np.r_[0, np.cumsum(lengths)]
    rows = np.array(data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=8)), int)
    index, new = flat_index(offsets, rows)
    expected = [np.arange(offsets[r], offsets[r + 1]) for r in rows]
    np.testing.assert_array_equal(index, np.concatenate([*expected, []]))
    np.testing.assert_array_equal(np.diff(new), [len(e) for e in expected])


def test_star_is_the_id_where_there_is_no_star(curves, arrays):
    np.testing.assert_array_equal(curves.star, ["s", "s", "t", "u"])
    big = 2**53 + 1  # float64 would make it 2**53
    assert from_arrays(arrays[:1], ids=[big]).star.tolist() == [big]


def test_arrays_go_along_with_their_curves(curves):
    labelled = curves.with_arrays(label=np.array([3, 1, 2, 0], np.int32))
    assert labelled.take([2, 0]).arrays["label"].tolist() == [2, 3]
    assert labelled.take(np.array([False, True, False, True])).arrays["label"].tolist() == [1, 0]
    assert not curves.arrays
    with pytest.raises(ValueError, match="label has 3 rows for 4 curves"):
        curves.with_arrays(label=np.zeros(3))


def test_with_columns_changes_columns_only(curves):
    changed = curves.with_columns(pa.table({"id": [1, 2, 3, 4]}))
    assert changed.columns["id"].to_pylist() == [1, 2, 3, 4]
    assert changed.time is curves.time


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 4)])
def test_wrong_shapes_are_refused(shape, arrays):
    with pytest.raises(UserError, match="curve 1 has shape"):
        from_arrays([arrays[0], np.zeros(shape)])


def test_no_curves():
    assert len(from_arrays([])) == 0


@pytest.mark.parametrize("star", [["x", None, "x", None], [7, None, 7, None]])
def test_a_row_without_star_is_split_by_its_id(star):
    curves = from_arrays([np.ones((2, 2))] * 4, ids=["a", "b", "c", "d"], star=star)
    assert curves.star.tolist() == [star[0], "b", star[0], "d"]
