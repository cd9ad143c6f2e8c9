"""Hand-made features: known curves, what must not matter, and curves too poor for them."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from astro_jax.data.curves import from_arrays
from astro_jax.evals.features import NAMES, features
from astro_jax.evals.folded import (
    SHAPE,
    binned,
    fold,
    folded_shape,
    fourier_series,
    phase_difference,
    two_minima,
)


def make_curve(shape, period, points=200, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.choice(1000, points, replace=False)) + 0.1 * rng.random(points) + 50_000
    mag = 15 + shape(time / period % 1) + rng.normal(0, noise, points)
    return np.stack([time, mag, np.full(points, max(noise, 0.01))], axis=1)


def values(*curves):
    """Return the features of curves, {name: [N]}."""
    names, table = features(from_arrays(list(curves)), threads=1)
    return dict(zip(names, table.T, strict=True))


def sine(phase):
    return 0.4 * np.sin(2 * np.pi * phase)


def binary(phase):
    return 0.8 * (np.abs(phase - 0.5) < 0.05) + 0.4 * ((phase + 0.05) % 1 < 0.1)


def test_there_are_enough_and_their_names_differ():
    assert len(NAMES) >= 30
    assert len(set(NAMES)) == len(NAMES)
    names, table = features(from_arrays([make_curve(sine, 3.3)] * 2))
    assert names == list(NAMES)
    assert table.shape == (2, len(NAMES))
    assert table.dtype == np.float32


def test_moments_are_those_of_scipy():
    curve = make_curve(sine, 3.3, noise=0.1)
    mag, v = curve[:, 1].astype(np.float32).astype(float), values(curve)
    assert v["median_mag"][0] == pytest.approx(np.median(mag), rel=1e-6)
    assert v["std"][0] == pytest.approx(mag.std(), rel=1e-4)
    assert v["skew"][0] == pytest.approx(stats.skew(mag), abs=1e-4)
    assert v["kurtosis"][0] == pytest.approx(stats.kurtosis(mag), abs=1e-4)
    assert v["mad"][0] == pytest.approx(stats.median_abs_deviation(mag), rel=1e-3)
    assert v["iqr"][0] == pytest.approx(stats.iqr(mag), rel=1e-4)


def test_periodic_and_fourier_features_of_a_known_series():
    """A series with R21 = 0.5, phi21 = 1 and R31 = 0.25, phi31 = 2 (sums of cosines)."""

    def series(phase):
        x = 2 * np.pi * phase
        return 0.3 * (np.cos(x) + 0.5 * np.cos(2 * x + 1) + 0.25 * np.cos(3 * x + 2))

    v = values(make_curve(series, 0.567, 400, noise=0.005))
    assert 10 ** v["log_period"][0] == pytest.approx(0.567, rel=1e-3)
    assert v["amplitude_1"][0] == pytest.approx(0.3, rel=0.02)
    assert v["r_21"][0] == pytest.approx(0.5, abs=0.02)
    assert v["r_31"][0] == pytest.approx(0.25, abs=0.02)
    assert v["r_41"][0] == pytest.approx(0.0, abs=0.02)
    for name, phase in (("phi_21", 1), ("phi_31", 2)):
        assert v[f"{name}_cos"][0] == pytest.approx(np.cos(phase), abs=0.1)
        assert v[f"{name}_sin"][0] == pytest.approx(np.sin(phase), abs=0.1)
    assert v["power_4"][0] > 0.995
    assert v["fit_residual"][0] < 0.05
    assert v["power_1"][0] == pytest.approx(1 / (1 + 0.25 + 0.0625), abs=0.06)


@pytest.mark.parametrize("shift", [0.0, 0.3, 12.7])
def test_phase_differences_do_not_depend_on_the_origin_of_time(shift):
    time = np.sort(np.random.default_rng(0).uniform(0, 50, 300))
    angle = 2 * np.pi * (time + shift) / 1.7
    mag = np.cos(angle) + 0.4 * np.cos(2 * angle + 0.7) + 0.2 * np.cos(3 * angle + 2.5)
    c, fit = fourier_series(time, mag, np.full(300, 1 / 300), 1.7)
    np.testing.assert_allclose(fit, mag, atol=1e-4)
    np.testing.assert_allclose(np.abs(c), [1, 0.4, 0.2, 0], atol=1e-4)
    assert phase_difference(c, 2) == pytest.approx(0.7, abs=1e-3)
    assert phase_difference(c, 3) == pytest.approx(2.5, abs=1e-3)


def test_binned_is_the_median_of_each_bin():
    rng = np.random.default_rng(1)
    phase, mag = fold(rng.uniform(0, 100, 70), rng.normal(size=70), 7.0)
    assert (np.diff(phase) >= 0).all()
    shape = binned(phase, mag)
    for k in range(20):
        inside = (phase >= k / 20) & (phase < (k + 1) / 20)
        if inside.any():
            assert shape[k] == pytest.approx(np.median(mag[inside]))
    one = binned(np.array([0.5]), np.array([3.0]))
    np.testing.assert_array_equal(one, 3.0)


def test_eclipses_are_measured():
    phase = np.linspace(0, 1, 2000, endpoint=False)
    mag = binary(phase)
    ratio, tops, distance = two_minima(binned(phase, mag))
    assert ratio == pytest.approx(0.5, abs=0.02)
    assert tops == pytest.approx(0, abs=1e-6)
    assert distance == pytest.approx(0.5)
    shape = dict(zip(SHAPE, folded_shape(phase, mag, binned(phase, mag)), strict=True))
    assert shape["folded_range"] == pytest.approx(0.8)
    assert shape["faint_share"] == pytest.approx(0.1, abs=0.02)
    assert shape["bright_share"] == pytest.approx(0.8, abs=0.02)
    assert shape["folded_skew"] > 1.5
    for name in ("string_length", "folded_eta", "folded_scatter"):
        assert shape[name] < 0.1


def test_smoothness_tells_a_right_period_from_a_wrong_one():
    curve = make_curve(sine, 3.3)
    lengths = []
    for period in (3.3, 2.71):
        phase, mag = fold(curve[:, 0], curve[:, 1], period)
        lengths.append(folded_shape(phase, mag, binned(phase, mag))[:2])
    assert lengths[0][0] < 0.3 * lengths[1][0]
    assert lengths[0][1] < 0.1 * lengths[1][1]


def test_slow_and_fast_variation_differ():
    v = values(make_curve(sine, 400.0), make_curve(sine, 0.37), make_curve(lambda p: 0 * p, 1.0))
    assert v["slow_share"][0] > 0.9 > 0.3 > v["slow_share"][1]
    assert v["von_neumann"][0] < 0.3 < 1 < v["von_neumann"][1]
    assert v["stetson_j"][0] > 5 * abs(v["stetson_j"][2])
    assert v["log_chi2"][0] > 2 > 0.3 > abs(v["log_chi2"][2])
    assert v["log_significance"][1] > 2 > v["log_significance"][2]


def test_a_trend_is_measured_per_year():
    curve = make_curve(sine, 3.3, noise=0.0)
    curve[:, 1] = 15 + 0.2 * (curve[:, 0] - 50_000) / 365.25
    v = values(curve)
    assert v["trend"][0] == pytest.approx(0.2, rel=1e-3)
    assert v["trend_share"][0] == pytest.approx(1, abs=1e-3)


def test_an_offset_in_magnitude_or_time_changes_the_median_only():
    curve = make_curve(sine, 3.3, noise=0.05)
    other = curve + [[4096.0, 2.0, 0.0]]
    v = values(curve, other)
    for name, (a, b) in v.items():
        off = 2.0 if name == "median_mag" else 0.0
        assert b - a == pytest.approx(off, abs=2e-3 * max(abs(float(a)), 1)), name


def test_only_time_magnitude_and_error_go_in():
    curves = from_arrays([make_curve(sine, 3.3), make_curve(binary, 2.2)])
    columns = {"id": ["a", "b"], "period": [3.3, 9.9], "ra": [1.0, 2.0], "label": ["x", "y"]}
    other = curves.with_columns(pa.table(columns))
    np.testing.assert_array_equal(features(curves)[1], features(other)[1])


def test_a_curve_has_the_same_features_in_any_company():
    curves = from_arrays([make_curve(sine, 0.5 + k, 30 + 40 * k, seed=k) for k in range(5)])
    order = np.array([4, 2, 0, 3, 1])
    together = features(curves, threads=2)[1]
    np.testing.assert_array_equal(together[order], features(curves.take(order), threads=1)[1])


@pytest.mark.parametrize("points", [0, 1, 2, 3, 4, 5, 6, 8, 9, 15, 27])
@pytest.mark.parametrize("errors", [True, False])
def test_features_of_short_curves_are_finite(points, errors):
    columns = 3 if errors else 2
    _, table = features(from_arrays([make_curve(sine, 3.3, 30)[:points, :columns]]))
    assert np.isfinite(table).all()
    if 0 < points < 5:
        assert np.flatnonzero(table[0]).tolist() == [0]
    if points == 27:
        assert (table[0] != 0).sum() > 55


def test_features_without_errors_lack_nothing_else():
    curve = make_curve(sine, 3.3)
    v = values(curve, curve[:, :2])
    same = [name for name, (a, b) in v.items() if a == pytest.approx(b, rel=1e-4, abs=1e-5)]
    missing = {"median_error", "log_chi2", "signal_to_noise"}
    assert set(NAMES) - set(same) == missing | {"stetson_j"}
    assert all(v[name][1] == 0 for name in missing)


def test_features_of_odd_curves_are_finite():
    flat = make_curve(sine, 3.3)
    flat[:, 1] = 15.0
    two_levels = flat.copy()
    two_levels[5, 1] = 18.0
    zero_error = make_curve(sine, 3.3)
    zero_error[:, 2] = 0.0
    one_night = make_curve(sine, 3.3)
    one_night[:, 0] = 50_000 + np.linspace(0, 0.3, 200)
    tiny = make_curve(sine, 3.3)
    tiny[:, 1] = 15 + 1e-4 * (tiny[:, 1] - 15)
    _, table = features(from_arrays([flat, two_levels, zero_error, one_night, tiny]))
    assert np.isfinite(table).all()
    assert np.flatnonzero(table[0]).tolist() == [0]
    assert np.abs(table).max() <= 1e6


def test_no_curves_give_no_rows():
    assert features(from_arrays([]))[1].shape == (0, len(NAMES))
