"""The job of contrastive learning over several modalities: one space for all of them."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from astro_jax.checks import check_training
from astro_jax.data.labels import codes_of
from astro_jax.data.multimodal import Objects
from astro_jax.data.multimodal_batches import OBJECTS
from astro_jax.errors import STOPPED
from astro_jax.evals.retrieval import centroid_accuracy, matching, nearest_accuracy
from astro_jax.multimodal_infer import encode_all
from astro_jax.multimodal_source import ObjectParts, announce, load_parts
from astro_jax.multimodal_task import common_facts, resolve_pieces, resolve_steps
from astro_jax.report import text_table, training_plot
from astro_jax.summary import read_metrics
from astro_jax.supervised import keep_facts
from astro_jax.train import train
from astro_jax.weights import Run, load
from astro_jax.workdir import claim, locked, read_json, write_text


def run(config: ConfigDict, workdir: Path) -> int:
    """Train one space; return the exit code: 0 done, 75 stopped with the state saved."""
    if config.dry_run:
        print(announce(config), flush=True)
        parts = load_parts(config)
        full = resolve_pieces(resolve_steps(config, len(parts.train)))
        print(f"{len(parts.train):,} objects to train on, {full.steps} steps of {full.batch_size}")
        return 0
    with locked(workdir):
        claim(workdir, json.loads(config.to_json()))
        print(announce(config), flush=True)
        if (workdir / "summary.json").exists():
            print(f"{workdir} is finished; nothing to train")
            print(describe(read_json(workdir / "summary.json"), workdir))
            return 0
        parts = load_parts(config)
        print(parts.ledger.summary(), flush=True)
        parts.ledger.write(str(workdir / "quarantine.csv"))
        facts = {**common_facts(config, parts), "model": json.loads(config.model.to_json())}
        keep_facts(workdir, facts)
        full = resolve_pieces(resolve_steps(config, len(parts.train)))
        full.rows = ConfigDict(facts["rows"])
        check_training(full)
        start = time.perf_counter()
        outcome = train(full, parts.train, parts.valid, workdir, feed=OBJECTS)
        if outcome.stopped:
            print(f"stopped at step {int(outcome.state.step)}; the same command goes on from there")
            return STOPPED
        result = finish(parts, load(workdir), full, round(time.perf_counter() - start, 1))
        training_plot(
            workdir / "training.png", read_metrics(workdir / "metrics.jsonl"), workdir.name, "loss"
        )
        write_text(workdir / "summary.json", json.dumps(result, indent=1) + "\n")
        print(describe(result, workdir))
    return 0


def finish(parts: ObjectParts, trained: Run, config: ConfigDict, seconds: float) -> dict[str, Any]:
    """Return how well the best step matches modalities of test objects, and classes without labels.

    Classes by the nearest centroid and the nearest neighbour of the training objects, as in the
    authors' own evaluation of the frozen space.
    """
    shown = parts.test if len(parts.test) else parts.valid
    vectors = {"train": encode_all(trained, parts.train), "test": encode_all(trained, shown)}
    result = {
        "best_step": trained.step,
        "epochs": round(trained.step / max(config.eval_every, 1), 2),
        "seconds": seconds,
        "objects": {name: len(getattr(parts, name)) for name in ("train", "valid", "test")},
        "matching": matching(vectors["test"]),
    }
    if "label" not in parts.train.columns.column_names:
        return result
    classes, codes = _codes(parts.train, shown)
    for name in vectors["test"]:
        pair = (vectors["train"][name], codes[0], vectors["test"][name], codes[1])
        result.setdefault("frozen", {})[name] = {
            "centroid": centroid_accuracy(*pair, len(classes)),
            "nearest": nearest_accuracy(*pair),
        }
    return result


def _codes(train: Objects, test: Objects) -> tuple[list[str], list[np.ndarray]]:
    texts = [[str(t) for t in part.columns["label"].to_pylist()] for part in (train, test)]
    classes = sorted(set(texts[0]))
    return classes, [codes_of(part, classes) for part in texts]


def describe(result: dict, workdir: Path) -> str:
    """Return the closing text of a run."""
    pairs = [
        {"query": name.split(" ")[0], "finds": name.split(" ")[-1], **values}
        for name, values in result["matching"].items()
    ]
    frozen = [{"modality": n, **values} for n, values in result.get("frozen", {}).items()]
    tables = [text_table(rows) for rows in (pairs, frozen) if rows]
    objects = result["objects"]
    return "\n".join(
        [
            *tables,
            f"{objects['train']} objects to train, {objects['test']} to test; best step "
            f"{result['best_step']}; pictures, metrics and checkpoints are in {workdir}",
        ]
    )
