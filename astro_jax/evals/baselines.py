"""What a model must beat: forests on hand-made features, the majority class, the period alone.

Classifiers return probabilities [Q, C] in the order of the class numbers 0 .. C - 1, regressors
values [Q], for Q rows that they have not seen.
"""

import numpy as np

from astro_jax.errors import UserError

TREES = 500
# Chosen on validation stars of asas, crts, ogle3_lmc and eros1: at 20 labels a class 0.3 of the
# features a split is above sqrt(F) of them by up to 0.035 in macro-F1; with all labels leaves of
# at least 0.002 of the class-balanced weight, which only frequent classes feel, gain up to 0.02;
# extremely randomised trees are no better.
SHARE = 0.3
LEAF = 0.002
LEAF_VALUE = 3  # rows, smallest leaf of a regression tree


def random_forest(
    train: np.ndarray,
    codes: np.ndarray,
    query: np.ndarray,
    classes: int,
    seed: int,
    trees: int = TREES,
) -> np.ndarray:
    """Return the probabilities [Q, C] of a random forest (Breiman 2001), classes weighed equally.

    train: features [M, F]; codes: class numbers [M]; query: features [Q, F]; classes: C.
    30 % of the features a split, weights inverse to the class frequency in each bootstrap sample,
    leaves of at least 0.002 of the weight.  A class without a training row gets probability 0.
    """
    from sklearn.ensemble import RandomForestClassifier  # lazily: it takes a second

    check_rows(train, codes)
    forest = RandomForestClassifier(
        trees,
        max_features=SHARE,
        min_weight_fraction_leaf=LEAF,
        class_weight="balanced_subsample",
        random_state=seed,
        n_jobs=-1,
    )
    forest.fit(train, codes)
    return in_order(forest.predict_proba(query), forest.classes_, classes)


def majority_class(codes: np.ndarray, queries: int, classes: int) -> np.ndarray:
    """Return the shares of the classes among the training rows as probabilities, [Q, C]."""
    share = np.bincount(codes, minlength=classes) / max(len(codes), 1)
    return np.tile(share, (queries, 1))


def forest_regressor(
    train: np.ndarray, values: np.ndarray, query: np.ndarray, seed: int, trees: int = TREES
) -> np.ndarray:
    """Return values [Q] of a random forest for regression, leaves of 3 rows or more.

    train: features [M, F]; values: [M]; query: [Q, F].  30 % of the features a split.
    """
    from sklearn.ensemble import RandomForestRegressor

    check_rows(train, values)
    forest = RandomForestRegressor(
        trees, min_samples_leaf=LEAF_VALUE, max_features=SHARE, random_state=seed, n_jobs=-1
    )
    return forest.fit(train, values).predict(query)


def line_through(train: np.ndarray, values: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return values [Q] of a straight line through one feature, such as log10 of the period.

    train: [M]; query: [Q].  The line of least absolute deviations: a few wrong periods, off by
    factors of two or by an alias, do not tilt it.
    """
    from sklearn.linear_model import QuantileRegressor

    check_rows(train, values)
    line = QuantileRegressor(quantile=0.5, alpha=0.0).fit(train[:, None], values)
    return line.predict(query[:, None])


def check_rows(train: np.ndarray, values: np.ndarray) -> None:
    """Raise UserError for no rows, rows that do not fit, or values that are not finite."""
    if len(train) != len(values) or not len(train):
        raise UserError(f"{len(train)} rows of features for {len(values)} labels to learn from")
    if not np.isfinite(train).all():
        row = int(np.flatnonzero(~np.isfinite(train.reshape(len(train), -1)).all(1))[0])
        raise UserError(f"the features of row {row} are not finite; fill them first")


def in_order(probabilities: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Return probabilities with a column for each class, from columns of the classes `found`."""
    full = np.zeros((len(probabilities), classes))
    full[:, found] = probabilities
    return full
