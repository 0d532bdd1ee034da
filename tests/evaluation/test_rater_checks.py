from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.evaluation.findings import Finding
from tmsprep.evaluation.rater_checks import (
    check_raters,
    copied_between_participants,
    describe_copy,
)
from tmsprep.formats import read_points
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, Target, load_protocol

PROTOCOL = load_protocol('tms')
# Places in a head whose midline is x = 0; those of the leg are 5 mm from it.
RIGHT = {
    'ROFC': (20, 40, -10),
    'RDLPFC': (38, 35, 35),
    'RFACEMC': (55, -5, 35),
    'RLLIMBMC': (5, -30, 75),
    'RULIMBMC': (37, -22, 60),
}
HEAD = RIGHT | {f'L{n[1:]}': (-x, y, z) for n, (x, y, z) in RIGHT.items()}
HEAD = {label: HEAD.get(label, (-45, -20, 8)) for label in PROTOCOL.labels}


def rater(number: int) -> dict[str, tuple[float, ...]]:
    """Points of a careful rater: up to 2 mm from the true place on each axis."""
    noise = np.random.default_rng(number).uniform(-2, 2, (len(HEAD), 3))
    return {label: tuple(HEAD[label] + noise[i]) for i, label in enumerate(HEAD)}


def check(*raters: dict, threshold: float = 12.0) -> list[Finding]:
    return check_raters({'sub-01': named(*raters)}, PROTOCOL, threshold)


def named(*raters: dict) -> dict[str, PointSet]:
    return {
        name: PointSet.from_mapping(points) for name, points in zip('ABCD', raters, strict=False)
    }


def summary(findings: list[Finding]) -> list[tuple[str, str | None]]:
    return [(finding.severity, finding.label) for finding in findings]


def moved(points: dict, x: float = 0, y: float = 0, z: float = 0) -> dict:
    return {label: tuple(np.add(place, (x, y, z))) for label, place in points.items()}


def flipped(points: dict) -> dict:
    return {label: (-x, -y, z) for label, (x, y, z) in points.items()}


def swapped(points: dict) -> dict:
    mirror = {target.label: target.mirror or target.label for target in PROTOCOL.targets}
    return {label: points[mirror[label]] for label in points}


def test_good_raters() -> None:
    for number in (0, 1, 2, 3, 4):
        assert check(*map(rater, range(number))) == []


def test_fewer_points() -> None:
    few = {label: place for label, place in rater(1).items() if label != 'LHESCHL'}
    (finding,) = check(few | {'ROFC': (np.nan,) * 3}, rater(2))
    assert (finding.severity, finding.label) == ('note', None)
    assert finding.message == 'sub-01, rater A: no point for ROFC, LHESCHL; the others are used'
    (finding,) = check(dict.fromkeys(HEAD, (np.nan,) * 3), rater(2))
    message = 'sub-01, rater A: every point in it is missing (n/a)'
    assert finding == Finding('warning', None, message, image='sub-01', rater='A')


def test_unknown_name() -> None:
    (finding,) = check(rater(1) | {'ldlpfc': (1, 2, 3)})
    assert (finding.severity, finding.label) == ('warning', 'ldlpfc')


def test_zeros() -> None:
    points = rater(1) | {'ROFC': (0, 0, 0), 'LDLPFC': (0, -0.0, 0)}
    findings = check(points, rater(2), rater(3))
    assert summary(findings) == [('error', 'ROFC'), ('error', 'LDLPFC')]
    assert all(f.message.startswith('sub-01, rater A: ') for f in findings)
    assert len(check(dict.fromkeys(HEAD, (0, 0, 0)))) == len(HEAD)


def test_two_targets_at_one_place() -> None:
    points = rater(1)
    findings = check(points | {'RFACEMC': points['RULIMBMC']}, rater(2), rater(3))
    assert sorted(f.label for f in findings) == ['RFACEMC', 'RULIMBMC']
    assert {f.severity for f in findings} == {'error'}


@pytest.mark.parametrize('others', [2, 3])
@pytest.mark.parametrize(
    ('bad', 'words'),
    [
        (moved(rater(1), y=20), 'shifted by'),
        (moved(rater(1), 10, -10, 10), 'shifted by'),
        (flipped(rater(1)), 'negating x and y'),
        (swapped(rater(1)), 'exchanging left and right'),
        ({label: (2 * x, 2 * y, 2 * z) for label, (x, y, z) in rater(1).items()}, 'no shift'),
    ],
)
def test_wrong_file(others: int, bad: dict, words: str) -> None:
    good = [rater(number) for number in range(2, 2 + others)]
    for place in range(others + 1):
        (finding,) = check(*good[:place], bad, *good[place:])
        assert (finding.severity, finding.label) == ('error', None)
        assert finding.message.startswith(f'sub-01, rater {"ABCD"[place]}, against the others: ')
        assert words in finding.message


def test_shift_message() -> None:
    (finding,) = check(moved(HEAD, y=-20), HEAD, moved(HEAD, x=0.01))
    assert 'by 20.0 mm (x, y, z: +0.0, -20.0, +0.0)' in finding.message


@settings(max_examples=30)
@given(
    direction=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    # Raters are up to 4 mm apart on each axis, so that 12 mm need 7 more to be sure.
    length=st.floats(19, 200),
    place=st.integers(0, 2),
)
def test_any_large_shift(direction: tuple, length: float, place: int) -> None:
    raters = [rater(1), rater(2), rater(3)]
    shift = np.array(direction) / np.linalg.norm(direction) * length
    raters[place] = moved(raters[place], *shift)
    (finding,) = check(*raters)
    assert f'rater {"ABC"[place]}, against' in finding.message
    assert 'shifted' in finding.message


def test_two_raters_by_anatomy() -> None:
    for bad, words in ((flipped(rater(1)), 'negating'), (swapped(rater(1)), 'exchanging')):
        (finding,) = check(rater(2), bad)
        assert 'rater B, against the others' in finding.message
        assert words in finding.message
    # Against no one the two cannot be told apart.
    (finding,) = check(flipped(rater(1)))
    assert 'LPS read as RAS' in finding.message
    assert 'others' not in finding.message


def test_two_raters_shifted() -> None:
    (finding,) = check(rater(1), moved(rater(2), z=30))
    assert 'raters A and B, one of which must be wrong' in finding.message


def test_flipped_majority() -> None:
    findings = check(rater(1), flipped(rater(2)), flipped(rater(3)))
    assert [f.message.split(',')[1] for f in findings] == [' rater B', ' rater C']
    assert all('negating' in f.message for f in findings)


def test_one_pair_swapped() -> None:
    points = rater(1)
    legs = points | {'LLLIMBMC': points['RLLIMBMC'], 'RLLIMBMC': points['LLLIMBMC']}
    for others in ((), (rater(2),), (rater(2), rater(3))):
        findings = check(legs, *others)
        assert summary(findings) == [('error', 'LLLIMBMC'), ('error', 'RLLIMBMC')]


def test_outlier() -> None:
    far = rater(1) | {'LHESCHL': (-45, -20, 40)}
    (finding,) = check(far, rater(2), rater(3))
    assert (finding.severity, finding.label) == ('warning', 'LHESCHL')
    assert finding.message.startswith('sub-01, rater A: LHESCHL is ')
    (finding,) = check(far, rater(2))
    assert finding.message.startswith('sub-01, raters A, B: no two of them agree on LHESCHL')
    assert check(far, rater(2), rater(3), threshold=40) == []
    # No other rater gave the point.
    others = [{**rater(n), 'LHESCHL': (np.nan,) * 3} for n in (2, 3)]
    assert summary(check(far, *others)) == [('note', None)] * 2


def test_three_disagree() -> None:
    places = [(-45, -20, z) for z in (8, 40, -25)]
    raters = [rater(n) | {'LHESCHL': place} for n, place in enumerate(places)]
    (finding,) = check(*raters)
    assert 'raters A, B, C: no two of them agree on LHESCHL; the nearest are 32.0 mm' in (
        finding.message
    )


def test_same_numbers_by_two_raters() -> None:
    (finding,) = check(rater(1), rater(2), rater(1))
    assert (finding.severity, finding.label) == ('warning', None)
    assert finding.message.startswith('sub-01, raters A and C: the very same point for LOFC, ROFC')
    one = rater(2) | {'LOFC': rater(1)['LOFC']}
    (finding,) = check(rater(1), one)
    assert (finding.severity, finding.label) == ('note', None)
    assert 'the very same point for LOFC.' in finding.message


def test_same_numbers_for_two_images() -> None:
    both = dict.fromkeys(('sub-01', 'sub-02'), named(rater(1)))
    (finding,) = check_raters(both, PROTOCOL)
    assert (finding.severity, finding.label) == ('warning', None)
    assert finding.message.startswith('sub-01 by rater A and sub-02 by rater A: the very same')


def test_too_few_points() -> None:
    few = {label: HEAD[label] for label in ('LOFC', 'LDLPFC', 'LFACEMC')}
    findings = check(moved(few, z=30), few, moved(few, y=1))
    assert [f.severity for f in findings].count('note') == 3
    assert sum('nearest other rater' in f.message for f in findings) == 3
    assert len(findings) == 6


def on_a_line(*places: float) -> PointSet:
    return PointSet(tuple('ABC'), np.array([(x, 2 * x, -x) for x in places]))


def test_copies() -> None:
    files = [
        ('01', on_a_line(1, 2, 3)),
        ('01', on_a_line(1, 2, 3)),
        ('02', on_a_line(9, 2, 3)),
        ('03', on_a_line(9, 5, 6)),
        ('04', on_a_line(np.nan, np.nan, np.nan)),
    ]
    # The two files of 01 are of one participant; 02 and 03 share one point.
    assert copied_between_participants(files) == {0: (2, 2), 1: (2, 2), 2: (0, 2)}


def test_copy_message() -> None:
    message = describe_copy(Path('a.tsv'), Path('b.tsv'), 3)
    assert message.startswith('a.tsv: 3 points are the very same as in b.tsv')


AFIDS = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'afids' / 'hcp' / 'afids_rater'
RIGHT_AFIDS = (6, 8, 12, 15, 17, 21, 23, 25, 27, 29, 31)
LEFT_AFIDS = (7, 9, 13, 16, 18, 22, 24, 26, 28, 30, 32)


def afids_protocol() -> Protocol:
    side = dict.fromkeys(RIGHT_AFIDS, 'R') | dict.fromkeys(LEFT_AFIDS, 'L')
    mirror = dict(zip(RIGHT_AFIDS, LEFT_AFIDS, strict=True))
    mirror |= {left: right for right, left in mirror.items()}
    targets = [
        Target(str(i), side.get(i, 'n/a'), '', '', str(mirror.get(i, ''))) for i in range(1, 33)
    ]
    return Protocol('afids', '', '', tuple(targets))


def afids_raters() -> dict[str, dict[str, PointSet]]:
    images: dict[str, dict[str, PointSet]] = {}
    for path in sorted(AFIDS.rglob('*.fcsv')):
        name = re.fullmatch(r'(sub-\d+)_space-T1w_desc-rater(\w+?)[_-]afids\.fcsv', path.name)
        images.setdefault(name[1], {})[name[2]] = read_points(path)
    return images


@pytest.mark.shared
@pytest.mark.skipif(not AFIDS.is_dir(), reason='no development data next to the checkout')
def test_human_raters() -> None:
    images, protocol = afids_raters(), afids_protocol()
    as_they_are = check_raters(images, protocol)
    assert summary(as_they_are) == [('note', None), ('warning', None), ('note', None)]
    assert 'raters ATs01 and ATs02: the very same point for 1, 2, 6' in as_they_are[1].message
    one = images['sub-103111']['CZ']
    for factor, shift, words in (
        ((-1, -1, 1), (0, 0, 0), 'negating'),
        ((-1, 1, 1), (0, 0, 0), 'exchanging'),
        ((1, 1, 1), (0, 0, 15), 'shifted'),
    ):
        spoilt = PointSet(one.labels, one.coordinates * factor + shift)
        changed = {**images, 'sub-103111': {**images['sub-103111'], 'CZ': spoilt}}
        (new,) = [f for f in check_raters(changed, protocol) if f not in as_they_are]
        assert new.message.startswith('sub-103111, rater CZ, against the others: ')
        assert words in new.message
