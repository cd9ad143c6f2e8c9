"""Batches: the batch of a step is a function of the step alone."""

from itertools import islice

import numpy as np
import pytest

from astro_jax.data.curves import from_arrays
from astro_jax.data.pipeline import TrainBatches, _block, eval_batches, spread, train_iterator
from astro_jax.data.sampling import cursor, draw_windows
from astro_jax.data.windows import Windows, consecutive_windows

SIZES = [25, 3, 40, 11, 7, 90, 20]
BATCH, WINDOW, STEPS = 3, 20, 12


def make_curves(sizes):
    """Return curves whose magnitude says which observation of which curve it is."""
    return from_arrays(
        [
            np.stack([50_000 + 2.0 * np.arange(n), 1000.0 * k + np.arange(n)], axis=1)
            for k, n in enumerate(sizes)
        ]
    )


@pytest.fixture(scope="module")
def batches():
    return TrainBatches(make_curves(SIZES), seed=4, batch_size=BATCH, window=WINDOW)


@pytest.fixture(scope="module")
def expected(batches):
    return [batches(step) for step in range(STEPS)]


def assert_same(ours, theirs):
    assert set(ours) == set(theirs) == {"photometry", "row", "weight"}
    assert set(ours["photometry"]) == set(theirs["photometry"]) == {"times", "values", "mask"}
    for a, b in [(ours, theirs), (ours["photometry"], theirs["photometry"])]:
        for name in set(a) - {"photometry"}:
            np.testing.assert_array_equal(a[name], b[name])


def curve_and_start(batch):
    """Return the curve and the start of each row with an observation."""
    mask = batch["photometry"]["mask"]
    first = batch["photometry"]["values"][mask.any(1), 0, 0]
    return first // 1000, first % 1000


@pytest.mark.parametrize("start", [0, 1, 7])
def test_iteration_may_start_anywhere(batches, expected, start):
    iterator = train_iterator(batches, start, STEPS)
    ours = list(iterator)
    assert len(ours) == STEPS - start
    for a, b in zip(ours, expected[start:], strict=True):
        assert_same(a, b)


def test_worker_processes_give_the_same_batches(batches, expected):
    ours = list(train_iterator(batches, 2, STEPS, workers=2))
    assert len(ours) == STEPS - 2
    for a, b in zip(ours, expected[2:], strict=True):
        assert_same(a, b)


def test_steps_differ(expected):
    values = [batch["photometry"]["values"].tobytes() for batch in expected]
    assert len(set(values)) == STEPS


def test_another_seed_gives_other_batches(batches, expected):
    other = batches._replace(seed=5)
    assert any(
        (other(s)["photometry"]["values"] != b["photometry"]["values"]).any()
        for s, b in enumerate(expected)
    )


def test_windows_are_contiguous_pieces_of_one_curve(expected):
    for batch in expected:
        photometry = batch["photometry"]
        for mag, time, mask in zip(
            photometry["values"][..., 0], photometry["times"], photometry["mask"], strict=True
        ):
            assert mask.sum() == min(SIZES[int(mag[0] // 1000)], WINDOW)
            assert (np.diff(mag[mask]) == 1).all()
            assert (np.diff(time[mask]) == 2).all()


def test_every_curve_once_an_epoch(batches):
    epoch = [curve_and_start(batches(step))[0] for step in range(len(SIZES))]
    drawn = np.concatenate(epoch).reshape(BATCH, len(SIZES))  # 7 steps of 3 are 3 epochs of 7
    assert (np.sort(drawn, axis=1) == np.arange(len(SIZES))).all()


def test_batches_are_those_of_the_pure_sampling_function(batches, monkeypatch):
    monkeypatch.setattr("astro_jax.data.pipeline.BLOCK", 5)  # a step spans several blocks
    _block.cache_clear()
    lengths, rows = batches.curves.lengths, np.arange(BATCH, dtype=np.uint32)
    for step in (0, 1, 9, 10**7):
        at = cursor(step, BATCH, len(lengths))
        curve, start = draw_windows(batches.seed, *at, rows, lengths, WINDOW)
        ours = curve_and_start(batches(step))
        np.testing.assert_array_equal(ours, (curve, start))
    _block.cache_clear()


def test_a_small_survey_is_padded_never_dropped():
    small = TrainBatches(make_curves([5, 30]), seed=1, batch_size=8, window=WINDOW)
    for step in range(4):
        batch = small(step)
        np.testing.assert_array_equal(batch["weight"], [1, 1, 0, 0, 0, 0, 0, 0])
        np.testing.assert_array_equal(batch["photometry"]["mask"].any(1), batch["weight"] > 0)
        assert sorted(curve_and_start(batch)[0]) == [0, 1]


def test_evaluation_covers_every_window_once_in_order():
    curves = make_curves(SIZES)
    windows = consecutive_windows(curves.lengths, WINDOW)
    batches = list(eval_batches(curves, windows, 4, WINDOW))
    assert all(batch["weight"].shape == (4,) for batch in batches)
    weight = np.concatenate([batch["weight"] for batch in batches])
    assert weight.sum() == len(windows.curve) == 13 < len(weight)
    row = np.concatenate([batch["row"] for batch in batches])[weight > 0]
    np.testing.assert_array_equal(row, np.arange(13))
    mags = [b["photometry"]["values"][..., 0][b["photometry"]["mask"]] for b in batches]
    np.testing.assert_array_equal(np.concatenate(mags), curves.mag)


@pytest.mark.parametrize("most", [1, 3, 9, 10, 11, 0])
def test_spread_keeps_windows_from_start_to_end(most):
    windows = Windows(*np.arange(30).reshape(3, 10))
    kept = spread(windows, most)
    assert len(kept.curve) == (min(most, 10) or 10)
    assert len(set(kept.curve)) == len(kept.curve)
    if most == 3:
        np.testing.assert_array_equal(kept.curve, [0, 3, 6])
        np.testing.assert_array_equal(kept.size, [20, 23, 26])


def test_iteration_is_lazy(batches, expected):
    """A run of many steps does not prepare them all before the first."""
    for a, b in zip(islice(train_iterator(batches, 0, 10**9), 3), expected, strict=False):
        assert_same(a, b)


def test_a_batch_carries_the_arrays_of_its_curves():
    curves = make_curves([40, 12, 30, 25, 18])
    label = np.array([4, 0, 3, 1, 2], np.int32)
    curves = curves.with_arrays(label=label, which=np.arange(5))
    batch = TrainBatches(curves, 0, 8, 16)(0)
    real = batch["weight"] > 0
    assert sorted(batch["which"][real].tolist()) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(batch["label"], label[batch["which"]])
