from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tmsprep.evaluation.status import (
    STATUSES,
    edge_distance,
    on_wrong_side,
    outside_field_of_view,
    point_status,
)
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

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
HEAD = PointSet.from_mapping(RIGHT | LEFT | {'LHESCHL': (-45, -20, 8)}, PROTOCOL.labels)


def changed(points: PointSet = HEAD, **places: tuple | None) -> PointSet:
    rows = dict(zip(points.labels, points.coordinates, strict=True))
    rows |= {k: (np.nan,) * 3 if v is None else v for k, v in places.items()}
    return PointSet.from_mapping(rows, points.labels)


def swapped(points: PointSet, one: str, other: str) -> PointSet:
    return changed(points, **{one: tuple(points[other]), other: tuple(points[one])})


def statuses(points: PointSet, other: PointSet | None = None) -> dict[str, str]:
    found = point_status(points, other, PROTOCOL, SHAPE, AFFINE)
    assert set(found) <= set(STATUSES)
    return dict(zip(PROTOCOL.labels, found, strict=True))


def turned(points: PointSet, z: float, y: float = 0.0, x: float = 0.0) -> PointSet:
    turn = nib.eulerangles.euler2mat(*np.radians([z, y, x]))
    return points.transformed(nib.affines.from_matvec(turn, [8.0, -12.0, 20.0]))


def wrong(points: PointSet) -> set[str]:
    flags = on_wrong_side(points, PROTOCOL)
    return {label for label, flag in zip(PROTOCOL.labels, flags, strict=True) if flag}


def test_plain_head() -> None:
    assert set(statuses(HEAD).values()) == {'ok'}
    assert set(statuses(HEAD, HEAD).values()) == {'ok'}


ANGLES = [(0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 30, 0), (20, -20, 20)]


@pytest.mark.parametrize('angles', ANGLES)
def test_turned_head(angles: tuple[float, float, float]) -> None:
    # The legs' targets, 5 mm from the midline, keep their side.
    assert wrong(turned(HEAD, *angles)) == set()


@pytest.mark.parametrize('angles', ANGLES)
@pytest.mark.parametrize('name', ['OFC', 'LLIMBMC', 'FACEMC'])
def test_swapped_pair(angles: tuple, name: str) -> None:
    pair = {f'L{name}', f'R{name}'}
    assert wrong(turned(swapped(HEAD, *sorted(pair)), *angles)) == pair


def test_across_midline() -> None:
    assert wrong(changed(LHESCHL=(45, -20, 8))) == {'LHESCHL'}
    assert wrong(turned(changed(LHESCHL=(45, -20, 8)), 30)) == {'LHESCHL'}
    # Only one leg has crossed, by 3 mm; the plane stays where the other pairs put it.
    assert wrong(changed(LLLIMBMC=(3, -30, 75))) == {'LLLIMBMC'}


def test_all_swapped() -> None:
    mirrored = PointSet(HEAD.labels, HEAD.coordinates * [-1, 1, 1])
    assert wrong(mirrored) == set(PROTOCOL.labels)


def test_no_pairs() -> None:
    lonely = PointSet.from_mapping({'LOFC': (20, 40, -10)}, PROTOCOL.labels)
    assert wrong(lonely) == set()
    assert wrong(PointSet.from_mapping({}, PROTOCOL.labels)) == set()


def test_field_of_view() -> None:
    # Voxel 0 has its centre at x = -100 and its outer face at -100.5.
    inside = changed(LOFC=(-100.5, 40, -10), ROFC=(99.5, 40, -10))
    assert not outside_field_of_view(inside, SHAPE, AFFINE).any()
    for place in ((-100.6, 0, 0), (99.6, 0, 0), (0, 0, 109.6), (0, -140.6, 0)):
        flags = outside_field_of_view(changed(LOFC=place), SHAPE, AFFINE)
        assert flags.tolist() == [label == 'LOFC' for label in PROTOCOL.labels]


def test_missing() -> None:
    found = statuses(changed(ROFC=None), HEAD)
    assert found.pop('ROFC') == 'failed'
    assert set(found.values()) == {'ok'}
    assert set(statuses(PointSet.from_mapping({}, PROTOCOL.labels)).values()) == {'failed'}


def test_other_labels() -> None:
    some = PointSet.from_mapping({'LOFC': (-20, 40, -10), 'XX': (0, 0, 0)})
    found = statuses(some)
    assert found.pop('LOFC') == 'ok'
    assert set(found.values()) == {'failed'}


@pytest.mark.parametrize(('distance', 'status'), [(11.9, 'ok'), (12.1, 'disagreement')])
def test_disagreement(distance: float, status: str) -> None:
    other = changed(LOFC=(-20, 40 + distance, -10))
    assert statuses(HEAD, other)['LOFC'] == status
    assert statuses(other, HEAD)['LOFC'] == status
    assert statuses(HEAD, changed(LOFC=None))['LOFC'] == 'ok'


def test_most_serious_wins() -> None:
    # Across the midline and far from the other method: the side counts. Outside counts more.
    assert statuses(changed(LHESCHL=(45, -20, 8)), HEAD)['LHESCHL'] == 'wrong_side'
    assert statuses(changed(LHESCHL=(150, -20, 8)), HEAD)['LHESCHL'] == 'outside_image'


@pytest.mark.parametrize(
    ('left', 'right', 'expected'),
    [(-5, -2.5, ('ok', 'ok')), (-5, -3.5, ('ok', 'wrong_side')), (1, -1, ('wrong_side',) * 2)],
)
def test_at_the_midline(left: float, right: float, expected: tuple[str, str]) -> None:
    """The plane lies at x = 0: one point up to 3 mm across is on its side, an exchange is not."""
    found = statuses(changed(LLLIMBMC=(left, -25, 70), RLLIMBMC=(right, -25, 70)))
    assert (found['LLLIMBMC'], found['RLLIMBMC']) == expected


def test_near_edge() -> None:
    """The view is cut 8 mm above the legs' targets, then 4 mm above them."""
    places = {'RLLIMBMC', 'LLLIMBMC'}
    for above, radius, expected in ((8, None, set()), (8, 9.0, places), (4, None, places)):
        shape = (*SHAPE[:2], 75 + 110 + above)
        distance = edge_distance(HEAD, shape, AFFINE)
        assert distance[list(HEAD.labels).index('RLLIMBMC')] == pytest.approx(above - 0.5)
        given = None if radius is None else np.where(HEAD.coordinates[:, 2] > 70, radius, np.nan)
        found = point_status(HEAD, None, PROTOCOL, shape, AFFINE, radius_mm=given)
        flagged = {k for k, v in zip(HEAD.labels, found, strict=True) if v == 'near_edge'}
        assert flagged == expected


def test_gyrus() -> None:
    """Another gyrus is worse than the edge and another method; one that is unknown is not."""
    doubts = {'wrong_gyrus': ['LOFC', 'ROFC', 'LDLPFC'], 'gyrus_unknown': ['RDLPFC', 'LHESCHL']}
    points = changed(LHESCHL=None, ROFC=(20, 97, -10))
    other = changed(LDLPFC=(-38, 35, 60), RDLPFC=(38, 35, 60))
    found = point_status(
        points, other, PROTOCOL, SHAPE, AFFINE, unreliable=['LOFC'], doubts=doubts
    )
    named = dict(zip(points.labels, found, strict=True))
    assert named.pop('LHESCHL') == 'failed'
    assert named.pop('LOFC') == 'unreliable'
    assert (named.pop('ROFC'), named.pop('LDLPFC')) == ('wrong_gyrus', 'wrong_gyrus')
    assert named.pop('RDLPFC') == 'disagreement'
    assert set(named.values()) == {'ok'}
    alone = point_status(points, None, PROTOCOL, SHAPE, AFFINE, doubts=doubts)
    assert alone[PROTOCOL.labels.index('RDLPFC')] == 'gyrus_unknown'


def test_unreliable() -> None:
    """Not as bad as lying outside, but where nothing can be relied on, the side cannot either."""
    points = changed(LFACEMC=(55, -5, 35), LOFC=None, ROFC=(20, 40, -300))
    doubted = ('LOFC', 'ROFC', 'RDLPFC')
    found = point_status(points, None, PROTOCOL, SHAPE, AFFINE, unreliable=doubted)
    named = dict(zip(points.labels, found, strict=True))
    assert [named[label] for label in doubted] == ['failed', 'outside_image', 'unreliable']
    assert named['LFACEMC'] == 'wrong_side'
    found = point_status(points, None, PROTOCOL, SHAPE, AFFINE, unreliable=points.labels)
    assert dict(zip(points.labels, found, strict=True))['LFACEMC'] == 'unreliable'
    assert named['RULIMBMC'] == 'ok'
