"""The simulated tri-modal survey: a pure function, physics that binds the modalities, mistakes."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from astro_jax.data.multimodal_batches import object_batches
from astro_jax.data.multimodal_rules import METADATA, standardised, statistics, string_lengths
from astro_jax.data.simulate.spectra import planck, spectra
from astro_jax.data.simulate.trimodal import simulate_objects
from astro_jax.data.simulate.trimodal_classes import TRAINED, UNSEEN, Physics
from astro_jax.errors import UserError

COARSE = (3850.0, 9000.0, 10.0)


@cache
def survey():
    return simulate_objects(1400, seed=3, wavelengths=COARSE)


def column(name, objects=None):
    return np.array((objects or survey()).columns[name].to_pylist())


def of(*classes):
    return np.isin(column("true_label"), classes)


def test_a_star_is_the_same_whatever_the_size():
    few = simulate_objects(130, seed=3, wavelengths=COARSE)
    for name, part in few.parts.items():
        again = survey().take(np.arange(130)).parts[name]
        np.testing.assert_array_equal(part.values, again.values)
    assert few.columns.equals(survey().columns.slice(0, 130))
    other = simulate_objects(130, seed=4, wavelengths=COARSE)
    assert (column("true_label", other) != column("true_label", few)).any()


def test_frequencies_are_those_of_the_paper():
    counts = Counter(column("true_label"))
    total = sum(p.share for p in TRAINED)
    assert total == 21_440 and set(counts) == {p.label for p in TRAINED}
    for population in TRAINED:
        expected = 1400 * population.share / total
        assert abs(counts[population.label] - expected) < 4.5 * np.sqrt(expected)


def test_channels_are_complete_and_finite():
    parts = survey().parts
    assert parts["metadata"].channels == METADATA
    assert parts["photometry"].channels[:3] == ("time", "flux", "error")
    assert np.isfinite(parts["photometry"].values).all()
    assert parts["photometry"].lengths.min() > 30 and np.median(parts["photometry"].lengths) > 200
    assert 0.98 < parts["spectrum"].mask.mean() < 1
    assert 0.9 < parts["metadata"].mask.mean() <= 1  # absolute magnitudes need a parallax


def test_planted_mistakes():
    label, truth = column("label"), column("true_label")
    wrong = label != truth
    assert 0.01 < wrong.mean() < 0.032
    pairs = set(zip(truth[wrong], label[wrong], strict=True))
    assert pairs <= {("EW", "HADS"), ("EW", "RRC"), ("EB", "RRAB"), ("M", "SR")}
    ratio = column("period") / column("true_period")
    assert set(np.unique(ratio)) == {0.5, 1.0, 2.0} and 0.008 < (ratio != 1).mean() < 0.035
    assert 0.002 < (column("odd") != "").mean() < 0.02


def test_hidden_sub_types():
    kinds = column("subtype")
    assert set(kinds[of("ROT")]) == {"giant", "dwarf"} and set(kinds[of("M")]) <= {
        "carbon",
        "oxygen",
    }
    assert (kinds[~of("ROT", "M")] == "").all()
    metadata, giant = survey().parts["metadata"], kinds == "giant"
    plain = column("odd") == ""
    absolute = metadata.column("phot_g_mean_mag")
    assert np.nanmedian(absolute[giant & plain]) < np.nanmedian(absolute[(kinds == "dwarf")]) - 2


@pytest.mark.parametrize(
    ("channel", "low", "high"),
    [
        ("bp_rp", ("DSCT", "HADS", "RRC"), ("SR", "M")),
        ("pm", ("SR", "EB"), ("RRAB", "EW")),
        ("phot_g_mean_mag", ("SR", "M"), ("EW",)),
    ],
)
def test_the_catalogue_tells_classes(channel, low, high):
    values = survey().parts["metadata"].column(channel)
    assert np.nanmedian(values[of(*low)]) < np.nanmedian(values[of(*high)])


def test_spectrum_and_catalogue_agree_on_the_temperature():
    spectrum, grid = survey().parts["spectrum"].values[:, :, 0], survey().parts["spectrum"].grid
    slope = spectrum[:, grid > 8000].mean(1) - spectrum[:, grid < 5000].mean(1)
    colour = survey().parts["metadata"].column("bp_rp")
    own = column("odd") == ""
    order = [np.argsort(np.argsort(x[own])) for x in (slope, colour)]
    assert np.corrcoef(order)[0, 1] > 0.8


def test_light_curve_tells_the_period_that_the_catalogue_has():
    photometry = survey().parts["photometry"]
    clean = (column("period") == column("true_period")) & (column("odd") == "")
    lksl = photometry.constants("lksl")
    assert np.median(lksl[of("RRAB", "EW") & clean]) < 0.1
    wrong = of("RRAB") & (column("period") < column("true_period"))
    if wrong.any():
        assert np.median(lksl[wrong]) > 3 * np.median(lksl[of("RRAB") & clean])


def test_string_length_of_noise_and_of_a_clean_fold():
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(0, 100, 600))
    offsets = np.array([0, 300, 600])
    time[:300], time[300:] = np.sort(time[:300]), np.sort(time[300:])
    flux = np.concatenate([np.sin(2 * np.pi * time[:300] / 0.7), rng.standard_normal(300)])
    clean, noise = string_lengths(time, flux, offsets, np.array([0.7, 0.7]))
    assert clean < 0.02 and 0.8 < noise < 1.2


def test_spectra_for_some_objects_only():
    few = simulate_objects(1400, seed=3, wavelengths=COARSE, spectra_share=0.1)
    share = few.present["spectrum"].mean()
    assert 0.06 < share < 0.14 and few.present["photometry"].all()
    kept = few.take(few.present["spectrum"]).parts["spectrum"].values
    expected = survey().take(few.present["spectrum"]).parts["spectrum"].values
    np.testing.assert_array_equal(kept, expected)


def test_a_second_band_is_a_fourth_modality():
    both = simulate_objects(20, seed=1, wavelengths=COARSE, bands=("V", "g"))
    assert set(both.parts) == {"photometry", "photometry_g", "spectrum", "metadata"}
    v, g = (both.parts[name].constants("log_mad") for name in ("photometry", "photometry_g"))
    assert np.corrcoef(v, g)[0, 1] > 0.8 and (v != g).all()
    assert set(simulate_objects(5, seed=1, wavelengths=COARSE, bands=("g",)).parts) == {
        "photometry", "spectrum", "metadata"
    }  # fmt: skip


def test_classes_that_are_never_trained_on():
    objects = simulate_objects(256, seed=0, wavelengths=COARSE, unseen=True)
    assert set(column("true_label", objects)) == {p.label for p in UNSEEN}
    assert not set(column("id", objects)) & set(column("id"))


@pytest.mark.parametrize("rules", ["official", "full"])
def test_standardised_batches(rules):
    objects = simulate_objects(40, seed=0, rules=rules, wavelengths=COARSE)
    ready = standardised(objects, statistics(objects.take(np.arange(30))))
    (batch,) = object_batches(ready, 40, 200)
    assert batch["photometry"]["values"].shape == (40, 200, 9)
    assert batch["spectrum"]["mask"].all() == (rules == "official")
    values = batch["metadata"]["values"][batch["metadata"]["mask"]]
    assert values.dtype == np.float32 and abs(values.mean()) < 0.3 and 0.5 < values.std() < 3


def test_impossible_arguments_are_named():
    for words, message in (
        ({"rules": "ful"}, "rules 'ful'"),
        ({"bands": ("V", "h")}, "no band 'h'"),
        ({"spectra_share": 2.0}, "spectra_share=2.0"),
    ):
        with pytest.raises(UserError, match=message):
            simulate_objects(5, seed=0, **words)


# Sketches of spectra


def physics(teff, **more):
    n = len(teff)
    full = dict.fromkeys(("iron", "giant", "carbon", "active"), np.zeros(n)) | more
    return Physics(np.asarray(teff, float), np.zeros(n), kind=np.full(n, ""), **full)


def clean(stars, grid):
    rng = np.random.default_rng(0)
    flux, ivar = spectra(stars, np.zeros(len(stars.teff)), np.full(len(stars.teff), 1e4), grid, rng)
    return flux / np.median(flux, axis=1, keepdims=True), ivar


def depth(flux, grid, wave, width=10):
    inside = np.abs(grid - wave) < width / 2
    beside = (np.abs(grid - wave) > 40) & (np.abs(grid - wave) < 80)
    return 1 - flux[inside].mean() / np.median(flux[beside])


GRID = np.arange(3850.0, 9000.0, 2.0)


def test_lines_follow_temperature_gravity_and_composition():
    hot, _ = clean(physics([9000, 6000, 4500]), GRID)
    halpha = [depth(f, GRID, 6563) for f in hot]
    assert halpha[0] > 0.2 > halpha[1] > halpha[2]
    dwarf, giant = clean(physics([4500, 4500], giant=np.array([0.0, 1.0])), GRID)[0]
    assert depth(dwarf, GRID, 5893) > depth(giant, GRID, 5893)
    assert depth(giant, GRID, 8542) > depth(dwarf, GRID, 8542)
    rich, poor = clean(physics([6500, 6500], iron=np.array([0.0, -2.0])), GRID)[0]
    assert depth(rich, GRID, 3934) > depth(poor, GRID, 3934)
    quiet, active = clean(physics([4700, 4700], active=np.array([0.0, 1.0])), GRID)[0]
    assert depth(active, GRID, 6563) < 0 < depth(quiet, GRID, 6563)


def test_bands_of_oxygen_and_carbon_stars():
    oxygen, carbon = clean(physics([3000, 3000], carbon=np.array([0.0, 1.0])), GRID)[0]

    def step(flux, head):
        near = np.abs(GRID - head) > 12
        blue = (head > GRID) & (head - 45 < GRID) & near
        red = (head < GRID) & (head + 45 > GRID) & near
        return flux[red].mean() / flux[blue].mean()

    assert step(oxygen, 7053) < 0.8 < step(carbon, 7053)
    assert step(carbon, 5636) > 1.5 > step(oxygen, 5636)


def test_planck_peaks_where_wien_says():
    wave = np.arange(2000.0, 12000.0, 5.0)
    peak = wave[planck(wave, np.array([[6000.0]]))[0].argmax()]
    assert abs(peak - 2.898e7 / 6000) < 10


def test_noise_is_what_the_inverse_variance_says():
    n = 60
    stars = physics(np.full(n, 6000.0))
    rng = np.random.default_rng(1)
    flux, ivar = spectra(stars, np.zeros(n), np.full(n, 30.0), GRID, rng)
    window = (GRID > 6700) & (GRID < 6900)
    pull = np.diff(flux[:, window], axis=1) * np.sqrt(ivar[:, window][:, 1:] / 2)
    assert abs(pull[ivar[:, window][:, 1:] > 0].std() - 1) < 0.1
    assert 0 < (ivar == 0).mean() < 0.01
