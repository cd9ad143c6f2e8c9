"""Official weights from where their authors publish them, kept in a cache and never trusted."""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from astro_jax.errors import UserError


class Remote(NamedTuple):
    """A published file: its name, the folder it is in, the SHA-256 and the size of its bytes."""

    name: str
    folder: str
    sha256: str
    size: int


# ASTROMER of the paper, pre-trained on MACHO (A&A 670 A54); the authors' public repository
REMOTE = {
    "macho": Remote(
        "macho_a0.zip",
        "https://github.com/astromer-science/weights/raw/main",
        "76a204a37a0d47bfd722477f55231624c0c56cf9eea3369b5f22ff445d95158b",
        2495973,
    )
}
PIECE = 1 << 20  # bytes read at once
PATIENCE = 30.0  # seconds without an answer


def cache_folder() -> Path:
    """Return where downloads are kept: $ASTRO_JAX_CACHE, else ~/.cache/astro_jax."""
    return Path(os.environ.get("ASTRO_JAX_CACHE") or Path.home() / ".cache" / "astro_jax")


def fetch(name: str, remote: Remote | None = None) -> Path:
    """Return the path of a published file by name; download it where the cache lacks it.

    A cached file whose bytes have changed is fetched again. A download counts once it is whole and
    has the expected SHA-256, and is renamed into place only then. Works offline from the cache.
    remote: another place of it, such as a mirror
    Raises UserError where it cannot be had, with the address and how to put the file there by hand.
    """
    remote = REMOTE[name] if remote is None else remote
    path = cache_folder() / remote.name
    if path.is_file() and digest(path) == remote.sha256:
        return path
    url = f"{remote.folder}/{remote.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        found = _download(url, temporary, remote.size)
        if found != remote.sha256:
            raise UserError(
                f"{url} is not the file that is expected: SHA-256 {found} instead of "
                f"{remote.sha256}; nothing was kept"
            )
        os.replace(temporary, path)
    except (OSError, urllib.error.URLError) as error:
        raise UserError(
            f"{url} cannot be downloaded ({getattr(error, 'reason', error)}); put the file at "
            f"{path}, or give its path instead of '{name}'"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _download(url: str, path: Path, size: int) -> str:
    """Write what is at `url` to a file, `size` bytes and no more; return its SHA-256."""
    told, got = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer, path.open("wb") as handle:
        while piece := answer.read(PIECE):
            got += len(piece)
            if got > size:
                raise UserError(f"{url} is longer than the {size:,} bytes expected")
            told.update(piece)
            handle.write(piece)
    if got < size:
        raise UserError(f"{url} ended after {got:,} of {size:,} bytes; try again")
    return told.hexdigest()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    told = hashlib.sha256()
    with path.open("rb") as handle:
        while piece := handle.read(PIECE):
            told.update(piece)
    return told.hexdigest()
