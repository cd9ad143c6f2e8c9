"""Pictures and tables."""

import numpy as np
import pytest
from matplotlib.image import imread

from astro_jax.report import (
    calibration_plot,
    confusion_plot,
    line_plot,
    reconstruction_plot,
    text_table,
    training_plot,
)


def ink(path) -> float:
    return float((imread(path)[..., :3].min(axis=-1) < 0.9).mean())


def example(points: int) -> dict:
    rng = np.random.default_rng(0)
    hidden = rng.random(points) < 0.4
    mag = rng.normal(15, 1, points)
    predicted = np.where(hidden, mag, np.nan)
    return {
        "name": f"star {points}",
        "time": np.linspace(0, 100, points),
        "mag": mag,
        "hidden": hidden,
        "predicted": predicted,
    }


@pytest.mark.parametrize("count", [1, 3])
def test_reconstruction_plot_grows_with_its_examples(tmp_path, count):
    path = tmp_path / "new" / "plot.png"
    reconstruction_plot(path, [example(50)] * count, "title")
    assert ink(path) > 0.02
    blank = tmp_path / "blank.png"
    bare = {**example(50), "hidden": np.zeros(50, bool)}
    reconstruction_plot(blank, [bare] * count, "title")
    assert (imread(path)[..., :3] != imread(blank)[..., :3]).any()


def test_training_plot_shows_training_and_validation(tmp_path):
    def line(step, split):
        return {"step": step, "split": split, "rmse_hidden": 1 / (step + 1), "rmse_mean": 0.5}

    lines = [line(s, "train") for s in range(9)] + [line(s, "valid") for s in (3, 6, 9)]
    training_plot(tmp_path / "a.png", lines, "a")
    training_plot(tmp_path / "b.png", [v for v in lines if v["split"] == "train"], "a")
    assert ink(tmp_path / "a.png") > ink(tmp_path / "b.png") > 0.005


def test_text_table_is_aligned():
    rows = [{"name": "mean", "rmse": 0.5}, {"name": "linear interpolation", "rmse": 12.25}]
    assert text_table(rows).splitlines() == [
        "name                     rmse",
        "mean                   0.5000",
        "linear interpolation  12.2500",
    ]


@pytest.mark.parametrize("classes", [2, 14])
def test_confusion_plot_shows_every_cell(tmp_path, classes):
    rng = np.random.default_rng(0)
    confusion = rng.integers(1, 50, (classes, classes))
    names = [f"class {k}" for k in range(classes)]
    confusion_plot(tmp_path / "a.png", confusion, names, "title")
    confusion_plot(tmp_path / "b.png", np.diag(confusion.diagonal()), names, "title")
    assert ink(tmp_path / "a.png") > 0.02
    assert ink(tmp_path / "a.png") != ink(tmp_path / "b.png")


def test_names_are_no_formulas(tmp_path):
    confusion_plot(tmp_path / "a.png", np.eye(2, dtype=int), ["$^$", "$\\alpha$"], "$_$")
    assert ink(tmp_path / "a.png") > 0.02


def test_calibration_plot_leaves_out_empty_bins(tmp_path):
    full = (np.array([0.3, 0.7, 0.9]), np.array([0.5, 0.6, 0.9]), np.array([5, 20, 75]))
    calibration_plot(tmp_path / "a.png", {"model": full}, "title")
    with_empty = tuple(np.append(a, 0) for a in full)
    calibration_plot(tmp_path / "b.png", {"model": with_empty}, "title")
    calibration_plot(tmp_path / "c.png", {"model": full, "other": full}, "title")
    one, same, more = (imread(tmp_path / f"{n}.png") for n in "abc")
    np.testing.assert_array_equal(one, same)
    assert (one != more).any()


def test_line_plot_draws_intervals_and_single_points(tmp_path):
    lines = {
        "forest": [(100, 0.9, 0.88, 0.92), (20, 0.8, 0.7, 0.9)],
        "model": [(20, 0.85, 0.8, 0.9)],
    }
    line_plot(tmp_path / "a.png", lines, "labels a class", "macro-F1", "title")
    bare = {n: [(x, y, np.nan, np.nan) for x, y, *_ in p] for n, p in lines.items()}
    line_plot(tmp_path / "b.png", bare, "labels a class", "macro-F1", "title")
    assert ink(tmp_path / "a.png") > ink(tmp_path / "b.png") > 0.005
