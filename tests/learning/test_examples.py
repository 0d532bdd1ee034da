from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tmsprep.learning.examples import (
    Example,
    Record,
    fingerprint,
    participant_of,
    participants_of,
    split,
    usable,
)
from tmsprep.points import PointSet

POINTS = PointSet(('B', 'A'), np.array([[1.5, 2, 3], [np.nan] * 3]))


def named(*names: str) -> list[Example]:
    return [Example(name, Path(f'{name}_T1w.nii.gz')) for name in names]


def numbered(count: int) -> list[Example]:
    return named(*(f'sub-{i:02d}' for i in range(1, count + 1)))


@pytest.mark.parametrize('points', [POINTS, None])
@pytest.mark.parametrize('mask', [Path('/m.nii.gz'), None])
def test_record_json(points: PointSet | None, mask: Path | None) -> None:
    example = Example('sub-01_ses-A', Path('/a b/i.nii.gz'), points, mask)
    record = Record(example, 'f', Path('/cache'), 'broken', {'affine': [[1.0, 2.0]]})
    again = Record.from_json(record.to_json())
    assert again == record
    # Also the order of the targets, which is that of the protocol and not of the alphabet.
    assert points is None or again.example.points.labels == ('B', 'A')
    assert again.participant == 'sub-01'


def test_participants() -> None:
    assert participant_of('sub-01') == participant_of('sub-01_ses-A_run-2') == 'sub-01'
    examples = named('sub-02_ses-A', 'sub-01', 'sub-02_ses-B')
    assert participants_of(examples) == ['sub-02', 'sub-01']


def test_usable() -> None:
    one, two = (Record(example, '', Path()) for example in numbered(2))
    broken = Record(two.example, '', Path(), 'broken')
    assert usable([one, broken]) == [one]


def test_split_few() -> None:
    examples = numbered(19)
    assert split(examples) == (examples, [])


def test_split_sessions() -> None:
    names = [f'sub-{i:02d}_ses-{s}' for i in range(1, 21) for s in 'AB']
    training, validation = split(named(*names))
    expected = [f'sub-{i:02d}_ses-{s}' for i in (5, 10, 15, 20) for s in 'AB']
    assert [example.name for example in validation] == expected
    assert [example.name for example in training] == [n for n in names if n not in expected]


def test_split_least() -> None:
    # The fifth of five, the last of fewer.
    for count, name in ((5, 'sub-05'), (8, 'sub-05'), (2, 'sub-02')):
        training, validation = split(numbered(count), least=1)
        assert [example.name for example in validation] == [name]
        assert len(training) == count - 1
    with pytest.raises(ValueError, match='needs at least 2, 1 of them to validate'):
        split(numbered(1), least=1)


def test_fingerprint(tmp_path: Path) -> None:
    for name in ('image', 'mask', 'copy'):
        (tmp_path / name).write_text('mask' if name == 'mask' else 'image')
    bare = fingerprint(Example('a', tmp_path / 'image'), '1')
    masked = fingerprint(Example('a', tmp_path / 'image', mask=tmp_path / 'mask'), '1')
    assert fingerprint(Example('a', tmp_path / 'image'), '2') != bare
    assert bare == fingerprint(Example('b', tmp_path / 'copy'), '1') != masked
    (tmp_path / 'mask').write_text('another')
    assert masked != fingerprint(Example('a', tmp_path / 'image', mask=tmp_path / 'mask'), '1')
