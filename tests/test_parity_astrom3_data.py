"""Preprocessing of AstroM3: light curves, spectra and catalogue of the fixture."""

import numpy as np
import pyarrow as pa
import pytest

from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_batches import object_batches
from astro_jax.data.multimodal_rules import (
    METADATA,
    Features,
    features,
    official_spectrum,
    scale_curves,
    series,
    standardised,
    statistics,
    wavelength_grid,
)

pytestmark = pytest.mark.parity
COUNT, AUX = 8, 4


@pytest.fixture(scope="module")
def fixture(shared):
    with np.load(shared / "parity" / "astrom3_public.npz") as archive:
        return {n: archive[n] for n in archive.files if n.startswith(("prep/", "in/"))}


@pytest.fixture(scope="module")
def objects(fixture):
    """Return the light curves of the fixture; their four constants are standardised there."""
    raw = [fixture[f"prep/lc_raw_{i}"] for i in range(COUNT)]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in raw])])
    scaled = scale_curves(*np.concatenate(raw).T, offsets)
    names = ("amplitude", "log_period", "lksl", "rfr_score")
    aux = np.array([fixture[f"prep/lc_aux_{i}"] for i in range(COUNT)])
    part = series(scaled, dict(zip(names, aux.T, strict=True)), "official")
    ids = pa.table({"id": pa.array(range(COUNT))})
    return Objects(ids, {"photometry": part})


def test_repeated_rows_are_dropped(fixture, objects):
    lengths = objects.parts["photometry"].lengths
    assert lengths.tolist() == fixture["prep/lc_lengths"].tolist()
    raw = [len(fixture[f"prep/lc_raw_{i}"]) for i in range(COUNT)]
    assert (lengths <= raw).all() and (lengths < raw).any()


def test_light_curves(fixture, objects):
    (batch,) = object_batches(objects, COUNT, 200, padding="tile_aux")
    photometry = batch["photometry"]
    np.testing.assert_array_equal(photometry["mask"], fixture["in/photometry_mask"] > 0)
    np.testing.assert_allclose(photometry["values"], fixture["in/photometry"], rtol=0, atol=1e-6)


def test_the_other_padding_differs_in_padding_only(fixture, objects):
    (batch,) = object_batches(objects, COUNT, 200, padding="zero")
    expected = fixture["in/photometry"] * fixture["in/photometry_mask"][..., None]
    np.testing.assert_allclose(batch["photometry"]["values"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("k", range(4))
def test_spectra(fixture, k):
    raw = fixture[f"prep/spec_raw_{k}"]
    grid = wavelength_grid()
    assert len(grid) == 2575
    values, mask = official_spectrum(*raw.T, grid)
    expected = fixture["in/spectra"][k].T
    assert mask.all()
    scale = np.abs(expected).max(0)
    assert (np.abs(values - expected).max(0) < 1e-6 * np.maximum(scale, 1)).all()


def test_catalogue(fixture):
    columns, raw = fixture["prep/meta_cols"][AUX:].tolist(), fixture["prep/meta_raw"][:, AUX:]
    assert tuple(columns) == METADATA
    part = features(dict(zip(columns, raw.T, strict=True)), "official")
    assert part.mask.all()
    expected = fixture["prep/meta_transformed"][:, AUX:]
    np.testing.assert_allclose(part.values, expected, rtol=1e-12)


def test_standardised_catalogue(fixture):
    transformed = fixture["prep/meta_transformed"][:, AUX:]
    part = Features(METADATA, transformed, np.ones(transformed.shape, bool))
    ids = pa.table({"id": pa.array(range(len(transformed)))})
    objects = Objects(ids, {"metadata": part})
    ours = standardised(objects, statistics(objects)).parts["metadata"].values
    np.testing.assert_allclose(ours, fixture["prep/meta_standardised"][:, AUX:], atol=1e-6)
