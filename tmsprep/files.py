"""Checksums of files and of code."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

from tmsprep import __version__


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def code_version(kind: type) -> str:
    """Version of tmsprep, for a class of another package with a checksum of its module.

    Results that a class computed are reused while it stays the same.
    """
    if kind.__module__.startswith('tmsprep.'):
        return __version__
    return f'{__version__} {file_sha256(Path(inspect.getfile(kind)))}'
