"""The search of hyper-parameters: what is tried next, trials, and going on after a stop."""

import builtins
import json

import pytest
from ml_collections import ConfigDict
from tiny import ROOT, config_of
from tiny_objects import words

from astro_jax.errors import UserError
from astro_jax.main import main
from astro_jax.summary import read_metrics
from astro_jax.tune import best_trial, put, sampled

pytestmark = pytest.mark.usefixtures("hastily")
SPACE = (("rate", 1e-5, 1e-2, "log"), ("b1", 0.7, 0.99, "linear"))
TUNE = f"--config={ROOT}/configs/tune_astrom3.py:meta"
SMALL = words("tune_astrom3:meta")


def pretend(count):
    """Return trials whose loss is lowest near a rate of 1e-3."""
    import math

    trials = []
    for _ in range(count):
        told = sampled(SPACE, trials, ConfigDict({"seed": 1}))
        value = (math.log10(told["rate"]) + 3) ** 2 + (told["b1"] - 0.9) ** 2
        trials.append({"params": told, "value": value, "folder": ""})
    return trials


def test_a_trial_follows_from_the_seed_and_those_before():
    pytest.importorskip("optuna")
    trials = pretend(4)
    config = ConfigDict({"seed": 1})
    assert sampled(SPACE, trials[:3], config) == trials[3]["params"]
    assert sampled(SPACE, trials[:3], ConfigDict({"seed": 2})) != trials[3]["params"]
    for trial in trials:
        assert 1e-5 <= trial["params"]["rate"] <= 1e-2 and 0.7 <= trial["params"]["b1"] <= 0.99


def test_it_learns_where_the_loss_is_low():
    pytest.importorskip("optuna")
    trials = pretend(40)
    losses = [trial["value"] for trial in trials]
    assert sum(losses[25:]) / 15 < 0.5 * sum(losses[:10]) / 10  # the first ten are random


def test_a_failed_trial_is_told_to_the_sampler_and_never_the_best():
    pytest.importorskip("optuna")
    trials = [{"params": {"rate": 1e-3, "b1": 0.8}, "value": None, "folder": ""}]
    assert sampled(SPACE, trials, ConfigDict({"seed": 1}))
    with pytest.raises(UserError, match="all 1 trials failed"):
        best_trial(trials)
    assert best_trial([*trials, {**trials[0], "value": 2.0}])["value"] == 2.0


@pytest.mark.parametrize("limits", [(0.0, 1.0, "log"), (2.0, 1.0, "linear"), (0.0, 1.0, "cubic")])
def test_limits_that_cannot_be_are_refused(limits):
    pytest.importorskip("optuna")
    with pytest.raises(UserError, match="give low < high"):
        sampled([("x", *limits)], [], ConfigDict({"seed": 0}))


def test_keys_of_every_variant_are_there():
    for variant in ("clip", "photo", "spectra_sub10", "meta_clip", "all_sub25_clip"):
        config = config_of(f"tune_astrom3:{variant}")
        for key, *_ in config.space:
            put(config.fit, key, 0.05)
        assert config.fit.to_json().count("0.05") >= len(config.space)
    with pytest.raises(UserError, match="'model.none' is no key"):
        put(config.fit, "model.none", 0.1)


def test_a_search_goes_on_where_it_stopped(tmp_path, capsys):
    pytest.importorskip("optuna")
    line = ["main", TUNE, *SMALL, f"--workdir={tmp_path}"]
    assert main([*line, "--config.trials=2"]) == 0
    trials = read_metrics(tmp_path / "trials.jsonl")
    (tmp_path / "trials.jsonl").write_text(json.dumps(trials[0]) + "\n")
    (tmp_path / "summary.json").unlink()
    assert main([*line, "--config.trials=2"]) == 0
    assert read_metrics(tmp_path / "trials.jsonl") == trials
    rates = [t["params"]["optimizer.schedule.rate"] for t in trials]
    configs = [json.loads((tmp_path / t["folder"] / "config.json").read_text()) for t in trials]
    assert [c["optimizer"]["schedule"]["rate"] for c in configs] == rates
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == min(trials, key=lambda t: t["value"])["params"]
    assert "2 trials, 0 failed" in capsys.readouterr().out
    report = (tmp_path / "report.html").read_text()
    assert all(t["folder"] in report for t in trials) and "Loss by what was tried" in report


def test_without_optuna_the_extra_is_named(monkeypatch, tmp_path, capsys):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert main(["main", TUNE, *SMALL, f"--workdir={tmp_path / 'x'}"]) == 1
    assert ".[tune]" in capsys.readouterr().err and not (tmp_path / "x").exists()
