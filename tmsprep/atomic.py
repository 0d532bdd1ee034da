"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` if the block succeeds.

    The temporary name is hidden, ends in the same extensions (writers choose a format by them)
    and is removed when the block fails. Renaming inside one folder is atomic on POSIX systems.

    Parameters
    ----------
    path : Path
        Where the finished file goes; its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f'.{uuid.uuid4().hex[:8]}.{path.name}'
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a whole UTF-8 text file, or none."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding='utf-8')
    return Path(path)
