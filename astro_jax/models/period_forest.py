"""Our recommended model of periods: trees that choose among the candidates of a periodogram.

The best peak of a periodogram is the period of most stars to 0.0001 dex, and a multiple or an alias
of it for the others; a smooth function of features is near the period of all and exact for none.
Here one forest guesses the logarithm from the features of a curve (a regression; Breiman 2001), and
another (extremely randomised; Geurts, Ernst and Wehenkel 2006) says of every candidate period, of
its half and of its double how likely it is right, from the features, the evidence of the candidate,
and its distance from the guess (`experiments/downstream`).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from astro_jax.data.split import star_places
from astro_jax.errors import UserError
from astro_jax.models.astromer import Record
from astro_jax.models.forest import SHARE, Trees, class_shares, planted

CLOSE = 0.01  # dex (2.3 % of the period): a candidate so near the target is right
MULTIPLES = (1.0, 0.5, 2.0)
TREES = 300
SURE = 0.2  # probability above which a candidate is believed; best on validation stars of EROS-1
LEAF = 3  # rows of a leaf at least
LEAF_SHARE = 1e-4  # of the rows, likewise: 300 trees on a large survey stay below 150 MB
LEAST = 0.1  # share of training curves with a right candidate; chance gives up to 12 * 0.02 / 3
ARRAYS = ("features", "candidates")


class PeriodForest(nn.Module):
    """A head that reads `features` [B, F] and `candidates` [B, P, 5] of a curve, and no window.

    `candidates` are those of `data.inputs.period_candidates`.  The parameters are made by `grow`;
    those of `init` have its shapes and know nothing.  Returns as the one logit the candidate, or
    its multiple, of most probability where that is above `sure`, else the guess (log10 of days);
    and the probabilities [B, P * MULTIPLES] as embedding.
    """

    classes: int = 1
    features: int = 0
    trees: int = TREES
    sure: float = SURE
    guess_nodes: int = 1
    guess_depth: int = 0
    choice_nodes: int = 1
    choice_depth: int = 0

    @nn.compact
    def __call__(self, photometry: Any, encoded: Record, keys: Array | None) -> dict[str, Array]:
        """Choose a period by features and candidates; see the class."""
        require_arrays(encoded)
        features, candidates = (jnp.asarray(encoded[name]) for name in ARRAYS)
        guess = Trees(self.trees, self.guess_nodes, self.guess_depth, name="guess")(features)
        rows, period, found = candidate_rows(features, candidates, guess)
        choice = Trees(self.trees, self.choice_nodes, self.choice_depth, name="choice")
        right = choice(rows.reshape(-1, rows.shape[-1])).reshape(period.shape)
        right = jnp.where(found, right, 0.0)
        best = right.argmax(1)[:, None]
        chosen, likely = (jnp.take_along_axis(x, best, 1) for x in (period, right))
        return {"logits": jnp.where(likely > self.sure, chosen, guess), "embedding": right}


def require_arrays(arrays: Any) -> None:
    """Raise UserError where the arrays of curves lack those that the head reads."""
    for name in ARRAYS:
        if name not in arrays:
            raise UserError(f"the head PeriodForest needs `inputs` with {name}; see data.inputs")


def candidate_rows(features: Array, candidates: Array, guess: Array) -> tuple[Array, Array, Array]:
    """Return what a choice is made from, [B, C, F + 10]; C = P * MULTIPLES, candidate by candidate.

    features: [B, F]; candidates: [B, P, 5]; guess: log10 of days, [B, 1].
    Also the logarithms of the periods [B, C], and whether there is such a candidate [B, C].
    """
    log, power, significance, alias, found = jnp.moveaxis(candidates, -1, 0)  # [B, P] each
    shape = (*log.shape, len(MULTIPLES))
    period = log[..., None] + jnp.log10(jnp.asarray(MULTIPLES, jnp.float32))
    columns = (
        jnp.arange(shape[1], dtype=jnp.float32)[:, None],
        jnp.arange(shape[2], dtype=jnp.float32),
        period,
        period - log[:, :1, None],
        (power / jnp.maximum(power[:, :1], 1e-6))[..., None],
        power[..., None],
        jnp.log1p(jnp.maximum(significance, 0.0))[..., None],
        (significance - significance[:, :1])[..., None],
        alias[..., None],
        period - guess[..., None],
    )
    rows = jnp.stack([jnp.broadcast_to(column, shape) for column in columns], axis=-1)
    rows = rows.reshape(shape[0], -1, len(columns))
    each = jnp.broadcast_to(features[:, None], (*rows.shape[:2], features.shape[1]))
    full = jnp.broadcast_to(found[..., None] > 0, shape)
    rows = jnp.concatenate([each, rows], axis=-1)
    return rows, period.reshape(shape[0], -1), full.reshape(shape[0], -1)


def grow(
    features: np.ndarray,
    candidates: np.ndarray,
    target: np.ndarray,
    star: np.ndarray,
    seed: int = 0,
    trees: int = TREES,
    sure: float = SURE,
) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """Return the sizes and the parameters of a `PeriodForest` for curves with a known period.

    features: [M, F]; candidates: [M, P, 5]; target: log10 of the period in days, [M]; star: what
    each curve belongs to, [M]: the guess that the choice learns from has not seen the star.
    Raises UserError where the candidates hardly ever hold the target.
    """
    from sklearn.ensemble import ExtraTreesClassifier  # lazily: it takes a second

    guesses, unseen = bagged(features, target, star, seed, trees)
    full = candidate_rows(features, candidates, unseen[:, None].astype(np.float32))
    rows, period, found = (np.asarray(x) for x in full)
    right = found & (np.abs(period - target[:, None]) < CLOSE)
    require_candidates(right.any(1))
    used = found & np.isfinite(unseen)[:, None]
    choice = ExtraTreesClassifier(
        trees,
        max_features=SHARE,
        min_samples_leaf=smallest_leaf(int(used.sum())),
        random_state=seed,
        n_jobs=-1,
    )
    choice.fit(rows[used], right[used])
    known, chosen = choice.classes_.astype(int), [tree.tree_ for tree in choice.estimators_]
    parts = {
        "guess": ([tree.tree_ for tree in guesses], [tree.tree_.value[:, 0] for tree in guesses]),
        "choice": (chosen, [class_shares(tree, known, 2)[:, 1:] for tree in chosen]),
    }
    sizes, params = {"features": features.shape[1], "trees": trees, "sure": sure}, {}
    for name, part in parts.items():
        size, params[name] = planted(*part)
        sizes |= {f"{name}_nodes": size["nodes"], f"{name}_depth": size["depth"]}
    return sizes, params


def bagged(
    x: np.ndarray, y: np.ndarray, star: np.ndarray, seed: int, trees: int
) -> tuple[list[Any], np.ndarray]:
    """Return regression trees on samples of the stars, and what those without a star say of it.

    x: [M, F]; y: [M]; star: [M].  A random forest whose bootstrap draws stars, with all their
    curves: of curves of one star in several bands none tells of another.  The second is the mean
    over the trees that have not seen the star, [M] float64; NaN where all have.
    """
    from joblib import Parallel, delayed
    from sklearn.tree import DecisionTreeRegressor

    which = star_places(star)
    count = int(which.max()) + 1
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, count, (trees, count))
    times = np.array([np.bincount(draw, minlength=count)[which] for draw in draws])
    leaf = smallest_leaf(len(x))

    def one(weight: np.ndarray, state: int) -> Any:
        tree = DecisionTreeRegressor(
            max_features=SHARE, min_samples_leaf=leaf, random_state=int(state)
        )
        return tree.fit(x, y, sample_weight=weight)

    states = rng.integers(0, 2**31 - 1, trees)
    pairs = zip(times.astype(float), states, strict=True)
    grown = Parallel(n_jobs=-1, prefer="threads")(delayed(one)(*pair) for pair in pairs)
    told, out = np.array([tree.predict(x) for tree in grown]), times == 0
    count = out.sum(0)
    return grown, np.where(count, (told * out).sum(0) / np.maximum(count, 1), np.nan)


def smallest_leaf(rows: int) -> int:
    """Return how many of so many rows a leaf has at least."""
    return max(LEAF, round(LEAF_SHARE * rows))


def require_candidates(right: np.ndarray) -> None:
    """Raise UserError where few of the curves [M] have a right candidate."""
    if right.mean() < LEAST:
        raise UserError(
            f"{int(right.sum())} of {len(right)} curves to learn from have a candidate period "
            f"within {CLOSE} of the target, no more than by chance: config.data.target must be "
            "log10 of a period in days; for other numbers take configs/regress.py without `period`"
        )
