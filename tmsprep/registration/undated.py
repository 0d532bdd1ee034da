"""Take the times out of ITK's HDF5 files, so that the same transform is the same bytes.

ITK notes in each object of a composite transform when it was written. The format is described in
the HDF5 File Format Specification, version 3, section IV.A.1.b (version 2 object headers); the
checksum is Jenkins' lookup3 (http://burtleburtle.net/bob/c/lookup3.c, ``hashlittle``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_SIGNATURE = b'OHDR\x02'
_TIMES_STORED, _PHASE_CHANGE_STORED, _SIZE_OF_SIZE = 0x20, 0x10, 0x03
_TIMES = slice(6, 22)
"""Access, modification, change and birth time, 4 bytes each, after signature and flags."""

_WORD = 0xFFFFFFFF


def remove_times(path: Path) -> Path:
    """Set all times that an HDF5 file holds to zero (1970), in place.

    Only headers whose checksum is right are touched, so that voxels that look like the start of
    one stay as they are.

    Parameters
    ----------
    path : Path
        Composite transform as ITK writes it.

    Returns
    -------
    Path
        The same.
    """
    content = bytearray(path.read_bytes())
    for start, end in _headers(content):
        header = content[start:end]
        header[_TIMES] = bytes(16)
        content[start:end] = header
        content[end : end + 4] = struct.pack('<I', lookup3(bytes(header)))
    path.write_bytes(content)
    return path


def _headers(content: bytearray) -> Iterator[tuple[int, int]]:
    """Yield start and end, without the checksum, of each object header that holds times."""
    start = content.find(_SIGNATURE)
    while start >= 0:
        end = _end(content, start)
        if end is not None:
            yield start, end
        start = content.find(_SIGNATURE, start + 1)


def _end(content: bytearray, start: int) -> int | None:
    """Find where a header's checksum stands; None if this is no header with times."""
    flags = content[start + 5] if start + 5 < len(content) else 0
    if not flags & _TIMES_STORED:
        return None
    place = start + _TIMES.stop + (4 if flags & _PHASE_CHANGE_STORED else 0)
    width = 1 << (flags & _SIZE_OF_SIZE)
    end = place + width + int.from_bytes(content[place : place + width], 'little')
    stored = bytes(content[end : end + 4])
    if len(stored) < 4 or struct.pack('<I', lookup3(bytes(content[start:end]))) != stored:
        return None
    return end


def lookup3(data: bytes) -> int:
    """Compute the checksum of HDF5's metadata: ``hashlittle`` of lookup3 with initial value 0."""
    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    if not data:
        return c
    padded = data + bytes(-len(data) % 12)
    blocks = list(struct.iter_unpack('<3I', padded))
    for x, y, z in blocks[:-1]:
        a, b, c = _mix((a + x) & _WORD, (b + y) & _WORD, (c + z) & _WORD)
    x, y, z = blocks[-1]
    return _final((a + x) & _WORD, (b + y) & _WORD, (c + z) & _WORD)


def _rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _WORD


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _WORD) ^ _rotate(c, bits)
        c = (c + b) & _WORD
        # The next line of the original does the same with the next three letters.
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, bits)) & _WORD
        a, b, c = b, c, a
    return b
