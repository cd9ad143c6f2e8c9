"""The closing report of pre-training."""

import numpy as np
import pytest
from tiny import toy_curves

import astro_jax
from astro_jax.data.curves import from_arrays
from astro_jax.pretrain import compare, describe, examples
from astro_jax.workdir import read_json


@pytest.fixture(scope="module")
def trained(finished):
    return astro_jax.load(finished)


def test_examples_go_from_median_to_large_scatter(trained):
    curves = toy_curves(30, 40)
    survey = from_arrays(curves, ids=[f"s{k}" for k in range(30)], band=["R"] * 30)
    shown = examples(trained, survey, seed=0)
    spreads = [e["mag"].std() for e in shown]
    assert len(shown) == 5 and spreads == sorted(spreads)
    assert spreads[-1] > np.median([c[:, 1].std() for c in curves])
    for e in shown:
        assert e["name"].startswith("s") and e["name"].endswith("R")
        assert 0 < e["hidden"].sum() < len(e["mag"])
        assert (np.isfinite(e["predicted"]) == e["hidden"]).all()


@pytest.mark.parametrize("points", [2, 5])
def test_examples_of_few_and_short_curves(trained, points):
    shown = examples(trained, from_arrays(toy_curves(2, points)), seed=0)
    assert 1 <= len(shown) <= 2 and len(shown[0]["time"]) == points


def test_compare_asks_all_predictors_about_the_same_points(trained):
    smooth = from_arrays(toy_curves(12, 60))
    scores = compare(trained, smooth, trained.config)
    assert scores["linear interpolation"] < 0.7 * scores["mean of visible points"]
    assert scores == compare(trained, smooth, trained.config)


def test_the_closing_text_has_a_row_a_predictor(tmp_path):
    scores = {"model": 0.1, "mean of visible points": 0.2}
    summary = {"best_step": 7, "rmse_hidden": {"valid": scores, "test": scores}}
    lines = describe(summary, tmp_path).splitlines()
    assert lines[0].split()[-2:] == ["valid", "test"]
    assert lines[1].split() == ["model", "0.1000", "0.1000"]
    assert "best step 7" in lines[-1] and str(tmp_path) in lines[-1]


def test_the_summary_says_how_long_training_took(finished):
    summary = read_json(finished / "summary.json")
    begin, end = read_json(finished / "clock.json")["starts"][0]
    assert 0 < summary["seconds"] <= end - begin + 0.1
    assert summary["epochs"] == pytest.approx(
        summary["best_step"] * 8 / summary["curves"]["train"], abs=0.01
    )
