"""The job of contrastive learning over several modalities: one space for all of them."""

from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from astro_jax.classify import run_task
from astro_jax.data.multimodal_batches import OBJECTS
from astro_jax.evals.retrieval import centroid_accuracy, matching, nearest_accuracy
from astro_jax.multimodal_infer import encode_all
from astro_jax.multimodal_task import check_epochs, class_codes, space_task
from astro_jax.report import text_table
from astro_jax.report_run import REPORT
from astro_jax.shown import show_objects
from astro_jax.supervised import Task
from astro_jax.train import Outcome
from astro_jax.weights import load


def run(config: ConfigDict, workdir: Path) -> int:
    """Train one space; return the exit code: 0 done, 75 stopped with the state saved."""
    return run_task(
        config, workdir, space_task, finish, describe, OBJECTS, check_epochs, show=show_objects
    )


def finish(config: ConfigDict, task: Task, outcome: Outcome, workdir: Path) -> dict[str, Any]:
    """Return how well the best step matches modalities of test objects, and classes without labels.

    Classes by the nearest centroid and the nearest neighbour of the training objects, as in the
    authors' own evaluation of the frozen space.
    """
    trained = load(workdir)
    shown = task.test if len(task.test) else task.valid
    vectors = {"train": encode_all(trained, task.train), "test": encode_all(trained, shown)}
    result = {
        "best_step": trained.step,
        "epochs": round(trained.step / task.facts["changes"]["eval_every"], 2),
        "matching": matching(vectors["test"]),
    }
    classes, codes = class_codes(task.train, shown)
    for name in vectors["test"] if classes else ():
        pair = (vectors["train"][name], codes[0], vectors["test"][name], codes[1])
        result.setdefault("frozen", {})[name] = {
            "centroid": centroid_accuracy(*pair, len(classes)),
            "nearest": nearest_accuracy(*pair),
        }
    return result


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
            f"{result['best_step']}; the report is {workdir / REPORT}",
        ]
    )
