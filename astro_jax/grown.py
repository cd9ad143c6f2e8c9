"""A classifier whose head is grown, not trained: `models.forest.Forest` on a frozen encoder."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from astro_jax import checkpoint
from astro_jax.control import Control
from astro_jax.data.curves import Curves
from astro_jax.models.forest import Forest, grow
from astro_jax.spec import spec
from astro_jax.step import TrainState
from astro_jax.summary import Summary
from astro_jax.train import Outcome

FOREST = spec(Forest, classes=0).target


class Grown(NamedTuple):
    """A head that is ready: its spec and parameters, and the score of one grown without `valid`."""

    head: ConfigDict
    params: dict[str, np.ndarray]
    metrics: dict[str, float]


def is_forest(head: Any) -> bool:
    """Say whether the spec of a head is that of a `Forest`."""
    return head["target"] == FOREST


def grow_head(
    head: Any,
    train: Curves,
    valid: Curves,
    classes: int,
    seed: int,
    blocks: Mapping[str, int] | None = None,
) -> Grown:
    """Grow a forest on the labels of both parts; score one grown on `train` alone on `valid`.

    The curves carry `features`, `vector` and `label`; trees stop by nothing, so that no label need
    be held back from the head that is kept.  blocks: of the vectors; see `compression`.
    """
    trees = head["trees"]
    rows = [
        [part.arrays[name] for name in ("features", "vector", "label")] for part in (train, valid)
    ]
    sizes, params = grow(*rows[0], classes, seed, trees, blocks)
    output = Forest(**sizes).apply(
        {"params": params}, {}, {"features": rows[1][0], "vector": rows[1][1]}, None
    )
    logits, label = np.asarray(output["logits"]), rows[1][2]
    metrics = {
        "loss": float(-logits[np.arange(len(label)), label].mean()),
        "accuracy": float((logits.argmax(1) == label).mean()),
    }
    both = [np.concatenate(pair) for pair in zip(*rows, strict=True)]
    sizes, params = grow(*both, classes, seed, trees, blocks)
    return Grown(spec(Forest, **sizes), params, metrics)


def plant(grown: Grown, encoder: Any, workdir: Path) -> Outcome:
    """Keep a grown head with its encoder in a run folder, as training would: step 0 is the best."""
    with closing(Summary(workdir, 0, 0)) as summary:
        summary.write(0, "valid", grown.metrics)
    params = {"encoder": encoder.params, "head": grown.params}
    state = TrainState(np.zeros((), np.int32), params, {"none": np.zeros(1, np.float32)})
    control = Control(grown.metrics["loss"], 0, 0, 0)
    for which in ("best", "last"):
        checkpoint.save(workdir / "checkpoints" / which, state, control)
    return Outcome(state, control, False)
