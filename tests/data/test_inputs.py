"""What a head sees beside the photometry."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from ml_collections import ConfigDict
from tiny import labelled_survey

from astro_jax.data.inputs import (
    features_and_columns,
    features_of_shape,
    hand_made_features,
    number_column,
    raw_inputs,
    scaled,
    scaling,
    with_inputs,
)
from astro_jax.errors import UserError
from astro_jax.evals.features import NAMES
from astro_jax.spec import spec

INPUTS = {"features": "astro_jax.data.inputs:hand_made_features"}


@pytest.fixture(scope="module")
def survey():
    return labelled_survey(2)


def test_features_come_from_the_photometry_alone(survey):
    features = hand_made_features(survey)
    assert features.shape == (len(survey), len(NAMES)) and np.isfinite(features).all()
    bare = survey.with_columns(survey.columns.select(["id"]))
    np.testing.assert_array_equal(hand_made_features(bare), features)
    np.testing.assert_array_equal(hand_made_features(survey.take([3])), features[[3]])
    assert hand_made_features(survey.take([])).shape == (0, len(NAMES))


def test_how_far_a_star_is_does_not_matter_for_features_of_shape(survey):
    fainter = replace(survey, mag=survey.mag + np.float32(2.0))
    shape = features_of_shape(survey)
    assert shape.shape == (len(survey), len(NAMES) - 1)
    np.testing.assert_allclose(features_of_shape(fainter), shape, rtol=2e-3, atol=2e-3)
    far = NAMES.index("median_mag")
    moved = hand_made_features(fainter)[:, far] - hand_made_features(survey)[:, far]
    np.testing.assert_allclose(moved, 2.0, rtol=1e-5)


def test_unscaled_values_are_finite():
    values = scaled(np.array([[1e300, -np.inf, np.nan, 2.0]]), None)
    assert np.isfinite(values).all() and values[0, 2:].tolist() == [0.0, 2.0]


def test_values_are_scaled_by_median_and_quartiles():
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(3, 2, 4000), np.zeros(4000), [0.0] * 3999 + [8.0]], axis=1)
    scale = scaling(values)
    np.testing.assert_allclose(scale["median"], [3, 0, 0], atol=0.1)
    assert scale["spread"][0] == pytest.approx(2, rel=0.05) and scale["spread"][1] == 1.0
    assert scale["spread"][2] == pytest.approx(values[:, 2].std())  # quartiles that coincide
    z = scaled(values, scale)
    assert z.dtype == np.float32 and z.max() == 5.0 and np.abs(z[:, 0].std() - 1) < 0.05
    assert scaled(np.array([[1e9, -1.0, np.inf]]), scale).tolist() == [[5.0, -1.0, 5.0]]


def test_what_is_unknown_is_the_median():
    values = np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan], [4.0, np.nan]])
    scale = scaling(values)
    assert scale["median"] == [2.0, 0.0] and scale["spread"][1] == 1.0
    np.testing.assert_array_equal(scaled(values, scale)[:, 1], 0)
    assert scaled(values, scale)[2, 0] == 0 and scaled(values, scale)[1, 0] == 0


def test_inputs_are_functions_or_specs_of_them(survey):
    plain = raw_inputs(survey, ConfigDict(INPUTS))["features"]
    described = {"features": spec(features_and_columns, names=("period", "ra"))}
    both = raw_inputs(survey, ConfigDict(described))["features"]
    np.testing.assert_array_equal(both[:, :-2], plain)
    np.testing.assert_array_equal(both[:, -2], number_column(survey, "period"))
    assert np.isnan(both[:, -2]).sum() == 2  # the flat stars
    scales = {"features": scaling(both)}
    full = with_inputs(survey, described, scales).arrays["features"]
    np.testing.assert_array_equal(full, scaled(both, scales["features"]))
    assert raw_inputs(survey, {}) == {}


def test_a_column_that_is_not_there_or_no_number_is_named(survey):
    with pytest.raises(UserError, match="lack the column 'perod'.*did you mean 'period'"):
        features_and_columns(("perod",))(survey)
    with pytest.raises(UserError, match="column 'label' holds no numbers"):
        number_column(survey, "label")
    mixed = survey.take([0, 1]).with_columns(pa.table({"id": [1, 2], "x": ["1.5", None]}))
    np.testing.assert_array_equal(number_column(mixed, "x"), [1.5, np.nan])


def test_a_function_that_does_not_exist_is_an_error(survey):
    with pytest.raises(UserError, match="no target 'astro_jax.data.inputs:no_such'"):
        raw_inputs(survey, {"features": "astro_jax.data.inputs:no_such"})
