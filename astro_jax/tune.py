"""The job that searches hyper-parameters by Optuna: one training a trial, on validation loss."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from astro_jax.errors import STOPPED, UserError
from astro_jax.report import search_plot, text_table
from astro_jax.report_run import close_run
from astro_jax.spec import resolve
from astro_jax.summary import read_metrics
from astro_jax.workdir import claim, locked, write_text

Trial = dict[str, Any]  # {"params": {key of the config: value}, "value": loss or None, "folder"}


def run(config: ConfigDict, workdir: Path) -> int:
    """Train `config.trials` times; return the exit code: 0 done, 75 stopped with the state saved.

    A trial follows from `config.seed` and the trials before it, so that a search that is started
    again goes on as if it had never stopped.  Leaves trials.jsonl, best.json (the keys to set),
    summary.json, and report.html, where each trial has one of its own in its folder; a trial whose
    loss is not finite counts as failed.
    """
    sampled((), [], config)  # the extra, and the limits, before any training
    with locked(workdir):
        claim(workdir, json.loads(config.to_json()))
        trials = read_metrics(workdir / "trials.jsonl")
        while len(trials) < config.trials:
            told = sampled(config.space, trials, config)
            print(f"trial {len(trials)}: {json.dumps(told)}", flush=True)
            trial = one_trial(config, told, workdir / f"trial_{len(trials):03d}")
            if trial is None:
                return STOPPED
            trials.append(trial)
            write_text(workdir / "trials.jsonl", "".join(json.dumps(t) + "\n" for t in trials))
        best = best_trial(trials)
        write_text(workdir / "best.json", json.dumps(best["params"], indent=1) + "\n")
        result = {"trials": len(trials), "best": best}
        write_text(workdir / "summary.json", json.dumps(result, indent=1) + "\n")
        print(describe(trials))
        report(workdir, config, trials)
    return 0


def report(workdir: Path, config: ConfigDict, trials: Sequence[Trial]) -> None:
    """Write search.png and report.html."""
    good = ranked(trials)
    values = {key: [trial["params"][key] for trial in good] for key in good[0]["params"]}
    logs = [key for key, *_, scale in config.space if scale == "log"]
    search_plot(workdir / "search.png", values, [trial["value"] for trial in good], logs)
    rows = {trial["folder"]: {"loss": trial["value"], **trial["params"]} for trial in good}
    result = {"best": good[0]["folder"], "failed": len(trials) - len(good), "trials": rows}
    close_run(workdir, config, result, describe(trials))


def sampled(
    space: Sequence[Sequence], trials: Sequence[Trial], config: ConfigDict
) -> dict[str, float]:
    """Return the next values to try, {key: value}, by the tree-structured Parzen estimator.

    space: (key, low, high, "log" or "linear"), ...; trials: those before, in order
    Raises UserError without Optuna, or for limits that cannot be.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("a search needs Optuna: pip install -e '.[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kinds = {}
    for key, low, high, scale in space:
        if scale not in ("log", "linear") or not low < high or (scale == "log" and low <= 0):
            raise UserError(
                f"config.space: {key} from {low} to {high}, {scale}: give low < high, and log or "
                "linear; a log scale begins above 0"
            )
        kinds[key] = optuna.distributions.FloatDistribution(low, high, log=scale == "log")
    # a sampler of its own for each trial: its choice must not hang on how often we were stopped
    sampler = optuna.samplers.TPESampler(seed=config.seed + len(trials))
    study = optuna.create_study(direction="minimize", sampler=sampler)
    state = optuna.trial.TrialState
    for trial in trials:
        failed = trial["value"] is None
        study.add_trial(
            optuna.trial.create_trial(
                params=trial["params"],
                distributions=kinds,
                value=None if failed else trial["value"],
                state=state.FAIL if failed else state.COMPLETE,
            )
        )
    return dict(study.ask(kinds).params)


def one_trial(config: ConfigDict, told: dict[str, float], folder: Path) -> Trial | None:
    """Train with the values `told`; return the trial, or None where it was stopped."""
    fit = ConfigDict(json.loads(config.fit.to_json()))
    fit.update({"data": config.data, "seed": config.seed, "init": config.init})
    for key, value in told.items():
        put(fit, key, value)
    trial = {"params": told, "value": None, "folder": folder.name}
    try:
        if resolve(fit.job)(fit, folder):
            return None
    except UserError as error:
        if "not finite" not in str(error):
            raise
        return trial
    losses = [m[fit.monitor] for m in read_metrics(folder / "metrics.jsonl")
              if m["split"] == "valid" and math.isfinite(m[fit.monitor])]  # fmt: skip
    return {**trial, "value": min(losses) if losses else None}


def put(config: ConfigDict, key: str, value: float) -> None:
    """Set the value at "a.b.c"; UserError where the config has no such key."""
    *path, last = key.split(".")
    place = config
    for name in path:
        place = place.get(name, {})
    if last not in place:
        raise UserError(f"config.space: '{key}' is no key of config.fit")
    place[last] = value


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the lowest validation loss; UserError where all failed."""
    if not (found := ranked(trials)):
        raise UserError(f"all {len(trials)} trials failed: their loss was not finite")
    return found[0]


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that did not fail, the lowest loss first."""
    good = [trial for trial in trials if trial["value"] is not None]
    return sorted(good, key=lambda trial: trial["value"])


def describe(trials: Sequence[Trial]) -> str:
    """Return the best five trials as a table."""
    good = ranked(trials)
    rows = [
        {"trial": t["folder"], "loss": f"{t['value']:.4f}", **{k.rpartition(".")[2]: f"{v:.3g}"
         for k, v in t["params"].items()}}
        for t in good[:5]
    ]  # fmt: skip
    return f"{text_table(rows)}\n{len(trials)} trials, {len(trials) - len(good)} failed"
