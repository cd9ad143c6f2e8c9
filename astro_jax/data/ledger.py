"""The account of a survey: what was read, kept, filtered and quarantined, and why."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from astro_jax.data.advice import advice


class Count(NamedTuple):
    """A number of objects (rows of the object table) and of their observations."""

    objects: int = 0
    observations: int = 0


class Quarantined(NamedTuple):
    """Observations that could not be used; `objects` is 1 where the whole object went with them."""

    file: str
    object: str
    band: str
    objects: int
    observations: int
    reason: str


class Filtered(NamedTuple):
    """Usable objects and observations that a choice of the user left out."""

    objects: int
    observations: int
    reason: str


def total(parts: Iterable) -> Count:
    """Add the objects and the observations of `parts`."""
    parts = list(parts)
    return Count(sum(p.objects for p in parts), sum(p.observations for p in parts))


@dataclass(frozen=True)
class Ledger:
    """An account that balances: read = kept + filtered + quarantined, objects and observations.

    A file that cannot be read at all counts as one object without observations.
    Raises ValueError where the sums do not agree: rows would have been lost on the way.
    """

    read: Count = Count()
    kept: Count = Count()
    drops: tuple[Filtered, ...] = ()
    rows: tuple[Quarantined, ...] = ()
    notes: tuple[str, ...] = ()
    filtered: Count = field(init=False)
    quarantined: Count = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "filtered", total(self.drops))
        object.__setattr__(self, "quarantined", total(self.rows))
        for name in Count._fields:
            read, *parts = (
                getattr(c, name) for c in (self.read, self.kept, self.filtered, self.quarantined)
            )
            if read != sum(parts) or min(parts) < 0:
                raise ValueError(
                    f"{name} do not balance: read {read}, "
                    "kept {} + filtered {} + quarantined {}".format(*parts)
                )

    def filter(self, objects: int, observations: int, reason: str) -> "Ledger":
        """Move `objects` and `observations` from kept to filtered, for `reason`."""
        if not objects and not observations:
            return self
        drop = Filtered(int(objects), int(observations), reason)
        return replace_account(self, drops=(*self.drops, drop), taken=drop)

    def quarantine(self, rows: Iterable[Quarantined]) -> "Ledger":
        """Move what `rows` count from kept to quarantined."""
        rows = tuple(rows)
        return replace_account(self, rows=self.rows + rows, taken=total(rows))

    def note(self, *notes: str) -> "Ledger":
        """Add remarks for the summary, each once."""
        return replace_account(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def summary(self) -> str:
        """Return a few lines: the four counts, the commonest reasons, the notes."""
        lines = [
            f"{name:<11} {count.objects:>10,} objects {count.observations:>13,} observations"
            for name, count in [
                ("read", self.read),
                ("kept", self.kept),
                ("filtered", self.filtered),
                ("quarantined", self.quarantined),
            ]
        ]
        lines += top_reasons(self.drops, "filtered") + top_reasons(self.rows, "quarantined")
        return "\n".join(lines + list(self.notes[:8]) + more(self.notes, 8))

    def write(self, path: str) -> None:
        """Write the quarantine as CSV, with what to do; the file appears whole or not at all."""
        partial = f"{path}.{os.getpid()}.tmp"
        with open(partial, "w", newline="", encoding="utf-8", errors="replace") as out:
            writer = csv.writer(out)
            writer.writerow((*Quarantined._fields, "fix"))
            writer.writerows((*row, advice(row.reason)) for row in self.rows)
        os.replace(partial, path)

    def report(self, output: str | Path) -> None:
        """Write the quarantine as `<output>.quarantine.csv`, or remove that of an earlier run."""
        path = Path(f"{output}.quarantine.csv")
        if self.rows:
            self.write(str(path))
        else:
            path.unlink(missing_ok=True)


NOTHING = Count()


def replace_account(ledger: Ledger, taken: Filtered | Count = NOTHING, **changes) -> Ledger:
    """Return `ledger` with `changes`, and `taken` no longer among the kept."""
    kept = Count(ledger.kept.objects - taken.objects, ledger.kept.observations - taken.observations)
    return replace(ledger, kept=kept, **changes)


def merged(ledgers: Iterable[Ledger]) -> Ledger:
    """Return one account of the pieces of a survey."""
    ledgers = list(ledgers)
    return Ledger(
        read=total(ledger.read for ledger in ledgers),
        kept=total(ledger.kept for ledger in ledgers),
        drops=tuple(drop for ledger in ledgers for drop in ledger.drops),
        rows=tuple(row for ledger in ledgers for row in ledger.rows),
    ).note(*(note for ledger in ledgers for note in ledger.notes))


def account_of_parts(
    ids: Sequence[str], parts: Mapping[str, Ledger], files: Mapping[str, str]
) -> Ledger:
    """Return the account of the objects `ids`, joined from parts, with a note on each part.

    parts: the account of each part, whose objects are the rows of that part; files: where a part
    was read, for rows that do not say.  A row that is lost costs an object, once, where none of
    `ids` is its own.
    """
    drops = tuple(drop for part in parts.values() for drop in part.drops)
    rows, notes, known = [], [], set(ids)
    for name, part in parts.items():
        counts = {"rows read": part.read, "used": part.kept, "filtered": part.filtered}
        counts["quarantined"] = part.quarantined
        told = (f"{count.objects} {what}" for what, count in counts.items() if count.objects)
        notes.append(f"{name}: {', '.join(told)}")
        for row in part.rows:
            lost = int(row.objects and row.object not in known)
            rows.append(row._replace(file=row.file or files.get(name, ""), objects=lost))
            known |= {row.object} if lost and row.object else set()
    notes += [note for part in parts.values() for note in part.notes]
    gone = total((*drops, *rows)).objects
    observations = (total(getattr(part, n) for part in parts.values()) for n in ("read", "kept"))
    read, kept = (count.observations for count in observations)
    whole = Ledger(Count(len(ids) + gone, read), Count(len(ids), kept), drops, tuple(rows))
    return whole.note(*notes)


def few(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, as "a, b, c, ..."."""
    return ", ".join([*names[:most], *["..."][: len(names) > most]])


def opening(objects: int, observations: int) -> Ledger:
    """Open an account in which all that was read is kept."""
    count = Count(int(objects), int(observations))
    return Ledger(read=count, kept=count)


def top_reasons(parts: Iterable, name: str, count: int = 5) -> list[str]:
    """Return one line for each of the `count` commonest reasons."""
    objects, observations = Counter(), Counter()
    for part in parts:
        objects[part.reason] += part.objects
        observations[part.reason] += part.observations
    ranked = sorted(objects, key=lambda r: (-observations[r], -objects[r], r))
    lines = [
        f"  {name}: {objects[r]:,} objects, {observations[r]:,} observations: {r}"
        for r in ranked[:count]
    ]
    return lines + more(ranked, count, f"  {name}: ")


def more(items: Iterable, shown: int, prefix: str = "") -> list[str]:
    """Return a line that says how many items are not shown, if any."""
    rest = len(list(items)) - shown
    return [f"{prefix}and {rest:,} more"] if rest > 0 else []
