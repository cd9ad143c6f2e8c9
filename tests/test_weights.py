"""Loading and keeping trained parameters."""

import shutil
import zipfile

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save
from tiny import toy_curves

from astro_jax.checkpoint import latest_step
from astro_jax.errors import UserError
from astro_jax.evals.features import NAMES
from astro_jax.infer import encode
from astro_jax.models.astromer import Official
from astro_jax.models.classifier import Classifier, MlpAtt
from astro_jax.spec import build, spec
from astro_jax.tree import flatten
from astro_jax.weights import (
    Run,
    initial_params,
    load,
    load_safetensors,
    save_safetensors,
    shipped,
)

FEATURES = list(NAMES)
PHOTOMETRY = {
    "times": np.zeros((1, 4), np.float32),
    "values": np.zeros((1, 4, 2), np.float32),
    "mask": np.ones((1, 4), bool),
}


def assert_same_tree(ours, theirs):
    ours, theirs = flatten(ours), flatten(theirs)
    assert ours.keys() == theirs.keys() and len(ours) > 5
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def test_a_run_folder_best_and_last(finished):
    best, last = load(finished), load(str(finished), step="last")
    assert best.step == latest_step(finished / "checkpoints" / "best")
    assert last.step == 4 and best.config.window == 32
    assert type(best.model).__name__ == "Smoother"
    with pytest.raises(UserError, match="'best' or 'last'"):
        load(finished, step="first")


@pytest.mark.parametrize("name", ["bass", "nowhere/run", "x.zip"])
def test_an_unknown_name_is_an_error_that_names_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=name):
        load(name)


def test_a_suggestion_names_shipped_weights(monkeypatch):
    monkeypatch.setattr("astro_jax.weights.shipped", lambda: ["base"])
    with pytest.raises(UserError, match="did you mean 'base'"):
        load("bas")


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(UserError):
        load(tmp_path)


def test_every_shipped_weight_loads_and_encodes():
    if not shipped():
        pytest.skip("no weights under astro_jax/pretrained")
    for name in shipped():
        run = load(name)
        vectors = encode(run, toy_curves(2))
        assert np.isfinite(np.concatenate(vectors)).all()
        assert vectors[0].shape == (60, run.model.width)


@pytest.mark.parametrize("form", ["macho_a0.zip", "astromer_macho_a0.npz", "unpacked"])
def test_the_official_weights_in_every_form(shared, tmp_path, form):
    path = shared / "weights" / form
    if form == "unpacked":
        with zipfile.ZipFile(shared / "weights" / "macho_a0.zip") as archive:
            archive.extractall(tmp_path)
        path = next(p for p in (tmp_path, *tmp_path.rglob("*")) if (p / "weights.index").exists())
    run = load(path)
    assert isinstance(run.model, Official) and run.config.window == 200
    assert sum(np.size(x) for x in jax.tree.leaves(run.params)) == 661_505
    assert_same_tree(run.params, load(shared / "weights" / "macho_a0.zip").params)


def test_safetensors_keep_every_bit_and_the_config(finished, tmp_path):
    run = load(finished)
    save_safetensors(run, tmp_path / "base.safetensors")
    again = load_safetensors(tmp_path / "base.safetensors")
    assert_same_tree(again.params, run.params)
    assert again.step == run.step and again.model == run.model
    assert again.config.to_json() == run.config.to_json()
    np.testing.assert_array_equal(encode(again, toy_curves(1))[0], encode(run, toy_curves(1))[0])


def test_where_training_starts(finished):
    run = load(finished)
    config = ConfigDict({"seed": 0, "init": "", "model": run.config.model})
    batch, model = {"photometry": PHOTOMETRY}, build(config.model)
    drawn = initial_params(config, model, batch)
    assert_same_tree(drawn, initial_params(config, model, batch))
    assert not np.array_equal(drawn["embed"]["kernel"], run.params["embed"]["kernel"])
    assert_same_tree(initial_params(config, model, batch, run.params), run.params)
    config.init = str(finished)
    assert_same_tree(initial_params(config, model, batch), run.params)
    assert isinstance(Run(config, model, drawn, 0), tuple)


def damage(run, which):
    """Damage a copy of a run folder in one way."""
    best = run / "checkpoints" / "best"
    steps = [p for p in best.iterdir() if p.name.isdigit()]
    if which == "config.json":
        (run / which).write_text((run / which).read_text()[:50])
    elif which == "no config.json":
        (run / "config.json").unlink()
    elif which in ("[]", "{}"):
        (run / "config.json").write_text(which)
    elif which == "no checkpoints":
        shutil.rmtree(run / "checkpoints")
    elif which == "no parameters":
        for step in steps:
            shutil.rmtree(step / "params")
    else:
        for path in (p for step in steps for p in step.rglob("*") if p.is_file()):
            path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    "which,message",
    [
        ("config.json", "config.json cannot be read"),
        ("no config.json", "config.json cannot be read"),
        ("[]", "no JSON object but a list"),
        ("{}", "describes no model"),
        ("no checkpoints", "has no best checkpoint yet"),
        ("no parameters", "is damaged .*; try the other"),
        ("cut files", "is damaged .*; try the other"),
    ],
)
def test_a_damaged_run_folder_is_one_line(finished, tmp_path, which, message):
    shutil.copytree(finished, tmp_path / "run")
    damage(tmp_path / "run", which)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_a_file_of_parameters_loads_by_its_path(finished, tmp_path):
    run = load(finished)
    save_safetensors(run, tmp_path / "x.safetensors")
    again = load(tmp_path / "x.safetensors")
    assert_same_tree(again.params, run.params)
    assert again.step == run.step and again.model == run.model
    content = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(content[:-9])
    (tmp_path / "bare.safetensors").write_bytes(save({"a": np.zeros(2)}))
    for name in ("x", "bare", "nowhere"):
        with pytest.raises(UserError, match=f"{name}.safetensors"):
            load(tmp_path / f"{name}.safetensors")


# Models with a head


def start_of(init, head, **config):
    """Return where a model with a head on the encoder of `init` starts."""
    run = load(init)
    encoder = run.config.model.get("encoder", run.config.model)
    described = spec(Classifier, encoder=encoder, head=head)
    config = ConfigDict({"seed": 0, "init": str(init), "model": described, **config})
    batch = {"photometry": PHOTOMETRY, "features": np.zeros((1, len(FEATURES)), np.float32)}
    return initial_params(config, build(described), batch)


def test_a_head_starts_anew_on_the_encoder_of_a_run(finished, capsys):
    params = start_of(finished, spec(MlpAtt, classes=2, layers=(4,)))
    assert_same_tree(params["encoder"], load(finished).params)
    assert params["head"]["mlp"]["logits"]["kernel"].shape == (4, 2)
    assert capsys.readouterr().out == ""


def test_a_head_goes_on_where_it_stands_for_the_same(classified, capsys):
    run = load(classified)
    same = start_of(classified, run.config.model.head, classes=list(run.config.classes))
    assert_same_tree(same, run.params)
    assert capsys.readouterr().out == ""
    other = start_of(classified, run.config.model.head, classes=["x", "y", "z"])
    assert_same_tree(other["encoder"], run.params["encoder"])
    ours, theirs = (p["head"]["hidden"]["kernel"] for p in (other, run.params))
    assert ours.shape == theirs.shape and np.abs(ours - theirs).max() > 0
    assert "stands for other classes: it starts anew" in capsys.readouterr().out
    start_of(classified, spec(MlpAtt, classes=3, layers=(4,)), classes=["x", "y", "z"])
    assert "has other shapes" in capsys.readouterr().out


def test_the_encoder_of_a_classifier_is_a_start_without_its_head(classified):
    run = load(classified)
    config = ConfigDict({"seed": 0, "init": str(classified), "model": run.config.model.encoder})
    params = initial_params(config, build(config.model), {"photometry": PHOTOMETRY})
    assert_same_tree(params, run.params["encoder"])
