"""The scripts for newcomers run by the public names alone, and draw a picture."""

import ast
import subprocess
import sys

import pytest
from matplotlib.image import imread
from tiny import ROOT

import astro_jax

SCRIPTS = sorted((ROOT / "notebooks").glob("*.py"))


def name_of(path) -> str:
    return path.stem


def test_there_are_three():
    assert len(SCRIPTS) == 3


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_only_public_names_are_used(script):
    text = script.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]") and text.count("# %%") >= 8
    for node in ast.walk(ast.parse(text)):
        assert not (isinstance(node, ast.ImportFrom) and node.module.startswith("astro_jax"))
        inside = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if inside and node.value.id == "astro_jax":
            assert node.attr in astro_jax.__all__


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_runs_and_draws(script, compiled, tmp_path):
    env = compiled | {"MPLBACKEND": "Agg", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "%" in done.stdout or "accuracy" in done.stdout
    (picture,) = tmp_path.glob("*.png")
    pixels = imread(picture)[..., :3]
    assert picture.stem == script.stem and pixels.shape[1] > 1000 and pixels.std() > 0.05
