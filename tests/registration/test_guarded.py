"""Transforms that are damaged, read in a process that may end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tmsprep.registration.frames import write_linear
from tmsprep.registration.guarded import TransformReader

POINTS = np.array([[1.0, 2, 3], [-4, 5, 6]])
SHIFT = np.eye(4)
SHIFT[:3, 3] = (5, -7, 11)


@pytest.fixture(scope='module')
def reader() -> Iterator[TransformReader]:
    with TransformReader(timeout_s=20) as started:
        yield started


@pytest.fixture(scope='module')
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_linear(SHIFT, tmp_path_factory.mktemp('xfm') / 'good.h5')


def test_known_shift(reader: TransformReader, good: Path) -> None:
    moved = reader.move(POINTS, good)
    np.testing.assert_allclose(moved, [[6, -5, 14], [1, -2, 17]], atol=1e-6)


def test_end_of_the_process(reader: TransformReader, good: Path) -> None:
    """Whatever ends it: the file is named, and the next one is read."""
    reader.move(POINTS, good)
    assert reader._process is not None
    os.kill(reader._process.pid, signal.SIGSEGV)
    with pytest.raises(ValueError, match=r'good.h5: damaged, .* ITK with SIGSEGV. Delete it'):
        reader.move(POINTS, good)
    assert reader.move(POINTS, good).shape == (2, 3)


def test_damaged(reader: TransformReader, good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    damaged = {
        'cut.h5': content[: len(content) // 2],
        'zero.h5': bytes(len(content)),
        'empty.h5': b'',
        'text.h5': b'no transform',
        'text.mat': b'#Insight Transform File V1.0\nTransform: Affine\n',
        # The x axis of ITK points to the left.
        'nan.h5': content.replace(np.float64(-5).tobytes(), np.float64(np.nan).tobytes()),
    }
    assert damaged['nan.h5'] != content
    for name, changed in damaged.items():
        path = tmp_path / name
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=name):
            reader.move(POINTS, path)
    with pytest.raises(FileNotFoundError, match=r'no.h5'):
        reader.move(POINTS, tmp_path / 'no.h5')
    assert reader.move(POINTS, good).shape == (2, 3)


# Bytes among which some end ITK, by SIGSEGV or without end.
_TENDER = st.integers(2190, 2260) | st.integers(6200, 6240) | st.integers(0, 8391)


def test_endless(good: Path) -> None:
    late = 'too much memory, or longer than 0.01 s'
    with TransformReader(timeout_s=0.01) as hasty, pytest.raises(ValueError, match=late):
        hasty.move(POINTS, good)


@settings(
    max_examples=20, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None
)
@given(st.dictionaries(_TENDER, st.integers(0, 255), min_size=1, max_size=3))
def test_changed_bytes(
    reader: TransformReader, good: Path, tmp_path: Path, changes: dict[int, int]
) -> None:
    content = bytearray(good.read_bytes())
    for place, value in changes.items():
        content[place % len(content)] = value
    path = tmp_path / 'changed.h5'
    path.write_bytes(content)
    try:
        moved = reader.move(POINTS, path)
    except ValueError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
    else:
        assert np.isfinite(moved).all()
