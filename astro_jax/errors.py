"""The one exception that a user's mistake raises, the search for what was meant, exit code 75."""

from collections.abc import Iterable
from difflib import get_close_matches

STOPPED = 75  # exit code: stopped by a signal with the state saved (EX_TEMPFAIL of sysexits.h)


class UserError(Exception):
    """A mistake in what the user gave: printed in one line, without a traceback; exit code 1.

    What does not print, as names in a broken file may hold, is shown as "?".
    """

    def __init__(self, text: object = ""):
        super().__init__(printable(str(text)))


def printable(text: str) -> str:
    """Return a text as one line, with a blank for each line end and "?" for what does not print."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def one_line(error: object, most: int = 300) -> str:
    """Return the text of an error as one printable line of at most `most` characters."""
    return printable(" ".join(str(error).split())[:most] or type(error).__name__)


def kind_and_text(error: Exception, most: int = 200) -> str:
    """Return the kind of an error that nobody foresaw, and its text, as `one_line`."""
    return one_line(f"{type(error).__name__}: {error}", most)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the nearest of `known`, else " (one of: a, b, ...)"."""
    known = sorted(map(str, known))
    near = get_close_matches(str(word), known, n=1)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (one of: {', '.join(word or repr(word) for word in known)})" if known else ""
