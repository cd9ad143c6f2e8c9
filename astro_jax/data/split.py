"""Train, validation and test parts, by star."""

import hashlib

import numpy as np

from astro_jax.errors import UserError

PARTS = ("train", "valid", "test")
STARS = 2.0**48  # numbers that a star can have


def star_position(star: np.ndarray) -> np.ndarray:
    """Return a number in [0, 1) for each star, from its name alone (BLAKE2b), [N] float64.

    It depends on nothing else, so that a star lies on the same side of the split in every file,
    survey, band and run.
    """

    def digest(name: object) -> int:
        return int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=6).digest(), "big")

    return np.array([digest(name) for name in star], dtype=float).reshape(-1) / STARS


def star_places(star: np.ndarray) -> np.ndarray:
    """Return the place of the star of each row among the stars, as they first occur, [N] int64."""
    names = np.asarray(star).tolist()
    place = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return np.array([place[name] for name in names], np.int64)


def split_by_star(
    star: np.ndarray, train: float = 0.6, valid: float = 0.2
) -> dict[str, np.ndarray]:
    """Return the rows of each part: positions below 0.6 train, below 0.8 validate, above test.

    With few stars a part could be empty: then the star nearest to it moves over, so that three
    stars give three parts and two a training and a validation part.
    Raises UserError for fewer than two stars.
    """
    names, row_star = np.unique(np.asarray(star).astype(str), return_inverse=True)
    if len(names) < 2:
        raise UserError(f"{len(names)} star: training needs at least 2, to validate on another one")
    position = star_position(names)
    order = np.argsort(position, kind="stable")
    n_test = max(int((position >= train + valid).sum()), int(len(names) > 2))
    n_valid = max(int(((position >= train) & (position < train + valid)).sum()), 1)
    n_valid = min(n_valid, len(names) - n_test - 1) if len(names) - n_test > 1 else 1
    n_test = min(n_test, len(names) - n_valid - 1)
    part_of_rank = np.zeros(len(names), int)
    part_of_rank[len(names) - n_test - n_valid :] = 1
    part_of_rank[len(names) - n_test :] = 2
    part = np.empty(len(names), int)
    part[order] = part_of_rank
    return {name: np.flatnonzero(part[row_star] == p) for p, name in enumerate(PARTS)}
