"""What a light curve has shown so far: by hand, causal, blind to padding."""

import jax.numpy as jnp
import numpy as np
import pytest

from astro_jax.nn.running import COLOURS, COLUMNS, running

G, R = 1, 2  # places of the colours


def rows(*points):
    """Return values [1, T, 4] from (wavelength, day, flux, error)."""
    values = np.array(points, np.float32)
    values[:, 1] /= 100
    return jnp.asarray(values[None])


def shown(values, mask=None, distance=0.0, known=False):
    mask = jnp.ones(values.shape[:2], bool) if mask is None else mask
    found = np.asarray(running(values, mask, jnp.array([distance]), jnp.array([known])))[0]
    assert found.shape == (values.shape[1], COLUMNS)
    each = found[:, : 6 * COLOURS].reshape(len(found), 6, COLOURS)
    colours = found[:, 6 * COLOURS : -4].reshape(len(found), 2, COLOURS - 1)
    return each, colours, found[:, -4:]


CURVE = rows(
    (0.48, 1.0, 1.0, 0.1),
    (0.64, 2.0, 4.0, 0.1),
    (0.48, 5.0, 3.0, 0.1),
    (0.48, 9.0, 2.0, 0.1),
    (0.64, 12.0, 0.2, 0.1),  # S/N 2: shows nothing
)


def test_by_hand():
    each, colours, whole = shown(CURVE)
    seen, now, top, last, since, rise = each.transpose(1, 0, 2)
    assert seen[:, G].tolist() == [1] * 5 and seen[:, R].tolist() == [0, 1, 1, 1, 1]
    np.testing.assert_allclose(now[:, G], np.log([1, 1, 1, 2 / 3, 2 / 3]), atol=1e-6)
    np.testing.assert_allclose(top[:, G], np.log([1, 1 / 4, 3 / 4, 3 / 4, 3 / 4]), atol=1e-6)
    np.testing.assert_allclose(last[:, G] * 10, [0, 1, 0, 0, 3], atol=1e-5)
    np.testing.assert_allclose(since[:, G] * 20, [0, 1, 0, 4, 7], atol=1e-5)
    np.testing.assert_allclose(rise[:, G] * 20, [0, 0, 4, 4, 4], atol=1e-5)
    np.testing.assert_allclose(last[:, R] * 10, [0, 0, 3, 7, 10], atol=1e-5)
    between_g_and_r = colours[:, :, G]
    np.testing.assert_allclose(
        between_g_and_r,
        np.log([[1, 1], [1 / 4, 1 / 4], [3 / 4, 3 / 4], [2 / 4, 3 / 4]] + [[2 / 4, 3 / 4]]),
        atol=1e-5,
    )
    np.testing.assert_allclose(whole[:, 0] * 2, np.log([1, 4, 4, 4, 4]), atol=1e-6)
    np.testing.assert_allclose(whole[:, 1] * 2, np.log([1, 4, 3, 2, 0.2]), atol=1e-5)
    assert (whole[:, 2:] == 0).all()


def test_luminosities_only_where_the_distance_is_known():
    whole = shown(CURVE, distance=1.5, known=True)[2]
    np.testing.assert_allclose(whole[:, 2], whole[:, 0] + 0.75, atol=1e-6)
    np.testing.assert_allclose(whole[:, 3], whole[:, 1] + 0.75, atol=1e-6)
    assert (shown(CURVE, distance=1.5, known=False)[2][:, 2:] == 0).all()


def test_a_step_knows_nothing_of_later_ones():
    mask = jnp.ones((1, 5), bool)
    whole = running(CURVE, mask, jnp.zeros(1), jnp.zeros(1, bool))
    short = running(CURVE[:, :3], mask[:, :3], jnp.zeros(1), jnp.zeros(1, bool))
    np.testing.assert_array_equal(whole[:, :3], short)


@pytest.mark.parametrize("junk", [1e9, np.nan, -np.inf])
def test_padding_shows_nothing(junk):
    mask = jnp.array([[True, True, False, True, False]])
    dirty = jnp.where(mask[..., None], CURVE, junk)
    clean = jnp.where(mask[..., None], CURVE, 0.0)
    zero = jnp.zeros(1), jnp.zeros(1, bool)
    np.testing.assert_array_equal(running(dirty, mask, *zero), running(clean, mask, *zero))
    assert (np.asarray(running(dirty, mask, *zero))[0, [2, 4]] == 0).all()


def test_nothing_detected_is_all_zero():
    faint = rows((0.48, 1.0, -3.0, 1.0), (0.9, 2.0, 0.1, 1.0))
    each, colours, whole = shown(faint, distance=2.0, known=True)
    assert not each.any() and not colours.any() and not whole.any()
