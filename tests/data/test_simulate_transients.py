"""Simulated transients: purity, schema, physics, statistics against stated and real ones."""

import time

import numpy as np
import pyarrow as pa
import pytest
from scipy import constants
from scipy.integrate import quad

from astro_jax.data.ledger import opening
from astro_jax.data.read_transients import read_transients
from astro_jax.data.simulate.agn import STRUCTURE, TIMESCALE, scaling, walk
from astro_jax.data.simulate.transient_classes import AGN, KINDS, LABELS, PARENT
from astro_jax.data.simulate.transient_light import (
    REFERENCE,
    distance_modulus,
    draw_events,
    extinction,
    fluxcal,
    light,
    planck_ratio,
    shape,
    time_of_maximum,
)
from astro_jax.data.simulate.transient_surveys import SURVEYS, noise
from astro_jax.data.simulate.transients import simulate_transients
from astro_jax.data.transient_rows import make_rows
from astro_jax.data.transients import band_names, reduce_curves, trigger_times
from astro_jax.errors import UserError
from astro_jax.interop.astromcad import CLASSES
from astro_jax.passbands import NAMES, PASSBANDS

N = 240
KIND = {kind.label: kind for kind in KINDS}


@pytest.fixture(scope="module")
def surveys():
    return {name: simulate_transients(N, 7, name) for name in SURVEYS}


def same(a, b):
    arrays = all(np.array_equal(x, b.flat[name]) for name, x in a.flat.items())
    return arrays and a.columns.equals(b.columns) and np.array_equal(a.offsets, b.offsets)


# A pure function


def test_pure_function_of_the_seed(surveys):
    assert same(simulate_transients(N, 7, "ztf"), surveys["ztf"])
    other = simulate_transients(N, 8, "ztf")
    assert not np.array_equal(other.flux[:100], surveys["ztf"].flux[:100])


@pytest.mark.parametrize("name", SURVEYS)
def test_a_transient_does_not_depend_on_their_number(name, surveys):
    for n in (1, 100):
        assert same(simulate_transients(n, 7, name), surveys[name].take(np.arange(n)))


def test_none_at_all():
    none = simulate_transients(0, 7)
    assert len(none) == 0 and len(none.time) == 0 and "label" in none.columns.column_names


@pytest.mark.parametrize("name", SURVEYS)
def test_schema(name, surveys):
    transients = surveys[name]
    assert len(transients) == N and transients.offsets[-1] == len(transients.flux)
    kinds = {f.name: f.type for f in transients.columns.schema}
    assert all(kinds[c] == pa.string() for c in ("id", "star", "label", "redshift_kind", "survey"))
    assert kinds["redshift"] == kinds["mwebv"] == pa.float64()
    assert transients.columns["id"][0].as_py() == f"sim-{name}-000000"
    assert transients.time.dtype == np.float64 and transients.band.dtype == np.uint8
    assert transients.flux.dtype == transients.fluxerr.dtype == np.float32
    assert np.isfinite(transients.flux).all() and (transients.fluxerr > 0).all()
    assert set(transients.label) == set(LABELS)
    bands = {b for telescope in SURVEYS[name].telescopes for b in telescope.bands}
    assert set(band_names(transients)) == bands
    inside = np.diff(transients.curve) == 0
    assert (np.diff(transients.time)[inside] >= 0).all()
    np.testing.assert_array_equal(transients.columns["n_obs"], transients.lengths)


def test_labels_are_those_of_the_released_networks():
    assert set(LABELS) == set(CLASSES) and LABELS[0] == AGN
    assert set(PARENT) < set(LABELS)
    assert {PARENT.get(c, c) for c in LABELS} == {"AGN", "SNIa", "SNII", "SNIb/c", "SLSN-I", "TDE"}


def test_shares_and_limit():
    two = simulate_transients(200, 3, shares={"SNIa": 3, "TDE": 1})
    labels = np.array(two.label)
    assert set(labels) == {"SNIa", "TDE"} and 0.65 < np.mean(labels == "SNIa") < 0.85
    bright = simulate_transients(20, 3, shares={"SNIa": 1}, limit=17.0)
    peak = reduce_curves(np.maximum, bright.flux, bright.offsets, 0.0)
    assert (peak > fluxcal(17.0)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"survey": "lst"}, "unknown survey 'lst' to simulate .did you mean 'lsst'"),
        ({"n": -1}, "must not be negative, got -1"),
        ({"seed": -2}, "must not be negative"),
        ({"shares": {"SNIIL": 1.0}}, "no class 'SNIIL' to simulate"),
        ({"shares": {"SNII": 0.0}}, "shares must be positive"),
        ({"limit": -5.0, "shares": {"SNIax": 1.0}}, "finds no SNIax above magnitude -5"),
    ],
)
def test_arguments_that_make_no_sense(arguments, words):
    with pytest.raises(UserError, match=words):
        simulate_transients(**{"n": 3, "seed": 1, **arguments})


# What surveys find


@pytest.mark.parametrize("name", SURVEYS)
def test_what_is_found_is_found_again(name, surveys):
    """The trigger of the cropped curve is that of the whole: rows lose nothing."""
    transients = surveys[name]
    assert np.isfinite(trigger_times(transients)).all()
    _, ledger = make_rows(transients, opening(N, len(transients.time)), length=500)
    assert ledger.filtered == ledger.quarantined == (0, 0)
    detected = transients.snr >= 5
    assert (np.bincount(transients.curve[detected], minlength=N) >= 1).all()
    peak = reduce_curves(np.maximum, np.where(detected, transients.flux, 0), transients.offsets, 0)
    assert (peak > 0.99 * fluxcal(SURVEYS[name].limit)).all()


def test_forced_and_cut_photometry(surveys):
    assert (surveys["ztf"].flux < 0).mean() > 0.02 and (surveys["lsst"].flux < 0).any()
    assert (surveys["yse"].snr > 4).all()


def test_noise_is_that_of_the_depth():
    depth = np.array([20.0, 21.0])
    np.testing.assert_allclose(noise(np.zeros(2), depth), fluxcal(depth) / 5)
    bright = fluxcal(np.array([14.0, 14.0]))
    np.testing.assert_allclose(noise(bright, depth) / bright, 0.02, rtol=0.2)


def test_median_redshifts_are_those_stated():
    """Medians of the prototype: Ia .07, II .025, SLSN .23, TDE .11 (the survey's limit is 19)."""
    for label, expected in [("SNIa", 0.07), ("SNII", 0.025), ("SLSN-I", 0.23), ("TDE", 0.11)]:
        z = simulate_transients(150, 1, shares={label: 1.0}).scalar("redshift")
        assert np.median(z) == pytest.approx(expected, rel=0.25)


def test_points_of_a_curve_like_the_real_ones(shared):
    """Simulated YSE supernovae of the brightness of the real ones have as many points, as spread.

    Of the points of each band the shares differ by less than 0.06.
    """
    real, _ = read_transients(shared / "data/transient_yse_dr1.parquet")
    real = real.take(np.array([label == "SNIa" for label in real.label]))
    real, _ = make_rows(real, opening(len(real), len(real.time)), length=1000)
    sim = simulate_transients(200, 1, "yse", {"SNIa": 1.0}, limit=19.2)
    rows, _ = make_rows(sim, opening(200, len(sim.time)), length=1000)
    q = [25, 50, 75]
    np.testing.assert_allclose(
        np.percentile(rows.lengths, q), np.percentile(real.lengths, q), rtol=0.25
    )
    for name in ("ztfg", "ztfr", "ps1g", "ps1r", "ps1i", "ps1z"):
        told = np.float32(PASSBANDS[NAMES.index(name)].wavelength)
        shares = [np.mean(r.values[:, 0] == told) for r in (rows, real)]
        assert abs(shares[0] - shares[1]) < 0.06


# The light


def test_the_maximum_is_where_it_is_said_to_be():
    rng = np.random.default_rng(0)
    t = np.linspace(-60, 260, 6401)
    for kind in KINDS:
        e = draw_events(kind, rng, 200, 19.0)
        curve = e.rise, e.plateau, e.slope, e.fall
        on_grid = shape(t[None], *(x[:, None] for x in curve))
        peak = time_of_maximum(*curve)
        assert np.abs(t[on_grid.argmax(1)] - peak).max() < 0.06
        assert (shape(peak, *curve) >= on_grid.max(1) * (1 - 1e-6)).all()
        assert (on_grid > -1e-12).all()


# Flux over that at maximum in r after 15, 30, 50 days, g - r after 0, 15, 30 days (rest frame), and
# the redshift: medians that the prototype reached; real objects agree to about 0.1.
CHECKS = {
    "SNIa": (0.07, (0.55, 0.27, 0.10), (0.08, 0.62)),
    "SNII": (0.025, (0.87, 0.76, 0.64), (0.01, 0.32, 0.72)),
    "SNIb": (0.03, (0.56, 0.28, 0.15), (0.5, 0.93)),
    "SLSN-I": (0.23, (0.78, 0.49), (0.07, 0.14, 0.27)),
    "TDE": (0.11, (0.77, 0.57), (-0.20, -0.21, -0.18)),
}


@pytest.mark.parametrize("label", CHECKS)
def test_shapes_and_colours_are_those_stated(label):
    z, ratios, colours = CHECKS[label]
    kind, n = KIND[label], 500
    events = draw_events(kind, np.random.default_rng(0), n, 19.0)
    events = events._replace(redshift=np.full(n, z))

    def flux(day, band):
        wavelength = np.full(n, PASSBANDS[NAMES.index(band)].wavelength)
        return light(kind, events, np.arange(n), np.full(n, day * (1 + z)), wavelength)

    largest = flux(0.0, "ztfr")
    for day, expected in zip((15.0, 30.0, 50.0), ratios, strict=False):
        assert np.median(flux(day, "ztfr") / largest) == pytest.approx(expected, abs=0.08)
    for day, expected in zip((0.0, 15.0, 30.0), colours, strict=False):
        colour = -2.5 * np.log10(flux(day, "ztfg") / flux(day, "ztfr"))
        assert np.median(colour) == pytest.approx(expected, abs=0.08)


def test_the_magnitude_at_maximum():
    """Without dust, at z = 0 in the reference band: M + mu."""
    kind, n = KIND["TDE"], 3
    zero = np.zeros(n)
    events = draw_events(kind, np.random.default_rng(0), n, 19.0)._replace(
        host=zero, mwebv=zero, redshift=np.full(n, 1e-3)
    )
    rest = np.full(n, REFERENCE * 1.001)
    mag = 27.5 - 2.5 * np.log10(light(kind, events, np.arange(n), zero, rest))
    expected = events.mag + distance_modulus(events.redshift) - 2.5 * np.log10(1.001)
    np.testing.assert_allclose(mag, expected, atol=1e-4)


def test_distances_are_those_of_the_integral():
    for z in (0.003, 0.05, 0.4, 1.7):
        comoving, _ = quad(lambda x: 1 / np.sqrt(0.3 * (1 + x) ** 3 + 0.7), 0, z)
        parsec = (1 + z) * comoving * constants.c / 1e3 / 70 * 1e6
        assert distance_modulus(z) == pytest.approx(5 * np.log10(parsec / 10), abs=2e-3)


def test_black_bodies_are_those_of_the_planck_law():
    def planck(wavelength, temperature):
        nu = constants.c / (wavelength * 1e-6)
        return nu**3 / np.expm1(constants.h * nu / constants.k / temperature)

    wavelength, temperature = np.meshgrid([0.3, 0.5, 0.9], [4000.0, 15000.0])
    expected = planck(wavelength, temperature) / planck(REFERENCE, temperature)
    np.testing.assert_allclose(planck_ratio(wavelength, temperature), expected, rtol=1e-5)


def test_extinction_is_that_of_the_law():
    """A / A_V of Cardelli et al. 1989 table 3, and A_B - A_V = E(B - V) by definition."""
    wavelength = 1 / np.array([2.78, 1.82, 1.43, 1.11])  # U, V, R, I
    np.testing.assert_allclose(
        extinction(wavelength) / 3.1, [1.569, 1.000, 0.751, 0.479], atol=2e-3
    )
    blue, visual = extinction(1 / np.array([2.27, 1.82]))
    assert blue - visual == pytest.approx(1, abs=2e-3)
    assert extinction(np.array(0.2)) == extinction(np.array(0.3))


# Active nuclei


def test_the_walk_has_the_variance_and_the_memory_of_its_process():
    rng, n, tau = np.random.default_rng(0), 4000, 50.0
    days = np.tile([0.0, 10.0, 40.0, 200.0], n)
    before, now = walk(np.repeat(np.arange(n), 4), days, np.full(n, tau), rng)
    x = now.reshape(n, 4)
    assert np.abs(x.var(0) - 1).max() < 0.1 and abs(before.var() - 1) < 0.1
    correlation = np.corrcoef(x.T)[0]
    np.testing.assert_allclose(correlation, np.exp(-np.array([0, 10, 40, 200]) / tau), atol=0.05)
    assert abs(np.corrcoef(before, x[:, 0])[0, 1]) < 0.05  # 500 days are ten time scales


def test_the_scaling_laws_at_their_pivot():
    assert scaling(STRUCTURE, 0.4, -23.0, 9.0) == pytest.approx(10**-0.51)
    assert scaling(TIMESCALE, 0.4, -23.0, 9.0) == pytest.approx(251.19, rel=1e-4)
    blue, red = (scaling(STRUCTURE, w, -23.0, 9.0) for w in (0.3, 0.6))
    assert blue > red  # nuclei vary more in the blue


def test_nuclei_go_down_too():
    nuclei = simulate_transients(60, 2, "ztf", {AGN: 1.0})
    supernovae = simulate_transients(60, 2, "ztf", {"SNIa": 1.0})
    deep = [(t.snr < -5).mean() for t in (nuclei, supernovae)]
    assert deep[0] > 0.02 > deep[1] == 0


@pytest.mark.slow
def test_a_thousand_a_second():
    simulate_transients(100, 0)
    start = time.perf_counter()
    simulate_transients(5000, 1)
    assert 5000 / (time.perf_counter() - start) > 1000
