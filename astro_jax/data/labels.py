"""Labels of a survey as class numbers, and the few-label protocol: which stars train and test."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from astro_jax.data.curves import Curves
from astro_jax.data.label_maps import NO_LABEL, UNKNOWN, Drop, Dropped, apply_map
from astro_jax.data.split import star_position
from astro_jax.errors import UserError, suggest

HELD_OUT = 0.8  # stars at or above this position are never seen by pre-training (data.split)
TEST_OBJECTS = 100  # a class, or
TEST_SHARE = 0.2  # of a class, whichever is less (Donoso-Oliva et al. 2023, section 5.2)
SMALLEST = 5  # labels of a class: four to train on and one to validate
MINIMUM = 40  # objects a class, below which it is left out
NOTHING = ("", "nan", "<na>", "nat", "none", "null")  # as text, in small letters


class Labels(NamedTuple):
    """Labels of N rows: class names [C] sorted, codes [N] int32 (-1: none), what was left out."""

    classes: list[str]
    codes: np.ndarray
    dropped: tuple[Dropped, ...]


class Split(NamedTuple):
    """Rows of each part of a fold, int64, ascending; a star is in one part only."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def encode_labels(
    curves: Curves,
    name: str = "label",
    *,
    minimum: int = MINIMUM,
    without: Sequence[str] = (),
    label_map: Mapping[str, str | Drop] | None = None,
    counted: np.ndarray | None = None,
) -> Labels:
    """Return the classes of a column of `curves`, and the class number of each row.

    minimum: classes with fewer stars are left out; without: classes to leave out by name;
    label_map: from catalogue classes to others first (`label_maps`); counted: [N], of what rows are
    counted for `minimum`, in the place of their stars.  Rows in are rows with a code
    plus the counts of `dropped`.  Raises UserError where the column is not there or holds no
    label, a class of `without` does not occur, or fewer than two classes remain.
    """
    texts = label_texts(curves, name)
    dropped: tuple[Dropped, ...] = ()
    if label_map is not None:
        texts, dropped = apply_map(texts, label_map)
    elif None in texts:
        dropped = (Dropped("", texts.count(None), NO_LABEL),)
    rows = Counter(text for text in texts if text is not None)
    counted = curves.star if counted is None else counted
    stars = Counter(dict.fromkeys(zip(texts, counted.tolist(), strict=True)))
    sizes = Counter(text for text, _ in stars if text is not None)
    for label in without:
        if label not in rows:
            raise UserError(f"no object has {name} '{label}', to leave out{suggest(label, rows)}")
    reasons = {c: f"fewer than {minimum} objects" for c, n in sizes.items() if n < minimum}
    reasons |= dict.fromkeys(without, "left out by name")
    classes = sorted(set(rows) - set(reasons))
    if len(classes) < 2:
        asked = {c: n for c, n in sizes.items() if c not in without}
        raise UserError(too_few(name, classes, asked, minimum, dropped, without))
    dropped += tuple(Dropped(c, rows[c], reasons[c]) for c in sorted(reasons))
    return Labels(classes, codes_of(texts, classes), dropped)


def label_texts(curves: Curves, name: str) -> list[str | None]:
    """Return a label column as text, None where null or empty."""
    columns = curves.columns.column_names
    if name not in columns:
        raise UserError(f"no column '{name}' to take labels from{suggest(name, columns)}")
    texts = [as_label(value) for value in curves.columns[name].to_pylist()]
    if not any(texts):
        raise UserError(f"column '{name}' holds no label: all {len(texts)} rows are null or empty")
    return texts


def as_label(value: object) -> str | None:
    """Return a label as text: 3.0 is "3"; None for null, NaN, blanks and the words for nothing."""
    if isinstance(value, bytes):  # as columns of FITS come
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in NOTHING else text


def too_few(
    name: str,
    classes: Sequence[str],
    sizes: Mapping[str, int],
    minimum: int,
    dropped: Sequence[Dropped] = (),
    without: Sequence[str] = (),
) -> str:
    """Return the message for fewer than two classes: what there is, what a map does not know."""
    there = ", ".join(f"{c} {n}" for c, n in Counter(sizes).most_common(8)) or "none"
    found = f"only class '{classes[0]}'" if classes else "no class"
    unknown = ", ".join(f"'{d.name}' {d.count}" for d in dropped if d.reason == UNKNOWN)
    fix = "choose another column or lower the minimum (config.data.min_class)"
    if without:
        fix = f"leave out fewer than {', '.join(without)} (config.data.without); {fix}"
    if unknown:
        fix = f"the label map (config.data.label_map) does not know {unknown}; {fix}"
    return (
        f"a classifier needs two classes; in column '{name}' {found} has {minimum} objects or more "
        f"(objects: {there}); {fix}"
    )


def codes_of(texts: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """Return the place of each label in `classes`, [N] int32; -1 where it is not there."""
    place = {c: k for k, c in enumerate(classes)}
    return np.array([place.get(t, -1) for t in texts], np.int32)


def rows_to_test(labels: Labels, star: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows of the test stars: of each class 100, or 20 % of it where that is less.

    All are drawn from the fifth of stars that pre-training never saw; where a class has fewer
    there, all of them.  Depends on nothing but the stars of each class and the seed.
    """
    _, row_star, stars = by_class(labels.codes, star)
    chosen = []
    for code, names in enumerate(stars):
        wanted = min(TEST_OBJECTS, max(round(TEST_SHARE * len(names)), 1))
        held_out = names[star_position(names) >= HELD_OUT]
        if not len(held_out):
            logging.warning(
                "class '%s' has no test object: none of its %d stars lies in the held-out fifth",
                labels.classes[code],
                len(names),
            )
        chosen.append(draw(held_out, [seed, code, 0])[:wanted])
    test = np.isin(row_star, np.concatenate(chosen)) & (labels.codes >= 0)
    return np.flatnonzero(test)


def few_labels(labels: Labels, star: np.ndarray, per_class: int | None, seed: int) -> Split:
    """Return a fold: up to `per_class` stars of each class, 80 % to train and 20 % to validate.

    per_class: None takes all but the test part.  Three folds are three seeds; for one seed a
    larger budget holds the smaller one.  Warns, naming the class, where one has fewer.  Raises
    UserError below 5 labels a class.
    """
    if per_class is not None and per_class < SMALLEST:
        raise UserError(
            f"per_class={per_class}: give at least {SMALLEST}, or 0 (in Python None) for all labels"
        )
    test = rows_to_test(labels, star, seed)
    _, row_star, stars = by_class(labels.codes, star)
    tested = np.unique(row_star[test])
    left = [names[~np.isin(names, tested)] for names in stars]
    train, valid = train_and_valid(labels, row_star, left, per_class, seed)
    return Split(train, valid, test)


def train_and_valid(
    labels: Labels, star: np.ndarray, left: Sequence, per_class: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of up to `per_class` of the stars `left` of each class: 80 % and 20 %.

    star: [N] as text; left: [C] names of the stars of each class that may be used.
    """
    train, valid = [], []
    for code, names in enumerate(left):
        names = draw(names, [seed, code, 1])[:per_class]
        check_size(labels.classes[code], len(names), per_class)
        every_fifth = np.arange(len(names)) % 5 == 4
        train.append(names[~every_fifth])
        valid.append(names[every_fifth])
    labelled = labels.codes >= 0
    rows = (np.flatnonzero(np.isin(star, np.concatenate(p)) & labelled) for p in (train, valid))
    return tuple(rows)


def check_size(name: str, count: int, per_class: int | None) -> None:
    """Warn of a class with fewer labels than asked for; refuse fewer than 5."""
    if count < SMALLEST:
        raise UserError(
            f"class '{name}' has {count} labels to train and validate on; at least {SMALLEST} are "
            "needed: leave the class out (config.data.without, or config.data.min_class for all "
            "small ones; in Python the label None)"
        )
    if per_class is not None and count < per_class:
        logging.warning("class '%s' has only %d labels of %d", name, count, per_class)


def by_class(codes: np.ndarray, star: np.ndarray) -> tuple[np.ndarray, np.ndarray, list]:
    """Return the names of all stars, the star of each row as text, and the stars of each class.

    A star whose rows carry several classes counts for the first of them only.
    """
    row_star = np.asarray(star).astype(str)
    names, place = np.unique(row_star, return_inverse=True)
    first = np.full(len(names), np.iinfo(np.int32).max)
    labelled = codes >= 0
    np.minimum.at(first, place[labelled], codes[labelled])
    return names, row_star, [names[first == c] for c in range(int(codes.max(initial=-1)) + 1)]


def draw(names: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Return names in a random order that depends on them and the seed alone."""
    return np.random.default_rng(list(seed)).permutation(np.sort(names))
