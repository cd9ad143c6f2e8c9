"""The job of pre-training: data, training, and the closing report."""

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from astro_jax.checks import check_training
from astro_jax.data.curves import Curves
from astro_jax.data.pipeline import WINDOWS, Feed, eval_batches, spread
from astro_jax.data.source import Parts, announce, load_parts
from astro_jax.data.windows import Windows, consecutive_windows
from astro_jax.errors import STOPPED
from astro_jax.evals.reconstruction import (
    linear_interpolation,
    mean_of_visible,
    model_predictor,
    rmse,
    rmse_interval,
    score,
)
from astro_jax.infer import encoder_of, reconstruct
from astro_jax.quantiles import keep_quantiles
from astro_jax.report import reconstruction_plot, text_table, training_plot
from astro_jax.report_run import REPORT, close_run
from astro_jax.shown import probed_errors, show_reconstruction
from astro_jax.summary import read_metrics
from astro_jax.supervised import encoder_of_init, few_parts, keep_facts, seen_stars
from astro_jax.train import assemble, passes, train
from astro_jax.weights import Run, load
from astro_jax.workdir import claim, clocked, locked, read_json, write_text


def run(config: ConfigDict, workdir: Path) -> int:
    """Pre-train; return the exit code: 0 done, 75 stopped by a signal with the state saved."""
    check_training(config)
    given, config = config, with_model(config)
    if config.dry_run:
        print(announce(config), flush=True)
        print(estimate(config, parts_of(config)))
        return 0
    with locked(workdir), clocked(workdir) as seconds:
        claim(workdir, json.loads(given.to_json()))
        print(announce(config), flush=True)
        if (workdir / "summary.json").exists():
            print(f"{workdir} is finished; nothing to train")
            print(describe(read_json(workdir / "summary.json"), workdir))
            return 0
        parts = parts_of(config)
        seen = seen_stars(config, *parts[:3])
        keep_facts(workdir, {"model": json.loads(config.model.to_json()), "seen": seen})
        print(parts.ledger.summary(), flush=True)
        parts.ledger.write(str(workdir / "quarantine.csv"))
        outcome = train(config, parts.train, parts.valid, workdir)
        if outcome.stopped:
            print(f"stopped at step {int(outcome.state.step)}; the same command goes on from there")
            return STOPPED
        finish(config, parts, workdir, seconds())
    return 0


def with_model(config: ConfigDict) -> ConfigDict:
    """Return the config with the model of `config.init` where it names none."""
    if config.model:
        return config
    full = ConfigDict(json.loads(config.to_json()))
    full.model = ConfigDict(encoder_of_init(config))
    return full


def parts_of(config: ConfigDict) -> Parts:
    """Return the curves by part; with `config.per_class`, those of a few-label fold."""
    return few_parts(config) if config.get("per_class", 0) else load_parts(config)


def finish(config: ConfigDict, parts: Parts, workdir: Path, seconds: float) -> None:
    """Evaluate the best step beside the plain predictors, draw, and write the summary.

    seconds: that reading and training took
    """
    trained = load(workdir)
    errors = {
        name: window_errors(trained, curves, config)
        for name, curves in (("valid", parts.valid), ("test", parts.test))
        if len(curves)
    }
    summary = {
        "best_step": trained.step,
        "epochs": passes(trained.step, config.batch_size, len(parts.train)),
        "seconds": round(seconds, 1),
        "curves": {name: len(getattr(parts, name)) for name in ("train", "valid", "test")},
        "rmse_hidden": over_parts(rmse, errors),
        "rmse_hidden_interval": over_parts(rmse_interval, errors),
    }
    shown = parts.test if len(parts.test) else parts.valid
    reconstruction_plot(
        workdir / "reconstruction.png",
        examples(trained, shown, config.seed),
        f"Reconstruction of hidden magnitudes, step {trained.step}",
    )
    lines = read_metrics(workdir / "metrics.jsonl")
    monitor = "rmse_hidden" if "rmse_hidden" in lines[-1] else config.monitor
    training_plot(workdir / "training.png", lines, workdir.name, monitor)
    keep_quantiles(workdir, parts.train, probed_errors(trained, parts.valid, config.seed))
    show = partial(show_reconstruction, trained, shown, config.seed)
    close_run(workdir, config, summary, describe(summary, workdir), show)
    write_text(workdir / "summary.json", json.dumps(summary, indent=1) + "\n")
    print(describe(summary, workdir))


def over_parts(
    function: Callable[[np.ndarray], Any], errors: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, dict[str, Any]]:
    """Return a function of the errors of each predictor on each part."""
    return {
        part: {name: function(error) for name, error in each.items()}
        for part, each in errors.items()
    }


def compare(trained: Run, curves: Curves, config: ConfigDict) -> dict[str, float]:
    """Return the RMSE at hidden points of the model, the mean and linear interpolation."""
    return {name: rmse(error) for name, error in window_errors(trained, curves, config).items()}


def window_errors(trained: Run, curves: Curves, config: ConfigDict) -> dict[str, np.ndarray]:
    """Return the mean square error of each window for each predictor, see `score`."""
    windows = spread(consecutive_windows(curves.lengths, config.window), config.eval_windows)
    batches = eval_batches(curves, windows, config.batch_size, config.window)
    predictors = {
        "model": model_predictor(trained.model.apply, trained.params),
        "mean of visible points": mean_of_visible,
        "linear interpolation": linear_interpolation,
    }
    if config.init:
        before = encoder_of(load(config.init))
        predictors["model before"] = model_predictor(before.model.apply, before.params)
    return score(predictors, batches, jax.random.key(config.seed))


def examples(trained: Run, curves: Curves, seed: int, count: int = 5) -> list[dict[str, Any]]:
    """Return a few windows with a third of the points hidden, from median to large scatter."""
    windows = consecutive_windows(curves.lengths, trained.config.window)
    long = np.flatnonzero(windows.size >= min(20, windows.size.max()))
    pieces = [_window(curves, windows, w) for w in long[:2000]]
    order = np.argsort([piece[:, 1].std() for piece in pieces])
    chosen = order[(np.linspace(0.5, 0.98, count) * (len(order) - 1)).astype(int)]
    return [
        _example(trained, pieces[k], _name(curves, windows.curve[long[k]]), seed)
        for k in dict.fromkeys(chosen.tolist())
    ]


def _window(curves: Curves, windows: Windows, w: int) -> np.ndarray:
    start = windows.start[w]
    return curves.curve(windows.curve[w])[start : start + windows.size[w]]


def _name(curves: Curves, k: int) -> str:
    row = curves.columns.slice(k, 1).to_pylist()[0]
    return " ".join(str(row[c]) for c in ("id", "band", "label") if row.get(c) is not None)


def _example(trained: Run, curve: np.ndarray, name: str, seed: int) -> dict[str, Any]:
    hidden = np.random.default_rng(seed).random(len(curve)) < 1 / 3
    predicted = reconstruct(trained, [curve], [hidden])[0]
    return {
        "name": name,
        "time": curve[:, 0],
        "mag": curve[:, 1],
        "hidden": hidden,
        "predicted": predicted,
    }


def estimate(config: ConfigDict, parts: Parts, feed: Feed = WINDOWS, params: Any = None) -> str:
    """Return parameters, FLOPs a step, memory and rate, from a compiled step; write nothing."""
    fed = ConfigDict({**config, "resident": "no"})
    system = assemble(fed, parts.train, params, feed)
    state = system.steps.place_state(system.fresh)
    batch = system.steps.place_batch(system.batches(0))
    lowered = system.steps.train.lower(state, batch, system.key).compile()
    memory = lowered.memory_analysis()
    parameters = sum(np.size(leaf) for leaf in jax.tree.leaves(system.fresh.params))
    seconds = _seconds_a_step(lowered, state, batch, system.key)
    held = sum(getattr(memory, f"{kind}_size_in_bytes", 0) for kind in ("argument", "temp"))
    return "\n".join(
        [
            f"parameters       {parameters:,}",
            f"curves           {len(parts.train):,} train, {len(parts.valid):,} valid, "
            f"{len(parts.test):,} test",
            f"FLOPs a step     {flops(config, parts.train, feed, params) / 1e9:.1f} GFLOP",
            f"memory a step    {held / 2**20:.0f} MiB",
            f"rate             {config.batch_size / seconds:.0f} windows/s, "
            f"{config.steps * seconds / 60:.1f} minutes for {config.steps} steps",
        ]
    )


def flops(config: ConfigDict, curves: Any, feed: Feed = WINDOWS, params: Any = None) -> float:
    """Return the FLOPs of a train step, as the compiler counts them with the batch in one piece."""
    whole = ConfigDict(config)
    whole.micro_batch, whole.mode, whole.resident = config.batch_size, "jit", "no"
    system = assemble(whole, curves, params, feed)
    lowered = system.steps.train.lower(system.fresh, system.batches(0), system.key)
    return float(lowered.cost_analysis()["flops"])


def _seconds_a_step(step: Any, state: Any, batch: Any, key: jax.Array) -> float:
    state, metrics = step(state, batch, key)
    jax.block_until_ready(metrics)
    start = time.perf_counter()
    for _ in range(2):
        state, metrics = step(state, batch, key)
    jax.block_until_ready(metrics)
    return (time.perf_counter() - start) / 2


def describe(summary: dict, workdir: Path) -> str:
    """Return the closing text of a run."""
    scores = summary["rmse_hidden"]
    names = next(iter(scores.values()))
    rows = [
        {"RMSE at hidden points (mag)": name, **{part: scores[part][name] for part in scores}}
        for name in names
    ]
    return (
        f"{text_table(rows)}\nbest step {summary['best_step']}; the report is "
        f"{workdir / REPORT}, metrics and checkpoints are beside it"
    )
