"""What an exploration computes beyond the searches: the mean spectra of sub-clusters."""

import numpy as np
import pyarrow as pa

from astro_jax.data.multimodal import Objects, Spectra
from astro_jax.explore import mean_spectra
from astro_jax.explore_report import cluster_figure, table_html


def few_objects():
    """Return four objects, the last without a spectrum; a pixel of the second is not observed."""
    flux = np.array([[1.0, 2.0, 3.0], [3.0, 99.0, 5.0], [7.0, 7.0, 7.0]], np.float32)
    values = np.stack([flux, np.zeros_like(flux), np.zeros_like(flux)], axis=-1)
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    part = Spectra(("flux", "error", "log_mad"), np.array([4000.0, 4002.0, 4004.0]), values, mask,
                   np.array([0, 1, 2, 3, 3]))  # fmt: skip
    return Objects(pa.table({"id": ["a", "b", "c", "d"]}), {"spectrum": part})


FOUND = pa.table(
    {
        "id": ["a", "b", "c", "d"],
        "label": ["M"] * 4,
        "cluster": [0, 0, 1, 1],
        "bp_rp": [1.0, 2.0, None, 1.5],
        "absolute_g": [0.1, None, 0.3, 0.4],
    }
)


def test_mean_spectra_are_over_what_was_observed():
    rows = mean_spectra(few_objects(), FOUND).to_pylist()
    assert [(row["cluster"], row["objects"]) for row in rows] == [(0, 2), (1, 1)]
    np.testing.assert_allclose(rows[0]["flux"], [2.0, 2.0, 4.0])
    np.testing.assert_allclose(rows[1]["flux"], 7.0)
    assert rows[0]["wavelength"] == [4000.0, 4002.0, 4004.0]


def test_sub_clusters_without_any_spectrum_have_none():
    empty = few_objects().take(np.array([3]))
    (row,) = mean_spectra(empty, FOUND.slice(3)).to_pylist()
    assert row["objects"] == 0 and np.isnan(row["flux"]).all()


def test_the_page_draws_them():
    tables = {"sub_clusters": FOUND, "mean_spectra": mean_spectra(few_objects(), FOUND)}
    left, right = cluster_figure(tables).axes
    assert len(right.get_lines()) == 2
    np.testing.assert_allclose(left.get_lines()[0].get_xdata(), [1.0, 2.0])
    assert "3 values" in table_html(tables["mean_spectra"])
