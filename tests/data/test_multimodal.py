"""Objects in several modalities: records, rules, batches, splits, and the published layout."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_objects import CLASSES, published_table

from astro_jax.data.multimodal import Features, Objects, Series, Spectra, hide
from astro_jax.data.multimodal_batches import ObjectBatches, object_batches
from astro_jax.data.multimodal_rules import (
    METADATA,
    features,
    full_spectrum,
    medians,
    official_spectrum,
    scale_curves,
    series,
    standardised,
    statistics,
    wavelength_grid,
)
from astro_jax.data.multimodal_splits import SEEDS, cap, capped_rows, split_rows, subset
from astro_jax.errors import UserError
from astro_jax.surveys.astrom3 import PHOTOMETRY, is_published, read_published


def make_objects(lengths=(30, 0, 7, 12), spectra=(1, 2, 0, 1), seed=0, pixels=20):
    rng = np.random.default_rng(seed)
    count, points = len(lengths), sum(lengths)
    values = rng.standard_normal((points, 9))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for k in range(count):
        values[offsets[k] : offsets[k + 1], 3:] = rng.standard_normal(6)
    flux = rng.standard_normal((sum(spectra), pixels, 3)).astype(np.float32)
    parts = {
        "photometry": Series(PHOTOMETRY, values.astype(np.float32), offsets),
        "spectrum": Spectra(
            ("flux", "error", "log_mad"), np.arange(4000.0, 4000 + pixels), flux,
            np.ones(flux.shape[:2], bool), np.concatenate([[0], np.cumsum(spectra)]),
        ),
        "metadata": Features(
            ("a", "b"), rng.standard_normal((count, 2)).astype(np.float32),
            np.ones((count, 2), bool),
        ),
    }  # fmt: skip
    columns = {"id": pa.array([f"s{k}" for k in range(count)])}
    return Objects(pa.table(columns), parts).with_arrays(label=np.arange(count, dtype=np.int32))


# Records


def test_take_keeps_modalities_together():
    objects = make_objects()
    few = objects.take([3, 1])
    assert few.columns["id"].to_pylist() == ["s3", "s1"]
    np.testing.assert_array_equal(few.parts["photometry"].lengths, [12, 0])
    np.testing.assert_array_equal(few.parts["photometry"].values,
                                  objects.parts["photometry"].values[37:])  # fmt: skip
    np.testing.assert_array_equal(few.parts["spectrum"].lengths, [1, 2])
    np.testing.assert_array_equal(few.parts["spectrum"].values[1:],
                                  objects.parts["spectrum"].values[1:3])  # fmt: skip
    np.testing.assert_array_equal(few.arrays["label"], [3, 1])
    assert few.present["photometry"].tolist() == [True, False]


def test_parts_of_another_length_are_refused():
    objects = make_objects()
    with pytest.raises(ValueError, match="metadata has 2 objects, the table 4"):
        objects.with_parts(metadata=objects.parts["metadata"].take(np.array([0, 1])))


def test_constants_and_columns_by_name():
    objects = make_objects()
    amplitude = objects.parts["photometry"].constants("amplitude")
    assert np.isnan(amplitude[1]) and np.isfinite(amplitude[[0, 2, 3]]).all()
    with pytest.raises(UserError, match="no channel 'amplitud'.*amplitude"):
        objects.parts["photometry"].constants("amplitud")


def test_hidden_modalities_are_gone():
    objects, keep = make_objects(), np.array([True, True, False, False])
    for name in objects.parts:
        hidden = hide(objects, name, keep)
        np.testing.assert_array_equal(hidden.present[name], objects.present[name] & keep)
        other = next(n for n in objects.parts if n != name)
        np.testing.assert_array_equal(hidden.present[other], objects.present[other])


# Rules


def raw_curves(seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.stack([rng.uniform(0, 300, n), rng.normal(5, 2, n), rng.uniform(0, 1, n)], axis=1)
        for n in (40, 9, 2)
    ]


def flat(curves):
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in curves])])
    return (*np.concatenate(curves).T, offsets)


def test_scaling_by_loops():
    curves = raw_curves()
    scaled = scale_curves(*flat(curves))
    for k, curve in enumerate(curves):
        part = scaled.values[scaled.offsets[k] : scaled.offsets[k + 1]]
        t, f, e = curve[np.argsort(curve[:, 0])].T
        mad = np.median(np.abs(f - np.median(f)))
        np.testing.assert_allclose(part[:, 0], (t - t[0]) / np.ptp(t))
        np.testing.assert_allclose(part[:, 1], (f - f.mean()) / mad)
        np.testing.assert_allclose(part[:, 2], e / mad)
        np.testing.assert_allclose(scaled.log_mad[k], np.log10(mad))
        np.testing.assert_allclose(scaled.span[k], np.ptp(t) / 365)
        np.testing.assert_allclose(scaled.peak_to_peak[k], np.ptp(f) / mad)


def test_bad_curves_come_out_empty_with_a_reason():
    good = raw_curves()[0]
    constant = np.stack([np.arange(5.0), np.full(5, 3.0), np.ones(5)], axis=1)
    instant = np.stack([np.zeros(5), np.arange(5.0), np.ones(5)], axis=1)
    holes = np.where(np.arange(len(good))[:, None] % 2, np.nan, good)
    scaled = scale_curves(*flat([constant, good[:1], instant, good, holes, good[:0]]))
    assert [r[:8] for r in scaled.reason] == [
        "constant",
        "fewer th",
        "light cu",
        "",
        "",
        "fewer th",
    ]
    np.testing.assert_array_equal(np.diff(scaled.offsets), [0, 0, 0, 40, 20, 0])
    assert np.isfinite(scaled.values).all() and np.isfinite(scaled.log_mad).all()


def test_medians_of_slices():
    rng = np.random.default_rng(0)
    sizes = [0, 1, 2, 5, 8, 0, 3]
    values = rng.standard_normal(sum(sizes))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    ours = medians(values, offsets)
    for k, size in enumerate(sizes):
        part = values[offsets[k] : offsets[k + 1]]
        assert np.isnan(ours[k]) if not size else ours[k] == np.median(part)


@pytest.mark.parametrize(("rules", "name"), [("official", "rfr_score"), ("full", "peak_to_peak")])
def test_the_fourth_constant_depends_on_the_rules(rules, name):
    scaled = scale_curves(*flat(raw_curves()))
    known = {n: np.arange(3.0) for n in ("amplitude", "log_period", "lksl", "rfr_score")}
    part = series(scaled, known, rules)
    assert part.channels[6] == name
    expected = scaled.peak_to_peak if name == "peak_to_peak" else known["rfr_score"]
    np.testing.assert_allclose(part.constants(name), expected, rtol=1e-6)
    with pytest.raises(UserError, match="rules 'offical'.*official"):
        series(scaled, known, "offical")


def spectrum(seed=0):
    rng = np.random.default_rng(seed)
    wave = np.arange(3900.0, 4100.0, 1.3)
    return wave, rng.normal(10, 1, len(wave)), rng.uniform(1, 2, len(wave))


GRID = wavelength_grid((3850.0, 4050.0, 2.0))


def test_what_a_spectrum_does_not_cover_is_masked():
    wave, flux, ivar = spectrum()
    ivar[40] = 0.0
    values, mask = full_spectrum(wave, flux, ivar, GRID)
    assert not mask[GRID < 3900].any() and (values[~mask] == 0).all()
    near = np.abs(GRID - wave[40]) < 1.3
    assert not mask[near].any() and mask[(GRID > 3901) & (np.abs(GRID - wave[40]) > 3)].all()
    values, mask = full_spectrum(wave, flux, 4 * ivar, GRID)
    again, _ = full_spectrum(wave, flux, ivar, GRID)
    np.testing.assert_allclose(values[mask][:, 1], again[mask][:, 1] / 2, rtol=1e-5)


def test_released_spectra_hold_their_edges_and_divide_inverse_variance():
    wave, flux, ivar = spectrum()
    values, mask = official_spectrum(wave, flux, ivar, GRID)
    assert mask.all() and len(np.unique(values[GRID < 3900, 0])) == 1
    twice, _ = official_spectrum(wave, flux, 2 * ivar, GRID)
    np.testing.assert_allclose(twice[:, 1], 2 * values[:, 1], rtol=1e-5)


@pytest.mark.parametrize("rule", [official_spectrum, full_spectrum])
def test_a_constant_spectrum_is_nothing(rule):
    wave, flux, ivar = spectrum()
    for bad in (np.full_like(flux, 3.0), np.zeros_like(flux), np.full_like(flux, np.nan)):
        values, mask = rule(wave, bad, ivar, GRID)
        assert not mask.any() and (values == 0).all()


def catalogue(count=6, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(1, 9, count) for name in METADATA}


def test_unknown_values_are_masked_and_left_out_of_the_statistics():
    table = catalogue()
    table["ruwe"][2] = np.nan
    table["parallax"][4] = -1.0
    part = features(table, "full")
    k = METADATA.index("ruwe")
    assert not part.mask[2, k] and part.mask[:, k].sum() == 5
    absolute = METADATA.index("k_mag")
    assert not part.mask[4, absolute] and part.mask[4, METADATA.index("parallax")]
    official = features(table, "official")
    np.testing.assert_allclose(official.values[4, absolute], table["k_mag"][4] - 10)
    objects = Objects(pa.table({"id": pa.array(range(6))}), {"metadata": part})
    told = statistics(objects)
    known = np.delete(table["ruwe"], 2)
    np.testing.assert_allclose(told["metadata"]["ruwe"], [known.mean(), known.std()])
    scaled = standardised(objects, told).parts["metadata"]
    assert scaled.values[2, k] == 0 and scaled.values.dtype == np.float32
    np.testing.assert_allclose(scaled.values[part.mask[:, k], k].std(), 1.0, rtol=1e-5)
    with pytest.raises(UserError, match="lacks column 'ruwe'"):
        features({n: v for n, v in table.items() if n != "ruwe"}, "full")


def test_statistics_are_those_of_the_training_part():
    objects = make_objects()
    told = statistics(objects.take([0, 2]))
    assert set(told["photometry"]) == {"amplitude", "log_period", "lksl", "rfr_score"}
    scaled = standardised(objects, told).parts["photometry"]
    values = scaled.constants("amplitude")[[0, 2]]
    np.testing.assert_allclose([values.mean(), values.std()], [0, 1], atol=1e-5)
    before = objects.parts["photometry"]
    np.testing.assert_array_equal(scaled.constants("log_mad"), before.constants("log_mad"))
    np.testing.assert_array_equal(scaled.values[:, :3], before.values[:, :3])


# Batches


def batches(**changes):
    return ObjectBatches(make_objects(), **{"seed": 1, "batch_size": 4, "length": 10, **changes})


def test_a_batch_is_a_function_of_the_step():
    once, again = batches()(3), batches()(3)
    assert once.keys() == again.keys() >= {"photometry", "spectrum", "metadata", "label", "row"}
    np.testing.assert_array_equal(once["photometry"]["values"], again["photometry"]["values"])
    assert sorted(once["label"]) == [0, 1, 2, 3]


def test_pieces_of_long_curves_are_drawn_and_short_ones_are_whole():
    values = make_objects().parts["photometry"].values[:30, 0]
    starts = set()
    for step in range(60):
        batch = batches()(step)
        k = int(np.flatnonzero(batch["label"] == 0)[0])
        first = int(np.flatnonzero(values == batch["photometry"]["values"][k, 0, 0])[0])
        assert batch["photometry"]["mask"][k].all()
        starts.add(first)
        short = int(np.flatnonzero(batch["label"] == 2)[0])
        assert batch["photometry"]["mask"][short].sum() == 7
    assert min(starts) == 0 and max(starts) == 20 and len(starts) > 12


def test_absent_modalities_are_masked_and_zero():
    batch = batches()(0)
    at = {label: k for k, label in enumerate(batch["label"])}
    assert not batch["photometry"]["mask"][at[1]].any()
    assert not batch["spectrum"]["mask"][at[2]].any()
    assert (batch["spectrum"]["values"][at[2]] == 0).all()


@pytest.mark.parametrize("draw", [False, True])
def test_the_best_spectrum_or_one_that_is_drawn(draw):
    values = make_objects().parts["spectrum"].values
    seen = set()
    for step in range(20):
        batch = batches(any_spectrum=draw)(step)
        row = batch["spectrum"]["values"][int(np.flatnonzero(batch["label"] == 1)[0])]
        seen.add(int(np.flatnonzero((values == row).all((1, 2)))[0]))
    assert seen == ({1, 2} if draw else {1})


def test_evaluation_takes_the_middle_and_fills_up():
    (first, second) = object_batches(make_objects(), 3, 10)
    values = make_objects().parts["photometry"].values
    np.testing.assert_array_equal(first["photometry"]["values"][0], values[10:20])
    np.testing.assert_array_equal(second["weight"], [1, 0, 0])
    for name in ("photometry", "spectrum", "metadata"):
        assert not second[name]["mask"][1:].any()


def test_padding_styles():
    (zero,), (tiled,) = (object_batches(make_objects(), 4, 10, p) for p in ("zero", "tile_aux"))
    a, b = zero["photometry"]["values"][2], tiled["photometry"]["values"][2]
    assert (a[7:] == 0).all() and (b[7:, :3] == 0).all()
    np.testing.assert_array_equal(b[7:, 3:], np.tile(b[0, 3:], (3, 1)))
    with pytest.raises(UserError, match="padding 'tile'"):
        next(object_batches(make_objects(), 4, 10, "tile"))


# Splits


@pytest.mark.parametrize("seed", SEEDS)
def test_splits_are_whole_and_by_id(seed):
    ids = np.array([f"s{k // 2}" for k in range(400)])
    parts = split_rows(ids, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(parts.values()))), np.arange(400))
    assert [len(p) for p in parts.values()] == [320, 40, 40]
    names = [set(ids[p]) for p in parts.values()]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert set(split_rows(ids, 7)["train"]) != set(parts["train"])


def test_the_first_split_is_that_of_scikit_learn():
    from sklearn.model_selection import train_test_split

    ids = np.array(sorted(f"s{k:03d}" for k in range(103)))
    train, rest = train_test_split(ids, test_size=0.2, random_state=42)
    valid, test = train_test_split(rest, test_size=0.5, random_state=42)
    ours = split_rows(ids, 42)
    for name, expected in (("train", train), ("valid", valid), ("test", test)):
        assert set(ids[ours[name]]) == set(expected)


def test_caps_of_the_paper():
    """Training counts of the ten classes near 80 % of the totals: caps 1209 and 516."""
    counts = np.array([205, 2316, 1571, 4917, 226, 212, 1464, 1873, 629, 3650])
    assert counts.sum() == 17063
    assert cap(counts, 17063 // 2) == pytest.approx(1209, abs=3)
    assert cap(counts, 17063 // 4) == pytest.approx(516, abs=3)
    assert cap(counts, 17063 // 10) == 170


def test_sub_sets_are_capped_nested_and_may_be_the_brightest():
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1, 2], 500, p=[0.1, 0.6, 0.25, 0.05])
    half, tenth = (capped_rows(labels, 450 // d, seed=3) for d in (2, 10))
    assert set(tenth) < set(half) and (labels[half] >= 0).all() and len(half) <= 225
    counts = np.bincount(labels[half])
    assert counts[0] == counts.max() and counts[2] == (labels == 2).sum()
    magnitude = rng.uniform(10, 16, 500)
    bright = capped_rows(labels, 45, seed=3, brightness=magnitude)
    chosen = bright[labels[bright] == 0]
    left = np.setdiff1d(np.flatnonzero(labels == 0), chosen)
    assert magnitude[chosen].max() < magnitude[left].min()


def test_sub_sets_by_name():
    objects = make_objects(lengths=(5,) * 20, spectra=(1,) * 20)
    labels = np.arange(20) % 4
    assert len(subset(objects, labels, "full", 0)) == 20
    assert len(subset(objects, labels, "sub50", 0)) == 8
    with pytest.raises(UserError, match="subset 'sub5'"):
        subset(objects, labels, "sub5", 0)


# The published layout; not tried on an original file


def test_the_published_layout(tmp_path):
    folder = tmp_path / "full_42"
    folder.mkdir()
    for k, name in enumerate(("train", "validation", "test")):
        pq.write_table(published_table(seed=k), folder / f"{name}-00000-of-00001.parquet")
    assert is_published(folder) and not is_published(tmp_path / "no")
    splits, ledger = read_published(folder)
    assert set(splits) == {"train", "valid", "test"} and ledger.kept.objects == 15
    table, objects = published_table(seed=0), splits["train"]
    assert objects.columns["label"].to_pylist() == ["DSCT", "EA", "EB", "DSCT", "EA"]
    first = np.array(table["photometry"][1].as_py(), np.float32)
    ours = objects.take([1])
    np.testing.assert_array_equal(ours.parts["photometry"].values, first)
    expected = np.array(table["spectra"][1].as_py(), np.float32).T
    np.testing.assert_array_equal(ours.parts["spectrum"].values[0], expected)
    np.testing.assert_array_equal(ours.parts["metadata"].values[0], table["metadata"][1].as_py())
    assert ours.parts["spectrum"].channels == ("flux", "error", "log_mad")


def test_bad_rows_are_quarantined_and_the_account_balances(tmp_path):
    table = published_table(7).to_pydict()
    table["metadata"][0] = table["metadata"][0][:33]
    table["photometry"][1] = [row[:8] for row in table["photometry"][1]]
    table["photometry"][2], table["spectra"][2], table["metadata"][2] = [], None, None
    table["spectra"][3] = table["spectra"][3][:2]
    table["id"][5] = table["id"][4]
    table["metadata"][6][3] = float("nan")
    table["spectra"][6][0][7] = float("nan")
    schema = published_table(1).schema
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(table, schema=schema), path)
    splits, ledger = read_published(path)
    objects = splits["train"]
    assert objects.columns["id"].to_pylist() == ["s4", "s6"]
    reasons = {row.object: row.reason for row in ledger.rows}
    assert reasons == {
        "s0": "metadata has not 34 values",
        "s1": "photometry has not 9 columns",
        "s2": "no light curve, spectrum or metadata",
        "s3": "spectra has not 3 rows of 2575",
        "s4": "repeated id",
    }
    assert ledger.read.objects == 7 == len(objects) + ledger.quarantined.objects
    assert not objects.parts["metadata"].mask[1, 3] and not objects.parts["spectrum"].mask[1, 7]


def test_classes_without_names_must_be_given(tmp_path):
    path = tmp_path / "x.parquet"
    table = published_table(ids=False).replace_schema_metadata(None)
    pq.write_table(table, path)
    with pytest.raises(UserError, match="config.data.classes"):
        read_published(path)
    splits, _ = read_published(path, CLASSES)
    assert splits[""].columns["label"].to_pylist()[2] == "EB"
    assert splits[""].columns["id"].to_pylist()[0] == "x-0"
    with pytest.raises(UserError, match="label 2, but there are 2 classes"):
        read_published(path, CLASSES[:2])
    pq.write_table(table.drop_columns(["spectra", "photometry", "metadata"]), path)
    with pytest.raises(UserError, match="has no column photometry, spectra, metadata"):
        read_published(path)


def test_what_a_row_or_a_file_lacks_is_a_modality_less(tmp_path):
    table = published_table(4).drop_columns(["spectra"]).to_pydict()
    table["photometry"][1], table["metadata"][2] = [], None
    kinds = [f for f in published_table(1).schema if f.name != "spectra"]
    pq.write_table(pa.table(table, schema=pa.schema(kinds)), tmp_path / "new.parquet")
    splits, ledger = read_published(tmp_path / "new.parquet", CLASSES)
    objects = splits[""]
    assert len(objects) == 4 == ledger.kept.objects and is_published(tmp_path / "new.parquet")
    assert objects.present["photometry"].tolist() == [True, False, True, True]
    assert objects.present["metadata"].tolist() == [True, True, False, True]
    assert not objects.present["spectrum"].any()
    whole = np.array(table["metadata"][3], np.float32)
    np.testing.assert_array_equal(objects.parts["metadata"].values[3], whole)
