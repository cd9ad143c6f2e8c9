"""Hand-made features of transients: by hand, blind to what is not detected, told by class."""

import numpy as np
import pytest

from astro_jax.data.simulate.transients import simulate_transients
from astro_jax.data.transients import from_arrays
from astro_jax.evals.auroc import macro_auroc
from astro_jax.evals.baselines import random_forest
from astro_jax.evals.transient_features import UNKNOWN, transient_features


def one(points, **columns):
    time, band, flux = zip(*points, strict=True)
    err = [10.0] * len(points)
    return from_arrays([(time, band, flux, err)], **{k: [v] for k, v in columns.items()})


CURVE = [
    (59000.0, "ztfg", 200.0),
    (59001.0, "ztfr", 100.0),
    (59010.0, "ztfr", 1000.0),
    (59012.0, "ztfg", 400.0),
    (59020.0, "ps1r", 500.0),
    (59021.0, "ztfg", 20.0),  # S/N 2
    (59022.0, "ps1i", 800.0),
]


def features(points=tuple(CURVE), told=True, **columns):
    names, values = transient_features(one(points, **columns), told)
    assert len(names) == len(set(names)) == values.shape[1]
    return dict(zip(names, values[0], strict=True))


def test_by_hand():
    found = features(redshift=0.05, mwebv=0.03)
    assert found["mag"] == pytest.approx(20.0)  # r, flux 1000
    assert found["g-r"] == pytest.approx(-2.5 * np.log10(400 / 1000))
    assert found["day_g"] == 12.0 and found["day_r"] == 10.0 and found["day_i"] == 22.0
    assert found["day_u"] == UNKNOWN and found["u-g"] == UNKNOWN
    assert found["r_-5"] == 1.0 and found["r_5"] == 0.5  # 10 days after the maximum
    assert found["g_-5"] == pytest.approx(0.4) and found["g_5"] == UNKNOWN  # S/N 2 does not count
    assert found["rise"] == 10.0 and found["fall"] == 12.0 and found["points"] == 6
    assert found["mwebv"] == pytest.approx(0.03)
    assert -17.5 < found["absolute"] < -16.5  # distance modulus 36.7


def test_without_redshift():
    blind = features(told=False, redshift=0.05)
    assert "absolute" not in blind and "redshift" not in blind
    unknown = features(redshift=0.0)
    assert unknown["absolute"] == UNKNOWN


def test_the_order_of_rows_and_the_names_of_telescopes_do_not_count():
    a, b = (transient_features(one(p))[1] for p in (CURVE, CURVE[::-1]))
    # maxima do not depend on the order; the trigger does not either
    np.testing.assert_array_equal(a, b)
    other = [(t, {"ztfr": "ps1r", "ps1r": "ztfr"}.get(b, b), f) for t, b, f in CURVE]
    np.testing.assert_array_equal(a, transient_features(one(other))[1])


def test_nothing_detected_is_unknown():
    found = features([(59000.0, "ztfg", 5.0), (59001.0, "ztfr", -20.0)])
    assert {found[n] for n in ("mag", "day_r", "g-r", "rise", "fall", "r_-5")} == {UNKNOWN}
    assert found["points"] == 0


def test_classes_can_be_told():
    sample = simulate_transients(300, 4, "yse", {"SNIa": 1.0, "SNII": 1.0, "TDE": 1.0})
    names = ["SNII", "SNIa", "TDE"]
    codes = np.array([names.index(label) for label in sample.label])
    for redshift, least in ((True, 0.9), (False, 0.85)):
        _, values = transient_features(sample, redshift)
        assert np.isfinite(values).all()
        said = random_forest(values[:200], codes[:200], values[200:], 3, 0, trees=60)
        assert macro_auroc(said, codes[200:]) > least
