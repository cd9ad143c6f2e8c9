"""What to cite for a run."""

import json
import re

import pytest
from ml_collections import ConfigDict
from tiny import ROOT

from astro_jax import cite
from astro_jax.main import main
from astro_jax.spec import resolve

CONFIG = f"--config={ROOT / 'configs' / 'cite.py'}"


def printed(capsys, name) -> str:
    assert main(["main", CONFIG, f"--config.init={name}"]) == 0
    return capsys.readouterr().out


def test_every_entry_is_whole():
    found = cite.entries()
    assert set(cite.ALWAYS).union(*cite.USED.values()) == set(found)
    for key, text in found.items():
        assert text.count("{") == text.count("}") and text.endswith("\n}"), key
        assert re.search(r"\n  year = {20\d\d},", text), key


def test_every_model_of_the_package_is_known():
    for target in cite.USED:
        module = target.partition(":")[0]
        assert resolve(target) if ":" in target else __import__(module)
    models = {f"astro_jax.models.{p.stem}" for p in (ROOT / "astro_jax" / "models").glob("[a-z]*")}
    assert models <= {target.partition(":")[0] for target in cite.USED}


def test_of_a_run_folder(finished, capsys):
    told = printed(capsys, finished)
    assert "@article{DonosoOliva2023," in told and "@misc{jax," in told
    assert "DonosoOliva2026" not in told and "Rizhko" not in told
    assert "% data: none are named" in told


def test_a_classifier_rests_on_its_encoder_and_its_head():
    encoder = {"target": "astro_jax.models.astromer:Astromer2"}
    head = {"target": "astro_jax.models.forest:Forest"}
    model = {"target": "astro_jax.models.classifier:Classifier", "encoder": encoder, "head": head}
    grown = ["Geurts2006", "Breiman2001", "Pedregosa2011", "Saerens2002"]
    papers = ["DonosoOliva2026", *grown, "DonosoOliva2023"]
    assert cite.cited(ConfigDict({"model": model})) == [*papers, *cite.ALWAYS]


def test_what_data_ask_for(shared, tmp_path):
    folder = shared / "data" / "variable_stars"
    config = ConfigDict({"data": {"path": str(folder / "crts.parquet")}})
    assert ["Drake et al. 2014" in line for line in cite.data_citations(config)] == [True]
    assert len(cite.data_citations(ConfigDict({"data": {"path": str(folder)}}))) == 11
    config = ConfigDict({"data": {"path": str(tmp_path / "gone.parquet")}})
    assert "ask their source" in cite.data_citations(config)[0]


@pytest.mark.parametrize("name,message", [("", "--config.init"), ("nowhere", "nowhere")])
def test_no_run(name, message, capsys):
    assert main(["main", CONFIG, f"--config.init={name}"]) == 1
    assert message in capsys.readouterr().err


def test_the_official_weights(shared, capsys):
    told = printed(capsys, shared / "weights" / "macho_a0.zip")
    assert "DonosoOliva2023" in told and json.dumps(told).count("@") == 3
