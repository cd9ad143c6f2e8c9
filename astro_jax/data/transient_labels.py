"""Few labels of a survey of transients: which objects train, validate and test.

`count` is the number of all labels that are used, those to validate with included. The test part is
the objects whose `star` lies in the last share of the hash of the split (`data.split`): the same
for every seed and count. It is touched only where more labels are asked for than lie outside of it.
"""

import logging
from collections.abc import Sequence

import numpy as np

from astro_jax.data.labels import Split
from astro_jax.data.split import star_position
from astro_jax.errors import UserError

MINIMUM = 10  # objects a class, below which it is left out


def draw_labels(
    codes: np.ndarray, star: np.ndarray, count: int, seed: int, test: float, valid: float
) -> Split:
    """Return the rows that train, validate and test, of those with a class number.

    codes: [N] class numbers, -1 = no label; star: [N], what must stay on one side
    count: labels to use in all, 0 = all outside of the test part; drawn by the seed in proportion
        to the classes, at least one of each, and a larger count holds the smaller one's objects
    test: share of the test part; valid: share of `count` to validate with, at least one object
    Raises UserError where `count` is too small for one object a class and one to validate.
    """
    codes, star = np.asarray(codes), np.asarray(star).astype(str)
    held_out = star_position(star) >= 1 - test
    pool, spare = ordered(codes, star, ~held_out, seed), ordered(codes, star, held_out, seed)
    sizes, more = (np.array([len(rows) for rows in part]) for part in (pool, spare))
    check_pool(sizes, count)
    count = count or int(sizes.sum())
    wanted = allocate(min(count, int(sizes.sum())), sizes)
    extra = allocate(min(count - int(wanted.sum()), int(more.sum())), more, least=0)
    if extra.sum():
        logging.warning(
            "config.labels=%d: %d labels lie outside of the test part, %d are taken from it",
            *(count, sizes.sum(), extra.sum()),
        )
    taken = [
        np.concatenate([rows[:n], others[:m]])
        for rows, n, others, m in zip(pool, wanted, spare, extra, strict=True)
    ]
    valid_rows = choose_valid(taken, star, valid)
    used = np.concatenate(taken)
    train = used[~np.isin(star[used], star[valid_rows])]
    tested = held_out & (codes >= 0) & ~np.isin(star, star[used])
    return Split(np.sort(train), np.sort(valid_rows), np.flatnonzero(tested))


def ordered(codes: np.ndarray, star: np.ndarray, part: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the rows of each class inside `part` [N] bool, in random order, a star in one piece.

    The order follows from the names of the stars of a class and the seed.
    """
    found = []
    for code in range(int(codes.max(initial=-1)) + 1):
        rows = np.flatnonzero((codes == code) & part)
        names, place = np.unique(star[rows], return_inverse=True)
        rank = np.random.default_rng([seed, code]).permutation(len(names))
        found.append(rows[np.argsort(rank[place], kind="stable")])
    return found


def check_pool(sizes: np.ndarray, count: int) -> None:
    """Raise UserError where a class has no object to learn from, or `count` is too small."""
    if not len(sizes) or (sizes == 0).any():
        raise UserError(
            "a class has no object outside of the test part: lower config.data.test, or leave the "
            "class out by config.data.min_class"
        )
    if count < 0 or 0 < count <= len(sizes):
        raise UserError(
            f"config.labels={count}: {len(sizes)} classes need at least {len(sizes) + 1} labels, "
            "one of each and one to validate; 0 takes all"
        )


def allocate(count: int, sizes: np.ndarray, least: int = 1) -> np.ndarray:
    """Return how many of each class make up `count`, in proportion to `sizes`, [C] int.

    At least `least` of each that has as many, never more than there are. Webster's divisors: a
    larger count gives no class fewer.
    """
    sizes = np.asarray(sizes)
    if count >= sizes.sum():
        return sizes.copy()
    given = np.minimum(least, sizes)
    while given.sum() < count:
        given[np.argmax(np.where(given < sizes, sizes / (2 * given + 1), -1.0))] += 1
    return given


def choose_valid(taken: Sequence[np.ndarray], star: np.ndarray, share: float) -> np.ndarray:
    """Return the rows to validate with: the last stars of each class, in proportion.

    One of each class where it has two objects or more and the share allows it; each class keeps one
    to train with, and all objects of a star go together.
    """
    sizes = np.array([len(rows) for rows in taken])
    wanted = max(round(share * int(sizes.sum())), 1)
    room = np.maximum(sizes - 1, 0)
    enough = wanted >= (room > 0).sum()
    numbers = allocate(min(wanted, int(room.sum())), room, least=1 if enough else 0)
    chosen: list[str] = []
    for part, number in zip(taken, numbers, strict=True):
        for name in dict.fromkeys(star[part][::-1].tolist()):
            if np.isin(star[part], chosen).sum() >= number:
                break
            if all(~np.isin(star[rows], [*chosen, name]).all() for rows in taken):
                chosen.append(name)
    if not chosen:
        raise UserError(
            f"{int(sizes.sum())} labels: the objects of each class are one star, so that none is "
            "left to validate with; give more labels"
        )
    everything = np.concatenate(taken)
    return everything[np.isin(star[everything], chosen)]
