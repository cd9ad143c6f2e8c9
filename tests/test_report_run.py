"""The report of a run: one file that holds all, that harms nobody, and that cannot lose a run."""

import hashlib
import json
import re
from base64 import b64decode

import numpy as np
import pytest
from tiny import PRETRAIN, TINY, config_of, toy_curves

from astro_jax import checkpoint, report_run
from astro_jax.data.curves import from_arrays
from astro_jax.main import main
from astro_jax.report_html import (
    MOST_POINTS,
    Axes,
    Map,
    Plot,
    estimate,
    map_html,
    number,
    plot_svg,
    table,
    thin,
    write_page,
)
from astro_jax.report_run import close_run, data_hashes, score_tables
from astro_jax.shown import confidently_wrong, map_of, probe_windows, sample
from astro_jax.weights import load
from astro_jax.workdir import read_json

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&</script>"
AXES = Axes("x", "y <b>")


def plot(k: int, points: int = 30) -> Plot:
    rng = np.random.default_rng(k)
    return Plot(f"{k} {EVIL}", EVIL, rng.normal(size=points), rng.normal(size=points))


def map_data(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page)[1])


# What a run leaves


@pytest.mark.parametrize("name", ["finished", "classified", "transferred"])
def test_a_run_ends_with_a_report(request, name, capsys):
    workdir = request.getfixturevalue(name)
    page = (workdir / "report.html").read_text()
    summary = read_json(workdir / "summary.json")
    for heading in ("Scores", "Pictures", "Map of embeddings", "Config", "Versions", "Hashes"):
        assert f">{heading}" in page
    assert "://" not in page and len(page) < 3e6
    params, step = checkpoint.load_params(workdir, "best")
    assert checkpoint.digest(params) in page and f"best (step {step})" in page
    images = re.findall(r"data:image/png;base64,([^\"]+)", page)
    drawn = {path.read_bytes() for path in workdir.glob("*.png")}
    assert {b64decode(image) for image in images} == drawn and len(drawn) >= 2
    curves = map_data(page)["curves"]
    assert len(curves) == page.count("data-i=") >= 2
    assert all(len(c["x"]) == len(c["y"]) <= MOST_POINTS for c in curves)
    scores = summary.get("model") or summary["rmse_hidden_interval"]["test"]
    low, high = (
        scores["macro_f1_interval"] if "macro_f1_interval" in scores
        else scores["macro_auroc_interval"] if "macro_auroc_interval" in scores
        else scores["model"]
    )  # fmt: skip
    assert f"{number(low)} to {number(high)}" in page


def test_the_closing_line_names_it(finished, capsys):
    words = [PRETRAIN, *TINY, f"--workdir={finished}"]
    assert main(["main", *words]) == 0
    assert str(finished / "report.html") in capsys.readouterr().out


def test_intervals_hold_the_value(finished):
    summary = read_json(finished / "summary.json")
    for part, scores in summary["rmse_hidden"].items():
        for name, value in scores.items():
            low, high = summary["rmse_hidden_interval"][part][name]
            assert low <= value <= high


def test_worst_reconstructions_are_the_worst(finished):
    trained = load(finished)
    curves = from_arrays(toy_curves(6, 40))
    found = probe_windows(trained, curves, seed=0)
    assert len(found) == 12 and {p.curve for p in found} == set(range(6))
    for p in found:
        assert np.isfinite(p.predicted[p.hidden]).all() and np.isnan(p.predicted[~p.hidden]).all()
        error = p.predicted[p.hidden] - p.mag[p.hidden]
        assert p.rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
        assert p.hidden.sum() == max(len(p.mag) // 3, 1)


def test_a_report_that_fails_loses_no_run(tmp_path, capsys, monkeypatch):
    def broken():
        raise ValueError("no <light>")

    config, result = config_of("pretrain_macho"), {"seconds": 1.0}
    close_run(tmp_path, config, result, "text", broken)
    assert "lacks its map and worst objects: ValueError" in capsys.readouterr().out
    assert (
        "could not be made: ValueError: no &lt;light&gt;" in (tmp_path / "report.html").read_text()
    )
    (tmp_path / "report.html").unlink()
    (tmp_path / "config.json").write_text("{")
    close_run(tmp_path, config, result, "text")
    told = capsys.readouterr().out
    assert "no report.html: UserError" in told and "the run itself is whole" in told
    assert not (tmp_path / "report.html").exists()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    (tmp_path / "config.json").unlink()
    monkeypatch.setattr(report_run, "write_page", full)
    with pytest.raises(OSError, match="No space left"):
        close_run(tmp_path, config, result, "text")


def test_hashes_of_the_data(tmp_path):
    config = config_of("pretrain_macho")
    (tmp_path / "a.csv").write_bytes(b"some")
    config.data.path = str(tmp_path)
    assert data_hashes(config) == {str(tmp_path / "a.csv"): hashlib.sha256(b"some").hexdigest()}
    config.data.path = str(tmp_path / "gone")
    assert "no such file" in next(iter(data_hashes(config).values()))
    config.data.path = ""
    assert "simulated" in data_hashes(config)["data"]


# The page


def test_what_comes_from_data_is_escaped(tmp_path):
    points = np.random.default_rng(0).normal(size=(4, 2))
    shown = Map(points, [EVIL, "b", "b", EVIL], [plot(k) for k in range(4)], AXES, EVIL)
    content = map_html(shown) + plot_svg(plot(1), AXES)
    content += table([{EVIL: EVIL, "n": 1.0}], EVIL)
    write_page(tmp_path / "x.html", EVIL, [(EVIL, content)], EVIL)
    page = (tmp_path / "x.html").read_text()
    assert "alert(1)" in page and EVIL not in page
    assert re.findall(r"<script[^>]*>", page) == ['<script type="application/json">', "<script>"]
    assert not re.search(r"<img[^>]*onerror", page)
    assert map_data(page)["curves"][2]["name"] == f"2 {EVIL}"
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0]
    digest = re.search(r"script-src 'sha256-([^']+)'", page)[1]
    assert b64decode(digest) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in page


def test_tables_show_intervals_and_what_is_missing():
    told = score_tables({"model": {"f1": 0.5, "f1_interval": [0.4, 0.6], "objects": 1200}})
    assert "0.5000 <small>0.4000 to 0.6000</small>" in told[0] and "1,200" in told[0]
    deep = {"curves": {"transfer": {"8": {"median": 0.25}}, "direct": {"8": {"median": 0.75}}}}
    (told,) = score_tables(deep)
    assert "transfer, 8" in told and "direct, 8" in told and "0.7500" in told
    assert estimate(0.5, [None, 1.0]) == "0.5000" and number(float("nan")) == "-"
    assert "250 rows in all" in table([{"a": k} for k in range(250)])


def test_a_plot_leaves_out_what_is_not_finite():
    x = np.arange(300.0)
    y = np.where(x % 3, x, np.nan)
    few = thin(Plot("a", "", x, y, (x > 100).astype(int)))
    assert len(few.x) == MOST_POINTS and np.isfinite(few.y).all() and len(few.group) == len(few.x)
    assert plot_svg(Plot("a", "", x, y), AXES).count("h0") == MOST_POINTS
    assert "h0" not in plot_svg(Plot("a", "", x[:0], y[:0]), AXES)
    assert plot_svg(Plot("a", "", x[:1], x[:1]), AXES).count("h0") == 1


def test_magnitudes_grow_downwards():
    bright = Plot("a", "", np.array([0.0, 1.0]), np.array([10.0, 20.0]))
    up, down = (
        [
            float(b)
            for b in re.findall(r"M[\d.]+ ([\d.]+)h0", plot_svg(bright, AXES._replace(down=d)))
        ]
        for d in (False, True)
    )
    assert up[0] > up[1] and down[0] < down[1]


def test_the_map_is_of_principal_components():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(40, 3)) * [10, 3, 0.1], [[np.nan] * 3]])
    plots = [plot(k) for k in range(41)]
    found = map_of(vectors, ["a"] * 41, plots, AXES, "v")
    assert found.points.shape == (40, 2) and len(found.plots) == 40 and "40 objects" in found.told
    assert abs(np.corrcoef(found.points[:, 0], vectors[:40, 0])[0, 1]) > 0.99
    assert map_of(vectors[:1], ["a"], plots[:1], AXES, "v") is None
    alike = map_of(np.ones((5, 1)), ["a"] * 5, plots[:5], AXES, "v")
    assert (alike.points == 0).all() and "M-4" in map_html(alike)


def test_the_most_confident_errors_come_first():
    import pyarrow as pa

    columns = {"prediction": ["a", "b", "b", None], "label": ["b", "b", "a", "a"]}
    probabilities = {"prob_a": [0.6, 0.1, 0.2, np.nan], "prob_b": [0.4, 0.9, 0.8, np.nan]}
    assert confidently_wrong(pa.table({**columns, **probabilities})) == [2, 0]


def test_a_sample_is_in_order_and_repeats():
    assert sample(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    few = sample(100, 9, 1)
    assert len(set(few.tolist())) == 9 and (np.diff(few) > 0).all()
    assert (few == sample(100, 9, 1)).all() and (few != sample(100, 9, 2)).any()
