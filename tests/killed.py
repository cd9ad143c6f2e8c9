"""Run the command line and die by SIGKILL inside or beside its N-th write: killed.py N words ...

Writes are counted where they happen: half of a file's bytes written, a piece of a table written,
before a file gets its name, and after.
"""

import os
import signal
import sys
from pathlib import Path

import pyarrow.parquet as pq

from astro_jax.main import main


def dying(deadline: int) -> None:
    """Replace the functions that write by ones that count, and end this process at `deadline`."""
    count = 0

    def passed() -> bool:
        nonlocal count
        count += 1
        return count == deadline

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    replace, write_bytes = os.replace, Path.write_bytes
    write_table, write_whole = pq.ParquetWriter.write_table, pq.write_table

    def replacing(source, target):
        if passed():
            die()
        replace(source, target)
        if passed():
            die()

    def writing_bytes(path, content):
        if passed():
            write_bytes(path, content[: len(content) // 2])
            die()
        return write_bytes(path, content)

    def writing_table(writer, *table, **options):
        write_table(writer, *table, **options)
        if passed():
            die()

    def writing_whole(table, where, **options):
        write_whole(table, where, **options)
        if passed():
            os.truncate(where, os.path.getsize(where) // 2)
            die()

    os.replace, Path.write_bytes = replacing, writing_bytes
    pq.ParquetWriter.write_table, pq.write_table = writing_table, writing_whole


if __name__ == "__main__":
    dying(int(sys.argv[1]))
    sys.exit(main(["main", *sys.argv[2:]]))
