from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tmsprep.formats import PointsFileError, read_points
from tmsprep.formats.brainsight import write_brainsight
from tmsprep.points import PointSet

HEADER = (
    '# Version: 14',
    '# Coordinate system: NIfTI:Q:Scanner',
    '# Created by: Brainsight 2.5.2',
    '# Units: millimetres, degrees, milliseconds, and microvolts',
    '# Encoding: UTF-8',
    '# Notes: Each column is delimited by a tab. Each value is delimited by a semicolon.',
)
TARGETS = (
    '# Target Name\tLoc. X\tLoc. Y\tLoc. Z\tm0n0\tm0n1\tm0n2\tm1n0\tm1n1\tm1n2\tm2n0\tm2n1\tm2n2'
)
ROTATION = '\t-1.0000\t0.0000\t0.0000\t0.0000\t-1.0000\t0.0000\t0.0000\t0.0000\t1.0000'


def export(path: Path, *lines: str, header: tuple[str, ...] = HEADER) -> Path:
    path.write_text('\r\n'.join([*header, *lines]) + '\r\n', encoding='utf-8')
    return path


def test_export_by_hand(tmp_path: Path) -> None:
    path = export(
        tmp_path / 'p.txt',
        '# Planned Landmark Name\tLoc. X\tLoc. Y\tLoc. Z',
        'nose\t1.0\t90.0\t-20.0',
        TARGETS,
        f'LDLPFC\t-38.0000\t44.0000\t26.0000{ROTATION}',
        'Ç 7\t(null)\t(null)\t(null)',
        f'RDLPFC\t38.5\t44\t2.6e1{ROTATION}',
        '# Sample Name\tIndex\tAssoc. Target\tLoc. X\tLoc. Y\tLoc. Z',
        'Sample 1\t1\tLDLPFC\t9\t9\t9',
    )
    points = read_points(path)
    assert points.labels == ('LDLPFC', 'Ç 7', 'RDLPFC')
    np.testing.assert_array_equal(
        points.coordinates, [[-38, 44, 26], [np.nan] * 3, [38.5, 44, 26]]
    )


@pytest.mark.parametrize(
    'system', ['NIfTI:Aligned', 'NIfTI:Scanner', 'NIfTI:S:Scanner', 'nifti:q:aligned']
)
def test_frames_of_the_image(tmp_path: Path, system: str) -> None:
    # Version 7 wrote units in lower case.
    header = ('# Version: 7', f'# Coordinate system: {system}', '# units: millimetres')
    path = export(tmp_path / 'p.txt', TARGETS, 'A\t1\t2\t3', header=header)
    assert read_points(path) == PointSet.from_mapping({'A': (1, 2, 3)})


@pytest.mark.parametrize('system', ['Brainsight', 'World', 'MNI', 'Talairach', ''])
def test_other_frames(tmp_path: Path, system: str) -> None:
    header = ('# Version: 14', f'# Coordinate system: {system}')
    path = export(tmp_path / 'mine.txt', TARGETS, 'A\t1\t2\t3', header=header)
    with pytest.raises(PointsFileError, match=rf'mine\.txt.*{system}.*NIfTI:S:Scanner'):
        read_points(path)


@pytest.mark.parametrize(
    ('system', 'codes', 'right'),
    [
        ('NIfTI:S:Scanner', (0, 1), True),
        ('NIfTI:S:Scanner', (1, 2), False),
        ('NIfTI:S:Aligned', (1, 2), True),
        ('NIfTI:Q:Aligned', (1, 2), False),
        ('NIfTI:Q:Scanner', (1, 4), True),
        ('NIfTI:S:MNI-152', (1, 4), True),
        ('NIfTI:S:MNI-152', (1, 1), False),
        ('NIfTI:S:Talairach', (1, 1), False),
        ('NIfTI:S:Talairach', None, False),
        ('NIfTI:Q:MNI-152', None, False),
        ('NIfTI:S:Other-Template', None, False),
        ('NIfTI:Scanner', (1, 2), True),
        ('NIfTI:Aligned', (1, 1), False),
        ('NIfTI:Q:', (0, 1), False),
        ('NIfTI:X:Scanner', (1, 1), False),
    ],
)
def test_code_of_the_image(
    tmp_path: Path, system: str, codes: tuple[int, int] | None, right: bool
) -> None:
    header = ('# Version: 13', f'# Coordinate system: {system}', '# Units: millimetres')
    path = export(tmp_path / 'mine.txt', TARGETS, 'A\t1\t2\t3', header=header)
    if right:
        assert read_points(path, codes) == PointSet.from_mapping({'A': (1, 2, 3)})
        return
    with pytest.raises(PointsFileError, match=rf'mine\.txt: coordinate system {system}, '):
        read_points(path, codes)


def test_two_frames(tmp_path: Path) -> None:
    other = ('# Coordinate system: NIfTI:S:Scanner',)
    with pytest.raises(PointsFileError, match="'coordinate system' has two values"):
        read_points(export(tmp_path / 'mine.txt', TARGETS, 'A\t1\t2\t3', *other))


@pytest.mark.parametrize(
    ('lines', 'message'),
    [
        ((), 'no targets'),
        (('# Target Name\tLoc. X\tLoc. Y\tLoc. Z\tLoc. X', 'A\t1\t2\t3\t4'), 'stands twice'),
        ((TARGETS, 'A\t1\t2\t3e6'), 'no coordinate'),
        (('# Sample Name\tLoc. X\tLoc. Y\tLoc. Z', 'A\t1\t2\t3'), 'no targets'),
        ((TARGETS, 'A\t1\t2'), 'line 8'),
        ((TARGETS, 'A\t1\t2\t(null)'), 'line 8'),
        ((TARGETS, 'A\t1\t2\t3,5'), 'line 8'),
        ((TARGETS, 'A\t1\t2\tnan'), 'line 8'),
        ((TARGETS, f'A\t1\t2\t3{ROTATION}\t0'), 'more values'),
        (('# Target Name\tLoc. X\tLoc. Y', 'A\t1\t2'), 'Loc. Z'),
        ((TARGETS, 'A\t1\t2\t3', 'A\t1\t2\t4'), "'A' appears twice"),
        ((TARGETS, '\t1\t2\t3'), 'no name'),
    ],
)
def test_wrong_file(tmp_path: Path, lines: tuple, message: str) -> None:
    path = export(tmp_path / 'mine.txt', *lines)
    with pytest.raises(PointsFileError, match=r'mine\.txt') as raised:
        read_points(path)
    assert message in str(raised.value)


def test_other_text(tmp_path: Path) -> None:
    path = tmp_path / 'mine.txt'
    for content in (b'', b'LDLPFC 1 2 3\n', b'\xff\xfe\x00\x80'):
        path.write_bytes(content)
        with pytest.raises(PointsFileError, match=r'mine\.txt'):
            read_points(path)
    export(path, TARGETS, header=(HEADER[1], '# Units: inches'))
    with pytest.raises(PointsFileError, match=r'mine\.txt: units are inches'):
        read_points(path)


def test_write_brainsight(tmp_path: Path) -> None:
    points = PointSet.from_mapping({'LDLPFC': (-38, 44, 26), 'ROFC': (np.nan,) * 3})
    path = write_brainsight(tmp_path / 'p.txt', points, 'NIfTI:Q:Scanner')
    lines = path.read_text().splitlines()
    assert lines[1] == HEADER[1]
    assert lines[-2] == TARGETS
    assert lines[-1] == f'LDLPFC\t-38.0000\t44.0000\t26.0000{ROTATION}'
    with pytest.raises(PointsFileError, match='World'):
        write_brainsight(tmp_path / 'other.txt', points, 'World')
    assert [p.name for p in tmp_path.iterdir()] == ['p.txt']
