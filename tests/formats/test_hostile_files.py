"""Files that are no files of points: read right, or refused by name, never anything else."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.formats import PointsFileError, read_points, write_points
from tmsprep.formats.parsing import MAX_BYTES
from tmsprep.points import PointSet

NAMES = ('p.tsv', 'p.mrk.json', 'p.fcsv', 'p.txt')
POINTS = PointSet.from_mapping(
    {'LOFC': (-34, 54, -14), 'ROFC': (34.5, 54, -14), 'LHESCHL': (np.nan,) * 3, '7': (1, -2, 3)}
)
JUNK = st.sampled_from(
    [
        *('\t', '\n', '\r', ',', '"', '#', ':', '=', ';', ' ', '-', '.', '0', '9', '1e999', 'nan'),
        *('{', '}', '[', ']', 'null', 'true', '\x00', '\x0b', '\u2028', '\ufeff', 'Ç', '1,5'),
        *('label', 'x', 'LOFC', 'RAS', 'LPS', 'CoordinateSystem', 'NIfTI:S:', 'Target Name'),
    ]
)


def read_or_refuse(path: Path) -> PointSet | None:
    try:
        return read_points(path)
    except PointsFileError as error:
        message = str(error)
    assert path.name in message
    assert len(message) < 1000
    return None


@pytest.mark.parametrize('name', NAMES)
@settings(max_examples=60)
@given(content=st.one_of(st.binary(max_size=200), st.lists(JUNK).map(''.join).map(str.encode)))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes) -> None:
    path = tmp_path_factory.mktemp('fuzz') / name
    path.write_bytes(content)
    read_or_refuse(path)


@pytest.mark.parametrize('name', NAMES)
@settings(max_examples=80)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), JUNK | st.just('')), min_size=1, max_size=4
    )
)
def test_changed_files(tmp_path_factory: pytest.TempPathFactory, name: str, changes: list) -> None:
    path = write_points(tmp_path_factory.mktemp('fuzz') / name, POINTS, system='NIfTI:S:Scanner')
    text = path.read_text(encoding='utf-8')
    for where, length, junk in changes:
        start = int(where * len(text))
        text = text[:start] + junk + text[start + length :]
    path.write_text(text, encoding='utf-8')
    points = read_or_refuse(path)
    if points is not None:
        assert (np.abs(points.coordinates[points.found]) <= 1e6).all()
        assert all(label.strip() and label.isprintable() for label in points.labels)


@pytest.mark.parametrize('name', NAMES)
@settings(max_examples=40)
@given(cut=st.floats(0, 1))
def test_cut_files(tmp_path_factory: pytest.TempPathFactory, name: str, cut: float) -> None:
    """A file cut short, not within a number, gives whole points that were in it, or is refused."""
    path = write_points(tmp_path_factory.mktemp('fuzz') / name, POINTS, system='NIfTI:S:Scanner')
    content = path.read_bytes()
    path.write_bytes(content[: int(cut * len(content))].rstrip(b'0123456789.-'))
    points = read_or_refuse(path)
    if points is not None:
        known = np.array(points.labels)[points.found].tolist()
        np.testing.assert_array_equal(
            points.reindex(known).coordinates, POINTS.reindex(known).coordinates
        )


@pytest.mark.parametrize('name', NAMES)
def test_no_regular_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    refused = pytest.raises(PointsFileError, match=rf'{name}: cannot be read as a file of points')
    with refused:
        read_points(path)
    path.rmdir()
    os.mkfifo(path)
    with refused:
        read_points(path)
    for target in ('/dev/zero', path):
        path.unlink()
        path.symlink_to(target)
        with refused:
            read_points(path)


def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The name of a socket may not be long.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as open_socket:
        open_socket.bind('p.tsv')
        with pytest.raises(PointsFileError, match=r'p\.tsv: cannot be read'):
            read_points(tmp_path / 'p.tsv')


@pytest.mark.parametrize('name', NAMES)
def test_giant_file(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open('wb') as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(PointsFileError, match=rf'{name}: cannot be read .*50 MiB'):
        read_points(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read every file')
@pytest.mark.parametrize('name', NAMES)
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    path = write_points(tmp_path / name, POINTS, system='NIfTI:S:Scanner')
    path.chmod(0)
    with pytest.raises(PointsFileError, match=rf'{name}: cannot be read'):
        read_points(path)
