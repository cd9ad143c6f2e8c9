"""Light curves in several bands as modalities of raw parts."""

import numpy as np
import pyarrow as pa
import pytest

from astro_jax.data.curves import from_arrays
from astro_jax.data.ledger import opening
from astro_jax.data.multimodal_bands import band_modalities, further_bands
from astro_jax.data.multimodal_parts import assemble
from astro_jax.errors import UserError

BANDS = {"V": "photometry", "g": "photometry_g"}
SWING = {"V": 0.4, "g": 0.6}


def curves(keys=("bV", "aV", "cg", "ag"), labels=None, points=100):
    """Return sines of 0.63 days; a key is an id and a band, and an upper-case id is constant."""
    rng = np.random.default_rng(0)
    arrays = []
    for name, band in keys:
        time = 57_000 + np.sort(rng.uniform(0, 200, points))
        wave = np.sin(2 * np.pi * time / 0.63) + 0.01 * rng.standard_normal(points)
        arrays.append(np.stack([time, 13 + SWING[band] * wave * name.islower()], axis=1))
    columns = {"kind": labels} if labels else {}
    return from_arrays(arrays, [k[0] for k in keys], band=[k[1] for k in keys], **columns)


def test_the_first_band_is_photometry_unless_it_is_known_as_another():
    assert band_modalities([]) == {"": "photometry"}
    assert band_modalities(["g"]) == {"g": "photometry"}
    assert band_modalities(["V", "g"]) == BANDS
    known = ("photometry", "photometry_g", "spectrum")
    assert band_modalities(["V", "g"], known) == band_modalities(["g", "V"], known) == BANDS
    assert band_modalities(["g"], known) == {"g": "photometry_g"}
    assert band_modalities(["V", "r"], known) == {"V": "photometry", "r": "photometry_r"}
    assert further_bands([*known, "metadata"]) == ["photometry_g"]
    with pytest.raises(UserError, match="band=V,V has 'V' twice"):
        band_modalities(["V", "V"])


def test_each_object_has_the_bands_that_it_was_seen_in():
    survey = curves()
    objects, ledger = assemble(
        survey, None, None, accounts={"curves": opening(4, 400)}, bands=BANDS
    )
    assert objects.columns["id"].to_pylist() == ["b", "a", "c"]
    assert objects.present["photometry"].tolist() == [True, True, False]
    assert objects.present["photometry_g"].tolist() == [False, True, True]
    assert ledger.read.objects == ledger.kept.objects == len(objects) == 3
    assert ledger.kept.observations == 400
    assert "1 of 3 objects have no light curve in V (photometry)" in ledger.notes
    assert "1 of 3 objects have no light curve in g (photometry_g)" in ledger.notes
    for row, (band, name) in ((1, ("V", "photometry")), (3, ("g", "photometry_g"))):
        alone, _ = assemble(survey.take([row]), None, None)
        part = objects.parts[name].take(np.array([1]))
        np.testing.assert_array_equal(part.values, alone.parts["photometry"].values, band)


def test_one_band_of_several_is_what_it_is_alone():
    survey = curves()
    chosen, ledger = assemble(survey.take([0, 1]), None, None, bands={"V": "photometry"})
    plain, _ = assemble(survey.take([0, 1]), None, None)
    assert set(chosen.parts) == {"photometry"}
    assert ledger.notes == ("curves: 2 rows read, 2 used",)
    np.testing.assert_array_equal(
        chosen.parts["photometry"].values, plain.parts["photometry"].values
    )


def test_the_catalogue_knows_the_period_of_the_star_and_the_amplitude_of_its_first_band():
    told = {"id": ["a", "b"], "period": [1.26, 1.26], "amplitude": [0.5, 0.5],
            "lksl_statistic": [0.9, 0.9]}  # fmt: skip
    objects, _ = assemble(curves(), None, pa.table(told), bands=BANDS)
    first, second = (objects.parts[name] for name in BANDS.values())
    for part in (first, second):
        np.testing.assert_allclose(10 ** part.constants("log_period")[1], 1.26, rtol=1e-5)
    np.testing.assert_allclose([first.constants("amplitude")[1], first.constants("lksl")[1]],
                               [0.5, 0.9], rtol=1e-6)  # fmt: skip
    np.testing.assert_allclose(second.constants("amplitude")[1:], 1.2, atol=0.05)
    np.testing.assert_allclose(10 ** second.constants("log_period")[2], 0.63, rtol=0.002)
    assert second.constants("lksl")[1] < 0.8


def test_a_constant_light_curve_is_quarantined_in_its_band():
    objects, ledger = assemble(curves(("aV", "Ag", "ag", "AV")), None, None, bands=BANDS)
    assert objects.present["photometry_g"].tolist() == [True, False]
    assert [(row.object, row.band) for row in ledger.rows] == [("A", "V"), ("A", "g")]
    assert ledger.quarantined.observations == 200 and ledger.kept.objects == 2


def test_labels_come_from_whichever_band_has_them():
    survey = curves(labels=["B", "A", "C", None])
    objects, _ = assemble(survey, None, None, label="kind", bands=BANDS)
    assert objects.columns["label"].to_pylist() == ["B", "A", "C"]


def test_two_light_curves_of_an_object_in_one_band_are_refused():
    with pytest.raises(UserError, match="several rows an id .* config.data.band"):
        assemble(curves(("aV", "ag", "ag")), None, None, bands=BANDS)
