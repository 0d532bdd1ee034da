from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine, from_matvec

from tmsprep.points import PointSet

from reference import FAILED_MM, LABELS, agreed, rate
from reference_parts.knob import ABOVE_MM, to_knob
from reference_parts.landmarks import LANDMARKS, OTHER_PLACES, PLACES, locate, read_places
from reference_parts.regions import (
    Frame,
    Parcellation,
    fit,
    landmarks,
    majority,
    mean_landmarks,
    mirrored_code,
    read_landmarks,
)

#: A head that is turned, larger and shifted.
MOVED = from_matvec(
    1.1 * np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]]), [5.0, -20.0, 12.0]
)


@pytest.fixture(scope='module')
def balls() -> Parcellation:
    """Balls of 5 mm at the centroids of the template's regions, in voxels of 2 mm."""
    shape, affine = (80, 100, 84), from_matvec(2 * np.eye(3), [-79.0, -110.0, -66.0])
    places = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    labels = np.zeros(shape, np.int16)
    for name, centre in read_landmarks().iterrows():
        if 'crown' not in str(name):
            labels[np.linalg.norm(places - centre.to_numpy(), axis=-1) < 5] = int(str(name))
    return Parcellation.make(labels, affine)


def test_fit_finds_an_affine(balls: Parcellation) -> None:
    template = pd.DataFrame.from_dict(landmarks(balls), orient='index', columns=['x', 'y', 'z'])
    frame = fit(Parcellation.make(balls.labels, MOVED @ balls.affine), template)
    points = np.array([[-40.0, -16, 63], [34, 54, -14]])
    assert frame.spline(points) == pytest.approx(apply_affine(MOVED, points), abs=1.5)
    assert frame.affine(points) == pytest.approx(apply_affine(MOVED, points), abs=1.5)
    assert frame.matrix == pytest.approx(np.linalg.inv(MOVED), abs=0.6)
    assert frame.residual_mm < 1.5


def test_too_few_regions(balls: Parcellation) -> None:
    few = np.where(balls.labels > 190, balls.labels, 0)
    with pytest.raises(ValueError, match=r'only .* regions of the template'):
        fit(Parcellation.make(few, balls.affine), read_landmarks())


def test_empty_parcellation() -> None:
    with pytest.raises(ValueError, match='empty'):
        Parcellation.make(np.zeros((4, 4, 4), np.int16), np.eye(4))


def test_points_mirror() -> None:
    shape, affine = (61, 60, 50), from_matvec(2 * np.eye(3), [-60.0, -60.0, 0.0])
    places = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    labels = np.zeros(shape, np.int16)
    # A dome of grey matter whose back half is the postcentral gyrus.
    radius = np.linalg.norm(places / [58, 58, 90], axis=-1)
    dome = (radius < 1) & (radius > 0.9)
    right = places[..., 0] > 0
    labels[dome] = np.where(right, 182, 183)[dome]
    back = dome & (places[..., 1] < -10 + 0.05 * np.abs(places[..., 0]))
    labels[back] = np.where(right, 176, 177)[back]
    points = locate(Parcellation.make(labels, affine), np.asarray, np.eye(4), read_places())
    for name in ('ULIMBMC', 'FACEMC'):
        left, other = points[f'L{name}'], points[f'R{name}']
        assert np.isfinite(left).all(), name
        assert left == pytest.approx(other * [-1, 1, 1], abs=0.3)
    # Gyri that the dome does not have.
    assert np.isnan(points['LHESCHL']).all()
    assert np.isnan(points['LDLPFC']).all()


def test_knob_of_a_straight_sulcus() -> None:
    x = np.repeat(np.arange(10.0, 70), 4)
    wall = np.column_stack([x, 0.5 * x - 40, np.tile([50.0, 52, 54, 56], 60)])
    assert to_knob(wall, np.array([42.0, -13, 67])) == pytest.approx([0, 0, 0], abs=0.3)


@pytest.mark.parametrize('side', [-1, 1])
def test_knob(side: int) -> None:
    x = np.repeat(np.arange(10.0, 70), 4)
    # 4 mm to the back at 41 mm from the midline: 4 mm outwards of where it is expected.
    bulge = 4 * np.exp(-0.5 * np.square((x - 41) / 4))
    wall = np.column_stack([side * x, -20 - bulge, np.tile([50.0, 52, 54, 56], 60)])
    shift = to_knob(wall, np.array([side * (37 + ABOVE_MM), -13, 67]))
    # Half of the way, as both count.
    assert 1.5 < side * shift[0] < 4
    assert shift[1:] == pytest.approx([0, 0], abs=0.5)


def test_knob_out_of_sight() -> None:
    assert (to_knob(np.zeros((3, 3)), np.array([42.0, -13, 67])) == 0).all()
    short = np.column_stack([np.linspace(35, 40, 99), np.zeros(99), np.zeros(99)])
    assert (to_knob(short, np.array([42.0, -13, 67])) == 0).all()


@pytest.mark.parametrize(
    ('code', 'other'), [(182, 183), (207, 206), (23, 30), (76, 75), (81, 82), (35, 35), (11, 11)]
)
def test_mirrored_code(code: int, other: int) -> None:
    assert mirrored_code(code) == other


def test_mean_landmarks() -> None:
    first = {'182': np.array([40.0, 0, 50]), '183': np.array([-42.0, 2, 50])}
    second = {'182': np.array([42.0, 0, 52]), '183': np.array([-44.0, 2, 52]), '35': np.zeros(3)}
    mean = mean_landmarks([first, second])
    assert mean.loc['182'].tolist() == [42, 1, 51]
    assert mean.loc['183'].tolist() == [-42, 1, 51]
    assert '35' not in mean.index


def test_majority() -> None:
    # Right 182 at one end, 183 at the other; the third brain has white matter on the right.
    volumes = [np.array([183, 0, 182], np.uint8)] * 2 + [np.array([183, 81, 81], np.uint8)]
    assert majority([v[:, None, None] for v in volumes]).ravel().tolist() == [183, 0, 182]


def test_failed_parcellation(balls: Parcellation) -> None:
    frame = Frame(np.asarray, np.asarray, np.eye(4), FAILED_MM + 0.1)
    rated = rate(balls, frame, all_three=True)
    assert set(rated) == {'spline', 'affine', 'other'}
    assert not any(points.found.any() for points in rated.values())


def test_starts_that_disagree() -> None:
    one = np.tile([10.0, 20, 30], (len(LABELS), 1))
    other = one.copy()
    other[0, 0] += 12.1
    other[1, 0] += 11.9
    other[2] = np.nan
    rated = {'spline': PointSet(LABELS, one), 'affine': PointSet(LABELS, other)}
    found = agreed(rated).found
    assert found.tolist() == [False, True, False, *[True] * (len(LABELS) - 3)]


@pytest.mark.parametrize('path', [PLACES, OTHER_PLACES])
def test_places_mirror(path: Path) -> None:
    places = read_places(path)
    assert set(places) == set(LABELS) == {landmark.label for landmark in LANDMARKS}
    for label, place in places.items():
        opposite = ('R' if label[0] == 'L' else 'L') + label[1:]
        if opposite in places:
            assert place.tolist() == (places[opposite] * [-1, 1, 1]).tolist()
