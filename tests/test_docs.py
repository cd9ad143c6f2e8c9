"""The files that docs/extend.md shows run as they stand."""

import json
import re
import sys

import numpy as np
import pytest
from tiny import ROOT, TINY
from tiny_objects import words as objects_words

from astro_jax.data.read import read_survey
from astro_jax.main import main
from astro_jax.summary import read_metrics

pytestmark = pytest.mark.usefixtures("hastily")
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder that has the files of the page, and the configs beside."""
    for text in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        name = re.match(r"# (\w+\.py):", text)[1]
        (tmp_path / name).write_text(text)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_objective", raising=False)
    return tmp_path


def test_a_survey(here):
    (here / "my_survey").mkdir()
    for k in range(3):
        rows = np.c_[50000.0 + np.arange(9) * 1.5, np.full(9, 17.0 + k), np.full(9, 0.1)]
        np.savetxt(here / "my_survey" / f"star_{k}.txt", rows)
    exec(compile((here / "my_survey.py").read_text(), "my_survey.py", "exec"), {})
    survey, ledger = read_survey("my_survey.parquet")
    assert survey.columns["id"].to_pylist() == ["star_0", "star_1", "star_2"]
    assert survey.curve(2)[:, 1].tolist() == [19.0] * 9 and not ledger.rows


def test_an_objective(here):
    words = [w for w in TINY if "objective" not in w and "monitor" not in w]
    few = [*words, "--config.steps=2", "--config.data.simulate.stars=20", "--workdir=run"]
    assert main(["main", "--config=my_pretraining.py", *few]) == 0
    lines = read_metrics(here / "run" / "metrics.jsonl")
    assert all(0 < line["loss"] < 10 for line in lines)
    config = json.loads((here / "run" / "config.json").read_text())
    assert config["objective"]["target"] == "my_objective:absolute"


def test_a_modality(here):
    small = objects_words("pretrain_astrom3:four")
    assert main(["main", "--config=my_modalities.py", *small, "--workdir=run"]) == 0
    lines = read_metrics(here / "run" / "metrics.jsonl")
    assert lines and all(np.isfinite(line["loss"]) for line in lines)
    config = json.loads((here / "run" / "config.json").read_text())
    assert "photometry_g" in config["model"]["towers"]


def test_every_link_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        for link in links:
            assert link.startswith("https://") or (page.parent / link).exists(), (page, link)
