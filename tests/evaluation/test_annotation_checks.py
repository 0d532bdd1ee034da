from __future__ import annotations

import numpy as np
import pytest

from tmsprep.evaluation.annotation_checks import check_points, usable_points
from tmsprep.evaluation.findings import Finding
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, load_protocol

PROTOCOL = load_protocol('tms')
SHAPE = (200, 240, 220)
AFFINE = np.array([[1.0, 0, 0, -100], [0, 1, 0, -140], [0, 0, 1, -110], [0, 0, 0, 1]])
# Places in a head whose midline is x = 0; those of the leg are 5 mm from it.
RIGHT = {
    'ROFC': (20, 40, -10),
    'RDLPFC': (38, 35, 35),
    'RFACEMC': (55, -5, 35),
    'RLLIMBMC': (5, -30, 75),
    'RULIMBMC': (37, -22, 60),
}
LEFT = {f'L{name[1:]}': (-x, y, z) for name, (x, y, z) in RIGHT.items()}
HEAD = RIGHT | LEFT | {'LHESCHL': (-45, -20, 8)}


def check(points: dict, protocol: Protocol = PROTOCOL) -> tuple[list[Finding], PointSet]:
    given = PointSet.from_mapping(points)
    findings = check_points(given, protocol, SHAPE, AFFINE)
    return findings, usable_points(given, findings, protocol)


def summary(points: dict) -> set[tuple[str, str | None]]:
    return {(finding.severity, finding.label) for finding in check(points)[0]}


def kept(points: dict) -> set[str]:
    usable = check(points)[1]
    assert usable.labels == PROTOCOL.labels
    return set(np.array(usable.labels)[usable.found])


def test_good_points() -> None:
    findings, usable = check(HEAD)
    assert findings == []
    assert usable == PointSet.from_mapping(HEAD, PROTOCOL.labels)


def test_fewer_points() -> None:
    few = {label: place for label, place in HEAD.items() if label != 'LHESCHL'}
    few['ROFC'] = (np.nan,) * 3
    (finding,) = check(few)[0]
    assert (finding.severity, finding.label) == ('note', None)
    assert 'no point for ROFC, LHESCHL' in finding.message
    assert kept(few) == set(HEAD) - {'LHESCHL', 'ROFC'}


def test_unknown_name() -> None:
    findings, usable = check(HEAD | {'ldlpfc ': (1, 2, 3)})
    (finding,) = findings
    assert (finding.severity, finding.label) == ('warning', 'ldlpfc ')
    assert 'did you mean LDLPFC' in finding.message
    assert usable.found.all()


def test_no_known_name() -> None:
    findings, usable = check({'F-1': (1, 2, 3), 'F-2': (4, 5, 6)})
    (finding,) = findings
    assert (finding.severity, finding.label) == ('error', None)
    assert "'F-1', 'F-2'" in finding.message
    assert '--protocol' in finding.message
    assert not usable.found.any()
    assert summary({}) == {('error', None)}


def test_all_missing() -> None:
    assert summary(dict.fromkeys(HEAD, (np.nan,) * 3)) == {('warning', None)}


def test_origin() -> None:
    points = HEAD | {'ROFC': (0, 0, 0), 'LDLPFC': (0.0, -0.0, 0)}
    assert summary(points) == {('error', 'ROFC'), ('error', 'LDLPFC')}
    assert kept(points) == set(HEAD) - {'ROFC', 'LDLPFC'}
    assert kept(dict.fromkeys(HEAD, (0, 0, 0))) == set()


def test_outside_image() -> None:
    points = HEAD | {'ROFC': (20, 40, -111)}
    assert summary(points) == {('error', 'ROFC')}
    assert kept(points) == set(HEAD) - {'ROFC'}
    # However far: one slip is not another image.
    assert summary(HEAD | {'ROFC': (20, 40, 90000)}) == {('error', 'ROFC')}
    # The outer face of the first voxel is at -110.5.
    inside = check(HEAD | {'ROFC': (20, 40, -110.4)})[0]
    assert ['is outside' in finding.message for finding in inside] == [False]


def moved(x: float = 0, y: float = 0, z: float = 0) -> dict:
    return {label: tuple(np.add(place, (x, y, z))) for label, place in HEAD.items()}


@pytest.mark.parametrize('points', [moved(z=70), moved(100, 140, 110), moved(y=-130)])
def test_another_image(points: dict) -> None:
    (finding,) = check(points)[0]
    assert (finding.severity, finding.label) == ('error', None)
    assert 'may belong to another image' in finding.message
    assert kept(points) == set()


def test_corner_of_image() -> None:
    affine = np.diag([2.0, 2, 2, 1])
    given = PointSet.from_mapping(HEAD)
    (finding,) = check_points(given, PROTOCOL, (200, 200, 200), affine + _shift(-100, -100, -150))
    # The middle of the image is at (99, 99, 49).
    assert 'from the middle of the image' in finding.message


def _shift(*by: float) -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[:3, 3] = by
    return shift


def test_swapped_pair() -> None:
    points = HEAD | {'LOFC': HEAD['ROFC'], 'ROFC': HEAD['LOFC']}
    assert summary(points) == {('error', 'LOFC'), ('error', 'ROFC')}
    legs = HEAD | {'LLLIMBMC': HEAD['RLLIMBMC'], 'RLLIMBMC': HEAD['LLLIMBMC']}
    assert summary(legs) == {('error', 'LLLIMBMC'), ('error', 'RLLIMBMC')}


def test_wrong_side() -> None:
    points = HEAD | {'LHESCHL': (45, -20, 8)}
    assert summary(points) == {('error', 'LHESCHL')}
    assert kept(points) == set(HEAD) - {'LHESCHL'}


def test_just_across_midline() -> None:
    points = HEAD | {'LLLIMBMC': (3, -30, 70)}
    assert summary(points) == {('warning', 'LLLIMBMC')}
    assert kept(points) == set(HEAD)


def test_lps_read_as_ras() -> None:
    points = {label: (-x, -y, z) for label, (x, y, z) in HEAD.items()}
    (finding,) = check(points)[0]
    assert (finding.severity, finding.label) == ('error', None)
    assert 'LPS' in finding.message
    assert kept(points) == set()


def test_lps_by_field_of_view() -> None:
    # An image far off the isocentre: with x and y negated no point is in it.
    affine = AFFINE + _shift(30, 150, 0)
    given = {label: (-x - 30, -y - 150, z) for label, (x, y, z) in HEAD.items()}
    (finding,) = check_points(PointSet.from_mapping(given), PROTOCOL, SHAPE, affine)
    assert 'may be LPS' in finding.message


def test_points_of_one_side() -> None:
    assert {severity for severity, _ in summary(LEFT)} == {'note'}
    flipped = {label: (-x, -y, z) for label, (x, y, z) in LEFT.items()}
    # The leg's point is only 5 mm across, LOFC exactly 20 from x = 0, whose middle is at -0.5.
    far = {'LOFC', 'LDLPFC', 'LFACEMC', 'LULIMBMC'}
    assert summary(flipped) == {('note', None), *(('error', label) for label in far)}


def test_two_targets_at_one_place() -> None:
    points = HEAD | {'RFACEMC': HEAD['RULIMBMC']}
    assert summary(points) == {('error', 'RFACEMC'), ('error', 'RULIMBMC')}
    assert summary(HEAD | {'RFACEMC': tuple(np.add(HEAD['RULIMBMC'], (0, 0, 0.2)))}) == set()
