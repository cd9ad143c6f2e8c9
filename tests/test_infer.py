"""A run and curves in, arrays out."""

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ml_collections import ConfigDict
from tiny import WIDTH, WINDOW, toy_curves

import astro_jax
from astro_jax.data.curves import from_arrays
from astro_jax.data.table import to_table
from astro_jax.data.windows import consecutive_windows, gather_windows
from astro_jax.errors import UserError
from astro_jax.infer import curve_vectors, encode, reconstruct, vector_blocks
from astro_jax.models.astromer import Astromer2, Official, Paper, Smoother
from astro_jax.weights import Run, load

MODELS = {
    "smoother": Smoother(width=WIDTH, heads=2, ffn=16, blocks=2),
    "paper": Paper(width=WIDTH, heads=2, ffn=16, blocks=2),
    "astromer2": Astromer2(width=WIDTH, heads=2, ffn=16, blocks=2),
    "official": Official(width=WIDTH, heads=2, ffn=16, blocks=2),
}


def run_of(name: str) -> Run:
    """Return a model whose every parameter is drawn, so that no output is trivially zero."""
    curves = from_arrays(toy_curves(2))
    photometry = gather_windows(curves, consecutive_windows(curves.lengths, WINDOW), WINDOW)
    params = MODELS[name].init(jax.random.key(0), {"photometry": photometry})["params"]
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(0)
    leaves = [np.asarray(x + 0.1 * rng.normal(size=x.shape), np.float32) for x in leaves]
    return Run(ConfigDict({"window": WINDOW}), MODELS[name], jax.tree.unflatten(tree, leaves), 0)


@pytest.fixture(scope="module")
def run():
    return run_of("smoother")


@pytest.fixture(scope="module")
def curves():
    """Curves of 70, 5, 1, 32, 33 and 100 points: shorter and longer than the window."""
    return [toy_curves(1, n, seed=n)[0] for n in (70, 5, 1, WINDOW, WINDOW + 1, 100)]


def assert_close(ours, theirs, tolerance=1e-5):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def test_one_vector_an_observation_in_input_order(run, curves):
    vectors = encode(run, curves)
    assert [v.shape for v in vectors] == [(len(c), WIDTH) for c in curves]
    assert all(v.dtype == np.float32 and np.isfinite(v).all() for v in vectors)
    assert_close(encode(run, curves[::-1]), vectors[::-1])
    assert_close(encode(run, curves[:1]), vectors[:1])
    assert np.abs(vectors[0][0] - vectors[0][40]).max() > 1e-3


def test_it_is_what_the_model_says_of_each_window(run, curves):
    part = curves[0][WINDOW : 2 * WINDOW]
    expected = run.model.apply(
        {"params": run.params},
        {
            "photometry": {
                "times": (part[:, 0] - part[:, 0].mean()).astype(np.float32)[None],
                "values": np.stack([part[:, 1] - part[:, 1].mean(), part[:, 2]], -1).astype(
                    np.float32
                )[None],
                "mask": np.ones((1, WINDOW), bool),
            }
        },
    )["embedding"][0]
    np.testing.assert_allclose(
        encode(run, curves)[0][WINDOW : 2 * WINDOW], expected, rtol=0, atol=2e-4
    )


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_does_not_matter(run, curves, batch_size):
    assert_close(encode(run, curves, batch_size=batch_size), encode(run, curves))


def test_rows_that_are_not_finite_are_nan_and_change_nothing(run, curves):
    holes = np.insert(curves[0], [3, 50], [[np.nan, 15, 0.1], [50_001, np.inf, 0.1]], axis=0)
    got = encode(run, [holes])[0]
    bad = ~np.isfinite(holes[:, :2]).all(1)
    assert bad.sum() == 2 and np.isnan(got[bad]).all()
    np.testing.assert_array_equal(got[~bad], encode(run, curves[:1])[0])


def test_what_files_have_cleaned_is_cleaned_here_too(run, curves, caplog):
    """Sentinels and repeated epochs: the same curve by hand and from a file."""
    extra = [[curves[0][0, 0], 12, 0.1], [50_001, 99.999, 0.1], [50_002, -99, 0.1]]
    odd = np.concatenate([curves[0], extra])
    with caplog.at_level("WARNING"):
        got = encode(run, [odd])[0]
    assert "sentinel magnitude: 2 observations" in caplog.text
    assert "repeated epoch: 1 observations" in caplog.text
    assert np.isnan(got[-3:]).all()
    np.testing.assert_array_equal(got[:-3], encode(run, curves[:1])[0])


def test_times_that_are_no_days_are_an_error(run, curves):
    encode(run, [curves[0] + [2_400_000, 0, 0]])
    with pytest.raises(UserError, match=r"curve 1 spans [\d,]+ days: give times in days"):
        encode(run, [curves[0], curves[1] * [86_400, 1, 1]])


def test_unsorted_input_keeps_its_order(run, curves):
    order = np.random.default_rng(0).permutation(70)
    np.testing.assert_array_equal(
        encode(run, [curves[0][order]])[0], encode(run, curves[:1])[0][order]
    )


def test_the_window_is_a_choice(run, curves):
    whole, cut = encode(run, curves[:1], window=128)[0], encode(run, curves[:1])[0]
    assert whole.shape == cut.shape and np.abs(whole - cut).max() > 1e-3
    np.testing.assert_array_equal(encode(run, curves[:1], window=WINDOW)[0], cut)


def test_errors_are_optional(run, curves):
    without = encode(run, [c[:, :2] for c in curves])
    assert all(np.isfinite(v).all() for v in without)
    assert np.abs(without[0] - encode(run, curves[:1])[0]).max() > 1e-4


@pytest.mark.parametrize("form", [from_arrays, lambda c: to_table(from_arrays(c))])
def test_tables_and_curves_are_read_too(run, curves, form):
    for a, b in zip(encode(run, form(curves)), encode(run, curves), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_table_without_errors_or_with_a_nested_column(run, curves):
    lists = {"time": [c[:, 0] for c in curves], "mag": [c[:, 1] for c in curves]}
    plain = pa.table({"id": list("abcdef"), **lists})
    structs = [
        [{"time": t, "mag": m} for t, m in zip(*pair, strict=True)]
        for pair in zip(lists["time"], lists["mag"], strict=True)
    ]
    nested = pa.table({"id": list("abcdef"), "lc": structs})
    expected = encode(run, [c[:, :2] for c in curves])
    assert_close(encode(run, plain), expected)
    assert_close(encode(run, nested), expected)
    with pytest.raises(UserError, match="lacks 'mag'"):
        encode(run, plain.drop_columns("mag"))


def test_a_parquet_file_and_other_arrow_tables_are_read_too(run, curves, tmp_path):
    table = to_table(from_arrays(curves))
    pq.write_table(table, tmp_path / "x.parquet")
    batch = table.combine_chunks().to_batches()[0]
    for form in (tmp_path / "x.parquet", str(tmp_path / "x.parquet"), batch):
        assert_close(encode(run, form), encode(run, curves))


@pytest.mark.parametrize(
    "columns,message",
    [
        ({"time": [1.0, 2.0]}, "'time' holds double, not lists of numbers"),
        ({"mag": [["a"], ["b"]]}, "'mag' holds list<.*string>, not lists of numbers"),
        ({"band": [["g"], ["r"]]}, "makes a row of each band"),
    ],
)
def test_a_table_of_other_types_is_named(run, columns, message):
    table = pa.table({"id": [1, 2], "time": [[1.0], [2.0]], "mag": [[1.0], [2.0]]} | columns)
    with pytest.raises(UserError, match=message):
        encode(run, table)


def test_errors_of_another_length_are_named(run):
    table = pa.table({"id": [1], "time": [[1.0, 2.0]], "mag": [[3.0, 4.0]], "magerr": [[0.1]]})
    with pytest.raises(UserError, match="row 0: 'mag' and 'magerr' differ in length"):
        encode(run, table)


def test_a_file_that_is_no_table_is_named(run):
    with pytest.raises(UserError, match="is no object table in Parquet"):
        encode(run, __file__)


@pytest.mark.parametrize("name", ["window", "batch_size"])
def test_sizes_are_at_least_1(run, curves, name):
    with pytest.raises(UserError, match=f"{name}=-1 must be at least 1"):
        encode(run, curves, **{name: -1})


def test_nothing_in_nothing_out(run):
    assert encode(run, []) == [] and reconstruct(run, [], []) == []
    empty, nan = np.empty((0, 3)), np.full((4, 3), np.nan)
    assert [v.shape for v in encode(run, [empty, nan])] == [(0, WIDTH), (4, WIDTH)]


def test_official_windows_overlap(run, curves):
    rows = encode(run, curves, official=True)
    assert [len(r) for r in rows] == [3 * WINDOW, 5, 1, 2 * WINDOW, 2 * WINDOW, 4 * WINDOW]
    np.testing.assert_array_equal(rows[1], encode(run, curves)[1])


# Reconstruction


def probes_of(curves, share=0.4):
    rng = np.random.default_rng(0)
    return [rng.random(len(c)) < share for c in curves]


def test_predictions_stand_where_the_probe_is_in_the_scale_of_the_input(run, curves):
    probe = probes_of(curves)
    predicted = reconstruct(run, curves, probe)
    for curve, where, got in zip(curves, probe, predicted, strict=True):
        assert got.shape == (len(curve),) and got.dtype == np.float32
        assert np.isnan(got[~where]).all()
        if where.any() and (~where).sum() > 1:
            assert np.abs(got[where] - 15).max() < 5
    shifted = [c + [0.0, 5.0, 0.0] for c in curves]
    assert_close(
        [p[~np.isnan(p)] for p in reconstruct(run, shifted, probe)],
        [p[~np.isnan(p)] + 5 for p in predicted],
        1e-4,
    )


@pytest.mark.parametrize("name", ["smoother", "paper", "astromer2"])
def test_hidden_magnitudes_are_never_read(curves, name):
    run, probe = run_of(name), probes_of(curves)
    other = [c.copy() for c in curves]
    for curve, where in zip(other, probe, strict=True):
        curve[where, 1] += 3 + np.arange(where.sum())
        curve[where, 2] *= 7
    ours, theirs = reconstruct(run, curves, probe), reconstruct(run, other, probe)
    assert any(np.isfinite(p).sum() > 10 for p in ours)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_official_model_reads_them(curves):
    run, probe = run_of("official"), probes_of(curves)
    other = [np.where(p[:, None] & [False, True, False], c + 1, c) for c, p in zip(curves, probe)]  # noqa: B905
    a, b = reconstruct(run, curves[:1], probe[:1])[0], reconstruct(run, other[:1], probe[:1])[0]
    assert np.nanmax(np.abs(a - b)) > 1e-3


def test_a_window_without_a_visible_point_is_nan(run, curves):
    probe = [np.ones(len(c), bool) for c in curves]
    assert all(np.isnan(p).all() for p in reconstruct(run, curves, probe))


def test_unsorted_curves_keep_their_probe(run, curves):
    order = np.random.default_rng(1).permutation(70)
    probe = probes_of(curves)[:1]
    straight = reconstruct(run, curves[:1], probe)[0]
    np.testing.assert_array_equal(
        reconstruct(run, [curves[0][order]], [probe[0][order]])[0], straight[order]
    )


def test_a_probe_of_the_wrong_shape_is_named(run, curves):
    with pytest.raises(UserError, match="5 arrays for 6 curves"):
        reconstruct(run, curves, probes_of(curves)[:5])
    with pytest.raises(UserError, match=r"probe 0 has shape \(3,\); its curve has 70"):
        reconstruct(run, curves, [np.zeros(3, bool), *probes_of(curves)[1:]])


def test_a_curve_of_the_wrong_shape_is_named(run):
    with pytest.raises(UserError, match="curve 0 has shape"):
        encode(run, [np.zeros((5, 4))])


def test_the_model_itself_can_be_applied(finished, curves):
    run = astro_jax.load(finished)
    windows = from_arrays(curves)
    photometry = gather_windows(windows, consecutive_windows(windows.lengths, WINDOW), WINDOW)
    output = run.model.apply({"params": run.params}, {"photometry": photometry}, train=False)
    assert output["embedding"].shape == (*photometry["mask"].shape, WIDTH)
    assert output["reconstruction"].shape == photometry["mask"].shape


def test_one_vector_a_curve_is_the_mean_over_its_windows(finished):
    run = load(finished)
    curves = toy_curves(3, 70)  # windows of 32, 32, 6
    vectors = curve_vectors(run, curves, windows=0)
    # two layers, the evidence of 70 processes and 12 at each period, 4 periods, the logarithm
    assert vectors.shape == (3, 2 * 16 + 70 + 4 * 12 + 4 + 1)
    blocks = {"means": 32, "aperiodic": 70, "periodic": 48, "frequency": 4, "count": 1}
    assert [*vector_blocks(run).items()] == [*blocks.items()]
    assert np.isfinite(vectors).all()
    parts = [curve_vectors(run, [curves[0][a:b]]) for a, b in ((0, 32), (32, 64), (64, 70))]
    np.testing.assert_allclose(vectors[0], np.concatenate(parts).mean(0), atol=2e-5)
    np.testing.assert_allclose(vectors[:, -1], np.log([32, 32, 6]).mean(), rtol=1e-6)
    one = np.asarray(encode(run, [curves[0][:32]])[0]).mean(0)
    np.testing.assert_allclose(parts[0][0, 16:32], one, atol=1e-5)


def test_a_curve_without_a_finite_point_has_the_vector_zero(finished):
    curves = [toy_curves(1)[0], np.full((3, 2), np.nan)]
    assert not curve_vectors(load(finished), curves)[1].any()
