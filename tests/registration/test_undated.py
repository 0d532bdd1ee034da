from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from tmsprep.registration.undated import lookup3, remove_times


@pytest.mark.parametrize(
    ('text', 'checksum'),
    # From the comments at the end of lookup3.c.
    [(b'', 0xDEADBEEF), (b'Four score and seven years ago', 0x17770551)],
)
def test_the_checksum_is_lookup3(text: bytes, checksum: int) -> None:
    assert lookup3(text) == checksum


def write_transform(path: Path) -> Path:
    import ants

    turned = [0.9, 0.1, 0, -0.1, 0.9, 0, 0, 0, 1.1, 3, -4, 5]
    transform = ants.create_ants_transform(dimension=3, parameters=turned)
    ants.write_transform(transform, str(path))
    return path


def test_a_transform_is_the_same_bytes_at_any_time(tmp_path: Path) -> None:
    import ants

    first = write_transform(tmp_path / 'first.h5')
    # The times are whole seconds.
    time.sleep(1.1)
    second = write_transform(tmp_path / 'second.h5')
    assert first.read_bytes() != second.read_bytes()
    dated = ants.read_transform(str(second))
    assert remove_times(first) == first
    remove_times(second)
    assert first.read_bytes() == second.read_bytes()
    undated = ants.read_transform(str(second))
    for point in ([0, 0, 0], [10, -20, 30]):
        assert list(undated.apply_to_point(point)) == list(dated.apply_to_point(point))
    again = first.read_bytes()
    assert remove_times(first).read_bytes() == again


def header(times: int, message: bytes = b'message') -> bytes:
    """Object header of version 2 with times, and a chunk size of one byte."""
    text = b'OHDR\x02\x20' + struct.pack('<4I', *[times] * 4) + bytes([len(message)]) + message
    return text + struct.pack('<I', lookup3(text))


def test_only_true_headers_are_touched(tmp_path: Path) -> None:
    path = tmp_path / 'x.h5'
    voxels = header(7)[:-4] + b'\x01\x02\x03\x04'
    without_times = b'OHDR\x02\x00' + b'\x07message'
    path.write_bytes(b'\x89HDF' + voxels + header(7) + without_times + b'OHDR\x02')
    remove_times(path)
    assert path.read_bytes() == b'\x89HDF' + voxels + header(0) + without_times + b'OHDR\x02'
