"""Few labels of transients: exact numbers, at least one a class, no star on two sides."""

import numpy as np
import pytest

from astro_jax.data.split import star_position
from astro_jax.data.transient_labels import allocate, draw_labels
from astro_jax.errors import UserError

CODES = np.repeat([0, 1, 2, -1], [145, 49, 16, 30])
STAR = np.array([f"sky-{k}" for k in range(len(CODES))])


def draw(count, seed=0, test=0.4, valid=0.1, codes=CODES, star=STAR):
    return draw_labels(codes, star, count, seed, test, valid)


@pytest.mark.parametrize("count", [4, 5, 10, 30, 60, 100])
def test_the_number_of_labels_is_exact_and_holds_those_to_validate_with(count):
    split = draw(count)
    assert len(split.train) + len(split.valid) == count
    assert len(split.valid) == max(round(0.1 * count), 1)
    assert (np.bincount(CODES[split.train], minlength=3) >= 1).all()
    assert (CODES[split.train] >= 0).all() and (CODES[split.valid] >= 0).all()


def test_classes_come_in_proportion():
    counts = np.bincount(CODES[np.concatenate(draw(60)[:2])], minlength=3)
    outside = np.bincount(CODES[np.concatenate(draw(0)[:2])])
    assert np.abs(counts - outside / outside.sum() * 60).max() < 1


def test_the_test_part_is_the_same_for_every_seed_and_number():
    first = draw(10, seed=0)
    for other in (draw(60, seed=1), draw(0, seed=2), draw(100, seed=3)):
        np.testing.assert_array_equal(other.test, first.test)
    assert (star_position(STAR[first.test]) >= 0.6).all()
    assert not np.isin(first.test, np.concatenate(draw(0)[:2])).any()


def test_no_count_takes_all_outside_of_the_test_part():
    split = draw(0)
    assert len(split.train) + len(split.valid) + len(split.test) == 210


def test_more_labels_than_there_are_outside_take_from_the_test_part(caplog):
    outside = 210 - len(draw(0).test)
    draw(outside)
    assert not caplog.records
    split = draw(outside + 20)
    assert f"{outside} labels lie outside of the test part, 20 are taken" in caplog.text
    assert len(split.train) + len(split.valid) == outside + 20
    assert len(split.test) == len(draw(0).test) - 20
    everything = draw(210)
    assert len(everything.test) == 0 and len(draw(10_000).train) == len(everything.train)


def test_seeds_draw_other_objects_and_more_labels_hold_fewer():
    few, more, other = draw(30), draw(60), draw(30, seed=1)
    drawn = [set(np.concatenate(s[:2])) for s in (few, more, other)]
    assert drawn[0] < drawn[1] and drawn[0] != drawn[2]


def test_objects_of_a_star_stay_on_one_side():
    star = np.array([f"sky-{k // 3}" for k in range(len(CODES))])
    for seed in range(5):
        for count in (30, 0, 150, 200):
            split = draw(count, seed, star=star)
            sides = [set(star[rows]) for rows in split]
            assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_names_decide_not_the_order_of_rows():
    order = np.random.default_rng(0).permutation(len(CODES))
    split, mixed = draw(60), draw(60, codes=CODES[order], star=STAR[order])
    for rows, others in zip(split, mixed, strict=True):
        assert set(STAR[rows]) == set(STAR[order][others])


@pytest.mark.parametrize("count", [1, 3, -5])
def test_too_few_labels(count):
    with pytest.raises(UserError, match="3 classes need at least 4 labels"):
        draw(count)


def test_a_class_that_lies_in_the_test_part_only():
    codes = np.where(star_position(STAR) >= 0.6, 1, 0)
    with pytest.raises(UserError, match="no object outside of the test part"):
        draw(20, codes=codes)


@pytest.mark.parametrize("sizes", [(145, 49, 16), (5, 5), (1000, 1, 1), (7,)])
def test_allocate(sizes):
    before = np.zeros(len(sizes), int)
    for count in range(len(sizes), min(sum(sizes), 80) + 1):
        given = allocate(count, np.array(sizes))
        assert given.sum() == count and (given >= 1).all() and (given <= sizes).all()
        assert (given >= before).all()  # a larger count gives no class fewer
        before = given
    assert allocate(10**9, np.array(sizes)).tolist() == list(sizes)
    assert allocate(0, np.array(sizes), least=0).sum() == 0
