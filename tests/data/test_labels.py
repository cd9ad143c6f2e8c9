"""Labels and the few-label protocol: what is left out and why, and that no star is on two sides."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astro_jax.data.curves import from_arrays
from astro_jax.data.label_maps import (
    ATLAS,
    MACHO,
    OGLE3,
    SUBTYPES,
    TYPES,
    Drop,
    Dropped,
    apply_map,
)
from astro_jax.data.labels import (
    Labels,
    as_label,
    codes_of,
    encode_labels,
    few_labels,
    rows_to_test,
)
from astro_jax.data.split import star_position
from astro_jax.errors import UserError


def make_survey(labels, star=None):
    curves = [np.array([[1.0, 15.0], [2.0, 15.1]])] * len(labels)
    extra = {} if star is None else {"star": list(star)}
    return from_arrays(curves, [f"id{k}" for k in range(len(labels))], label=list(labels), **extra)


def test_every_row_has_a_code_or_a_reason():
    labels = ["EW"] * 50 + ["EA"] * 45 + ["RCB"] * 7 + [None] * 3 + [""] * 2 + ["ECL"] * 60
    found = encode_labels(make_survey(labels), without=["ECL"])
    assert found.classes == ["EA", "EW"]
    assert found.codes.dtype == np.int32
    assert [("EA", "EW")[c] if c >= 0 else None for c in found.codes] == [
        x if x in ("EA", "EW") else None for x in labels
    ]
    assert set(found.dropped) == {
        Dropped("", 5, "no label"),
        Dropped("RCB", 7, "fewer than 40 objects"),
        Dropped("ECL", 60, "left out by name"),
    }
    assert (found.codes >= 0).sum() + sum(d.count for d in found.dropped) == len(labels)


def test_numbers_are_labels_too_and_rows_of_a_star_count_once():
    found = encode_labels(make_survey([1.0] * 4 + [2.0] * 4 + [float("nan")]), minimum=2)
    assert found.classes == ["1", "2"]
    assert found.dropped == (Dropped("", 1, "no label"),)
    pairs = make_survey(["a"] * 4 + ["b"] * 4, star=[0, 0, 1, 1, 2, 3, 4, 5])
    with pytest.raises(UserError, match="only class 'b' has 3 objects or more"):
        encode_labels(pairs, minimum=3)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["a", "b"], {"name": "lable"}, "no column 'lable'.*did you mean 'label'"),
        ([None, ""], {}, "no label: all 2 rows"),
        (["a"] * 50, {}, "needs two classes.*only class 'a'"),
        (["a"] * 30 + ["b"] * 20, {}, r"no class has 40 objects or more \(objects: a 30, b 20\)"),
        (["a"] * 50 + ["b"] * 50, {"without": ["B"]}, "no object has label 'B'"),
        (["a"] * 50 + ["b"] * 60, {"without": ["b"]}, r"\(objects: a 50\); leave out fewer than b"),
        (["a"] * 50, {"label_map": MACHO}, r"label map \(config.data.label_map\) .* know 'a' 50;"),
    ],
)
def test_labels_that_cannot_be_used_are_named(labels, options, message):
    with pytest.raises(UserError, match=message):
        encode_labels(make_survey(labels), **options)


def test_words_for_nothing_are_no_label():
    nothing = [None, "", " ", "NaN", "<NA>", "null", "None", float("nan"), np.float32("nan")]
    assert [as_label(value) for value in nothing] == [None] * len(nothing)
    values = [3, 3.0, np.float32(3), np.int64(3), "3", 0.5, "RRab ", False]
    assert [as_label(value) for value in values] == [*["3"] * 5, "0.5", "RRab", "False"]


def test_codes_of_other_labels():
    assert codes_of(["b", None, "z", "a"], ["a", "b"]).tolist() == [1, -1, -1, 0]


# The protocol


def make_labels(sizes, bands=1, seed=0):
    """Return labels and stars of classes with so many stars, shuffled, `bands` rows a star."""
    codes = np.repeat(np.arange(len(sizes)), sizes)
    star = np.arange(len(codes)) + 1000 * seed
    codes, star = np.tile(codes, bands), np.tile(star, bands)
    order = np.random.default_rng(seed).permutation(len(codes))
    names = [f"class{k}" for k in range(len(sizes))]
    return Labels(names, codes[order].astype(np.int32), ()), star[order]


def test_test_part_is_100_a_class_or_a_fifth_from_the_held_out_stars():
    labels, star = make_labels((3000, 400, 60))
    rows = rows_to_test(labels, star, 0)
    counts = np.bincount(labels.codes[rows])
    assert counts[0] == 100
    assert 60 <= counts[1] <= 80
    assert 5 <= counts[2] <= 12
    assert (star_position(star[rows]) >= 0.8).all()
    other = rows_to_test(labels, star, 1)
    assert 0 < len(np.intersect1d(rows[labels.codes[rows] == 0], other)) < 30
    held_out = np.flatnonzero((star_position(star) >= 0.8) & (labels.codes == 1))
    assert len(held_out) > 80 or np.isin(held_out, rows).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(40, 200), min_size=2, max_size=4),
    st.sampled_from([5, 20, 50, None]),
    st.integers(1, 3),
    st.integers(0, 1000),
)
def test_no_star_is_in_two_parts(sizes, per_class, bands, seed):
    labels, star = make_labels(sizes, bands, seed)
    split = few_labels(labels, star, per_class, seed)
    parts = [set(star[rows].tolist()) for rows in split]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    for rows in split:
        assert (np.diff(rows) > 0).all()
        assert (np.isin(star, star[rows]).sum()) == len(rows)  # all rows of each of its stars
    for code in range(len(sizes)):
        train, valid, _ = (len(set(star[r[labels.codes[r] == code]].tolist())) for r in split)
        assert valid == (train + valid) // 5 >= 1
        if per_class:
            assert train + valid <= per_class
    if per_class is None:
        assert sum(len(rows) for rows in split) == len(star)


def test_rows_without_a_label_are_in_no_part():
    labels, star = make_labels((100, 100))
    codes = np.where(np.arange(200) % 3 == 0, -1, labels.codes)
    for rows in few_labels(labels._replace(codes=codes), star, 20, 0):
        assert (codes[rows] >= 0).all()


def test_budgets_are_nested_and_do_not_depend_on_the_order_of_rows():
    labels, star = make_labels((300, 300))
    small, large = (few_labels(labels, star, k, 7) for k in (20, 50))
    assert set(small.train) <= set(large.train)
    assert set(small.valid) <= set(large.valid)
    assert [len(small.train), len(small.valid)] == [32, 8]
    np.testing.assert_array_equal(small.test, large.test)
    order = np.random.default_rng(1).permutation(600)
    other = few_labels(labels._replace(codes=labels.codes[order]), star[order], 20, 7)
    for a, b in zip(small, other, strict=True):
        assert set(star[a]) == set(star[order][b])


def test_folds_differ():
    labels, star = make_labels((300, 300))
    one, two = (few_labels(labels, star, 20, seed) for seed in (0, 1))
    assert len(np.intersect1d(one.train, two.train)) < 16
    assert len(np.intersect1d(one.train, few_labels(labels, star, 20, 0).train)) == 32


def test_a_small_class_is_named_in_a_warning_and_too_small_a_one_in_an_error(caplog):
    labels, star = make_labels((300, 30))
    with caplog.at_level(logging.WARNING):
        split = few_labels(labels, star, 100, 0)
    left = 30 - (labels.codes[split.test] == 1).sum()
    assert f"class 'class1' has only {left} labels of 100" in caplog.text
    assert "class0" not in caplog.text
    tiny, star = make_labels((300, 4))
    with pytest.raises(UserError, match="class 'class1' has [34] labels"):
        few_labels(tiny, star, 20, 0)
    with pytest.raises(UserError, match="per_class=4"):
        few_labels(labels, star, 4, 0)


def test_a_class_without_held_out_stars_is_named(caplog):
    names = np.array([k for k in range(500) if star_position(np.array([k]))[0] < 0.8][:40])
    other = np.arange(1000, 1100)
    labels = Labels(["seen", "both"], np.repeat([0, 1], [40, 100]).astype(np.int32), ())
    with caplog.at_level(logging.WARNING):
        rows = rows_to_test(labels, np.concatenate([names, other]), 0)
    assert "class 'seen' has no test object" in caplog.text
    assert (labels.codes[rows] == 1).all()


# Label maps


def test_classes_of_the_paper():
    def targets(table):
        return {v for v in table.values() if isinstance(v, str)}

    assert targets(MACHO) == {"Cep_0", "Cep_1", "EC", "LPV", "RRab", "RRc"}
    assert targets(OGLE3) == {
        *("EC", "ED", "ESD", "Mira", "OSARG", "RRab", "RRc", "SRV", "cep", "dsct")
    }
    assert targets(ATLAS) == {"CB", "DB", "Mira", "Pulse"}


@pytest.mark.parametrize("table", [MACHO, OGLE3, ATLAS])
def test_no_class_that_is_dropped_is_the_name_of_one_that_is_kept(table):
    kept = {v for v in table.values() if isinstance(v, str)}
    assert not kept & {name for name, v in table.items() if isinstance(v, Drop)}


def test_a_map_merges_drops_and_counts():
    labels = ["6", "9", "1", "3", "11", None, "quasar", "3"]
    mapped, dropped = apply_map(labels, MACHO)
    assert mapped == ["LPV", "LPV", "RRab", None, None, None, None, None]
    assert sum(d.count for d in dropped) == 5
    assert {d.name: d.count for d in dropped} == {"": 1, "3": 2, "11": 1, "quasar": 1}
    assert all(d.reason for d in dropped)
    assert apply_map(["x"], {"x": Drop("why")}) == ([None], (Dropped("x", 1, "why"),))


def test_labels_under_a_map():
    curves = make_survey(["CBF"] * 30 + ["CBH"] * 20 + ["PULSE"] * 45 + ["IRR"] * 9)
    found = encode_labels(curves, label_map=ATLAS)
    assert found.classes == ["CB", "Pulse"]
    assert np.bincount(found.codes + 1).tolist() == [9, 50, 45]
    assert [(d.name, d.count) for d in found.dropped] == [("IRR", 9)]


def test_labels_of_the_shared_macho_curves(shared):
    from astro_jax.data.read import read_survey

    path = str(shared / "data" / "variable_stars" / "macho.parquet")
    curves, _ = read_survey(path, band="B")
    found = encode_labels(curves, label_map=MACHO, minimum=20)
    assert found.classes == ["Cep_0", "Cep_1", "EC"]
    assert (found.codes >= 0).sum() + sum(d.count for d in found.dropped) == len(curves)


def test_surveys_share_types_whatever_their_spelling():
    asas = ["Contact Systems", "Detached", "Mira", "RR Lyrae, First Overtone", "Beta Cephei"]
    crts = ["EW", "EA", "LPV", "RRc", "PCEB"]
    assert (
        apply_map(asas, TYPES)[0] == ["ECL", "ECL", "LPV", "RR", None] == apply_map(crts, TYPES)[0]
    )
    assert apply_map(asas, SUBTYPES)[0] == ["EW", "EA", "Mira", "RRc", None]
    assert apply_map(crts, SUBTYPES)[0] == ["EW", "EA", None, "RRc", None]
    told = apply_map(["rr_lyrae", "rrlyr", "cepheid", "CEPH_FUND", "binary", "LPV_WoodD"], TYPES)[0]
    assert told == ["RR", "RR", "CEP", "CEP", "ECL", "LPV"]
    coarse = {fine: TYPES[name] for name, fine in SUBTYPES.items() if name in TYPES}
    assert coarse == {name: TYPES.get(name, name) for name in coarse} | {
        "Mira": "LPV",
        "CEP": "CEP",
    }
