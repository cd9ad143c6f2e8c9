"""Our forest on arrays, all forests of an experiment by one compiled program."""

from collections.abc import Mapping

import numpy as np

from astro_jax.models.forest import TREES, Forest, grow

NODES = 1024  # leaves of at least 0.002 of the weight: 999 nodes at most
DEPTH = 64


def forest(
    known: tuple[np.ndarray, np.ndarray],
    codes: np.ndarray,
    asked: tuple[np.ndarray, np.ndarray],
    classes: int,
    seed: int,
    trees: int = TREES,
    blocks: Mapping[str, int] | None = None,
) -> np.ndarray:
    """Return the logits [Q, C] of rows `asked` by a forest grown on rows `known`.

    known, asked: features [M, F] and vectors [M, V]; codes: class numbers of the known rows [M];
    blocks: of the vectors, see `models.forest.compression`
    """
    sizes, params = grow(*known, codes, classes, seed, trees, blocks)
    if sizes["depth"] > DEPTH:
        raise ValueError(f"a tree of depth {sizes['depth']}")
    sizes |= {"nodes": NODES, "depth": DEPTH}
    given = {"features": asked[0], "vector": asked[1]}
    return np.asarray(Forest(**sizes).apply({"params": padded(params)}, {}, given, None)["logits"])


def padded(params: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return trees with nodes that nothing leads to, so that all have the same shape."""
    more = NODES - params["feature"].shape[1]
    trees = ("feature", "threshold", "left", "right", "share")
    width = {name: ((0, 0), (0, more)) + ((0, 0),) * (params[name].ndim - 2) for name in trees}
    return {**params, **{name: np.pad(params[name], w) for name, w in width.items()}}
