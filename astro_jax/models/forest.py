"""Our recommended classifier for few labels: random trees on hand-made features and embeddings.

scikit-learn grows the trees; what has grown is kept as plain arrays in the parameters, so that a
prediction is a pure function of JAX, and a file of weights needs no pickle.  Half of the trees are
extremely randomised (Geurts, Ernst and Wehenkel 2006), half those of a random forest (Breiman
2001): neither kind is better on all of five surveys, and both are above networks on the same
inputs (`experiments/classify`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.errors import UserError
from astro_jax.models.astromer import Record

SHARE = 0.3  # of the inputs that a split chooses from; see evals.baselines
LEAF = 0.002  # of the class-balanced weight, smallest leaf; see evals.baselines
TREES = 400
# Principal components, of unit variance, of the vectors' blocks (`models.astromer.summary`), or of
# vectors without blocks.  One basis for all would be filled by the evidences of 48 periodic
# processes, which say much the same; frequency and count have no components, but stay as they are.
COMPONENTS = {"": 24, "means": 24, "aperiodic": 6, "periodic": 6}
ARRAYS = ("features", "vector")
TINY = 1e-6  # probability of a class that no tree votes for
TEMPER = 0.3  # of the logarithm of a class's share in the survey, see `survey_shift`


class Forest(nn.Module):
    """A head that reads `features` [B, F] and `vector` [B, V] of a curve, and no window of it.

    The parameters are made by `grow`; those of `init` have its shapes and know nothing.  The
    vector is standardised and projected onto `components` [K, V]; split i of tree t sends a row to
    `left` where input `feature[t, i]` is at most `threshold[t, i]`, else to `right`; a leaf is its
    own child.  Returns the logarithm of the mean of `share` [T, nodes, N] over the trees, plus
    `shift` [N]: how common the classes are, see `survey_shift`.
    """

    classes: int
    features: int
    vector: int
    trees: int = TREES
    nodes: int = 1
    depth: int = 0
    components: int = COMPONENTS[""]

    @nn.compact
    def __call__(self, photometry: Any, encoded: Record, keys: Array | None) -> dict[str, Array]:
        """Classify by features and vector; see the class."""
        for name in ARRAYS:
            if name not in encoded:
                raise UserError(f"the head Forest needs `inputs` with {name}; see data.inputs")
        params = own_params(self, self.shapes())
        z = (encoded["vector"] - params["center"]) / params["spread"]
        x = jnp.concatenate([encoded["features"], z @ params["components"].T], axis=-1)
        share = descend(params, x, self.depth).mean(1)
        return {"logits": jnp.log(jnp.maximum(share, TINY)) + params["shift"], "embedding": x}

    def shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Return shape and type of every parameter."""
        return {
            "center": ((self.vector,), jnp.float32),
            "spread": ((self.vector,), jnp.float32),
            "components": ((self.components, self.vector), jnp.float32),
            "shift": ((self.classes,), jnp.float32),
            **tree_shapes(self.trees, self.nodes, self.classes),
        }


class Trees(nn.Module):
    """The mean over T trees of the N values in the leaves that rows end in; see `Forest`.

    sizes and parameters: those of `planted`
    """

    trees: int
    nodes: int
    depth: int
    values: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map rows [B, F] to [B, N]."""
        params = own_params(self, tree_shapes(self.trees, self.nodes, self.values))
        return descend(params, x, self.depth).mean(1)


def tree_shapes(trees: int, nodes: int, values: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return shape and type of the arrays of T trees with N values a leaf; see `planted`."""
    at = (trees, nodes)
    return {
        "feature": (at, jnp.int32),
        "threshold": (at, jnp.float32),
        "left": (at, jnp.int32),
        "right": (at, jnp.int32),
        "share": ((*at, values), jnp.float32),
    }


def own_params(module: nn.Module, shapes: Mapping[str, tuple[tuple[int, ...], Any]]) -> Any:
    """Return the parameters of a module by name; those of `init` are 0."""
    return {name: jnp.asarray(module.param(name, _zeros, *kind)) for name, kind in shapes.items()}


def _zeros(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    return jnp.zeros(shape, dtype)


def descend(params: Any, x: Array, depth: int) -> Array:
    """Return the values (of a `Forest` class shares) of the leaves of rows [B, F], [B, T, N]."""
    tree = jnp.arange(params["feature"].shape[0])
    node = jnp.zeros((len(x), len(tree)), jnp.int32)

    def down(_: int, node: Array) -> Array:
        value = jnp.take_along_axis(x, params["feature"][tree, node], axis=1)
        low = value <= params["threshold"][tree, node]
        return jnp.where(low, params["left"][tree, node], params["right"][tree, node])

    return params["share"][tree, jax.lax.fori_loop(0, depth, down, node)]


def grow(
    features: np.ndarray,
    vectors: np.ndarray,
    codes: np.ndarray,
    classes: int,
    seed: int = 0,
    trees: int = TREES,
    blocks: Mapping[str, int] | None = None,
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Return the sizes and the parameters of a `Forest` for rows with a class each.

    features: [M, F]; vectors: [M, V]; codes: class numbers [M] in 0 .. N - 1, weighed by the
    inverse of their frequency; a class without a row gets probability 0; blocks: see `compression`.
    All classes are as common as each other (a shift of 0).
    """
    small = compression(vectors, blocks)
    z = (vectors - small["center"]) / small["spread"] @ small["components"].T
    x = np.concatenate([features, z], axis=1).astype(np.float32)
    grown, known = grown_trees(x, codes, trees, seed), np.unique(codes)
    sizes, arrays = planted(grown, [class_shares(tree, known, classes) for tree in grown])
    sizes |= {
        "classes": classes,
        "features": features.shape[1],
        "vector": vectors.shape[1],
        "components": len(small["components"]),
    }
    return sizes, {**small, **arrays, "shift": np.zeros(classes, np.float32)}


def survey_shift(probabilities: np.ndarray, codes: np.ndarray, others: int) -> np.ndarray:
    """Return what to add to the logits for how common classes are in the survey, [N] float32.

    probabilities: [U, N] of unlabelled curves, from a forest without a shift; codes: of labelled
    curves [M]; others: unlabelled curves of the survey, for which those U stand.
    TEMPER of the logarithm of the shares, which are the mean over labelled and unlabelled curves.
    The trees tell rare classes too often, since all weigh the same in them; the whole logarithm
    (Saerens, Latinne and Decaestecker 2002) would tell them hardly ever.  Chosen on development
    stars, see `experiments/classify`.
    """
    labelled = np.bincount(codes, minlength=probabilities.shape[1])
    share = (labelled + others * probabilities.mean(0, dtype=np.float64)) / (len(codes) + others)
    shift = TEMPER * np.log(np.maximum(share, TINY))
    return (shift - shift.mean()).astype(np.float32)


def grown_trees(x: np.ndarray, codes: np.ndarray, trees: int, seed: int) -> list[Any]:
    """Return trees of scikit-learn on rows [M, K], the extremely randomised half first."""
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier  # take a second

    kinds = (
        (ExtraTreesClassifier, trees - trees // 2, "balanced"),
        (RandomForestClassifier, trees // 2, "balanced_subsample"),
    )
    told = {"max_features": SHARE, "min_weight_fraction_leaf": LEAF, "random_state": seed}
    forests = [
        kind(count, class_weight=weight, n_jobs=-1, **told).fit(x, codes)
        for kind, count, weight in kinds
        if count
    ]
    return [tree.tree_ for forest in forests for tree in forest.estimators_]


def compression(
    vectors: np.ndarray, blocks: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Return center [V], spread [V] and components [K, V] of vectors [M, V].

    blocks: name and size of the parts of a vector, in order, each of which has principal components
        of its own, of unit variance; see `COMPONENTS`.  None or empty: one part
    """
    from scipy.linalg import block_diag

    vectors = vectors.astype(np.float64)
    blocks = blocks or {"": vectors.shape[1]}
    if sum(blocks.values()) != vectors.shape[1]:
        raise ValueError(f"vectors of {vectors.shape[1]} numbers in blocks of {dict(blocks)}")
    center, spread = vectors.mean(0), vectors.std(0)
    spread = np.where(spread > 1e-12, spread, 1.0)
    z = np.split((vectors - center) / spread, np.cumsum([*blocks.values()])[:-1], axis=1)
    parts = [
        whitened(part, COMPONENTS[name]) if name in COMPONENTS else np.eye(part.shape[1])
        for name, part in zip(blocks, z, strict=True)
    ]
    arrays = {"center": center, "spread": spread, "components": block_diag(*parts)}
    return {name: value.astype(np.float32) for name, value in arrays.items()}


def whitened(z: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` largest principal components of z [M, V], scaled to unit variance."""
    size, axes = principal(z, count)
    deviation = size / np.sqrt(max(len(z) - 1, 1))
    deviation = np.where(size > 1e-6 * max(size.max(initial=0.0), 1e-6), deviation, 1.0)
    return axes / deviation[:, None]


def principal(z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the `count` largest singular values [K] of z [M, V] and their right vectors [K, V].

    From the smaller of the two matrices of products: twenty times faster than all of the singular
    value decomposition.  The largest number of a vector is positive; one of a value 0 is 0.
    """
    from scipy.linalg import eigh

    tall = len(z) > z.shape[1]
    product = z.T @ z if tall else z @ z.T
    last = len(product) - 1
    square, found = eigh(product, subset_by_index=[max(last + 1 - count, 0), last])
    square, found = np.maximum(square[::-1], 0.0), found[:, ::-1].T
    size = np.sqrt(square)
    real = size > 1e-7 * max(size.max(initial=0.0), 1e-12)  # below: rounding of the products
    axes = found if tall else found @ z / np.where(real, size, 1.0)[:, None]
    axes = np.where(real[:, None], axes, 0.0)
    turn = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    return np.where(real, size, 0.0), axes * np.where(turn == 0, 1.0, turn)


def class_shares(tree: Any, known: np.ndarray, classes: int) -> np.ndarray:
    """Return the shares [nodes, N] of N classes in a tree that knows the classes `known`."""
    share = np.zeros((tree.node_count, classes), np.float32)
    votes = tree.value[:, 0, :]
    share[:, known] = votes / votes.sum(1, keepdims=True)
    return share


def planted(
    trees: Sequence[Any], values: Sequence[np.ndarray]
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Return sizes (trees, nodes, depth) and arrays (`tree_shapes`) of T trees of scikit-learn.

    values: of each tree what its nodes say, [nodes of the tree, N]
    """
    nodes = max(tree.node_count for tree in trees)
    arrays = [_plain(tree, nodes, value) for tree, value in zip(trees, values, strict=True)]
    depth = int(max(tree.max_depth for tree in trees))
    sizes = {"trees": len(trees), "nodes": nodes, "depth": depth}
    return sizes, {name: np.stack([a[name] for a in arrays]) for name in arrays[0]}


def _plain(tree: Any, nodes: int, values: np.ndarray) -> dict[str, np.ndarray]:
    """Return a tree of scikit-learn as arrays of `nodes` rows; a leaf is its own child."""
    count = tree.node_count
    leaf = tree.children_left < 0
    place = np.arange(count)
    exact = tree.threshold.astype(np.float32)  # x <= threshold in float64, so never round up
    exact = np.where(exact > tree.threshold, np.nextafter(exact, -np.float32(np.inf)), exact)
    arrays = {
        "feature": np.where(leaf, 0, tree.feature).astype(np.int32),
        "threshold": exact.astype(np.float32),
        "left": np.where(leaf, place, tree.children_left).astype(np.int32),
        "right": np.where(leaf, place, tree.children_right).astype(np.int32),
        "share": values.astype(np.float32),
    }
    return {
        name: np.pad(value, [(0, nodes - count), *[(0, 0)] * (value.ndim - 1)])
        for name, value in arrays.items()
    }
