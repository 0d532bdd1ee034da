from __future__ import annotations

from functools import cache

import nibabel as nib
import numpy as np
import pytest
from scalp_data import CENTRE, as_image, grid, spheres, with_air

from tmsprep.evaluation.head import MeanHead
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.protocols.protocol import FIDUCIALS
from tmsprep.scalp.checks import MeanScalp
from tmsprep.scalp.fiducials import Fiducials, NotInView, find_fiducials
from tmsprep.scalp.surface import HeadSurface, head_surface
from tmsprep.scalp.ten_twenty import (
    CUT,
    ScalpCheck,
    TenTwenty,
    beam_f3,
    lay_tape,
    runs_over_plane,
    ten_twenty,
)

RADIUS = 100.0
PROTOCOL = load_protocol('tms')


@cache
def ball(radius: float = RADIUS) -> HeadSurface:
    return head_surface(spheres(*grid(fov=2 * radius + 20), ((radius, 800.0),)))


def place(azimuth: float, elevation: float) -> np.ndarray:
    """Place on the ball, from straight ahead to the right and up, degrees."""
    a, e = np.radians([azimuth, elevation])
    return CENTRE + RADIUS * np.array([np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), np.sin(e)])


EQUATOR = Fiducials(place(0, 0), place(180, 0), place(-90, 0), place(90, 0))


def test_ball() -> None:
    """On a ball, shares of the tapes are angles: 10 % of the way over the top is 18 degrees."""
    found = ten_twenty(ball(), EQUATOR)
    half = np.pi * RADIUS
    assert found.measures['NasionInion'] == pytest.approx(half, rel=0.01)
    assert found.measures['TragusTragus'] == pytest.approx(half, rel=0.01)
    level = 2 * half * np.cos(np.radians(18))
    assert found.measures['Circumference'] == pytest.approx(level, rel=0.01)
    expected = {
        'Cz': place(0, 90),
        'C3': place(-90, 54),
        'C4': place(90, 54),
        'F3': between(place(-54, 18), place(0, 54), place(54, 18)),
        'F4': between(place(54, 18), place(0, 54), place(-54, 18)),
        'Nasion': place(0, 0),
    }
    for name, where in expected.items():
        assert np.linalg.norm(found.positions[name] - where) < 2, name


def test_beam_on_a_ball() -> None:
    """From Fpz along the circle by X, then from the top towards that place by Y."""
    found = ten_twenty(ball(), EQUATOR)
    half = np.pi * RADIUS
    x, y = beam_f3(half, half, 2 * half * np.cos(np.radians(18)))
    azimuth = np.degrees(x / (RADIUS * np.cos(np.radians(18))))
    elevation = 90 - np.degrees(y / RADIUS)
    for name, side in (('BeamF3', -1), ('BeamF4', 1)):
        where = place(side * azimuth, elevation)
        assert np.linalg.norm(found.positions[name] - where) < 2.5, name


def test_pad_under_a_tape() -> None:
    """A pad in front on the left moves F3 and the circumference, but not Cz."""
    image = spheres(*grid(fov=2 * RADIUS + 80), ((RADIUS, 800.0),))
    data = np.asarray(image.dataobj).copy()
    voxels = np.stack(np.indices(data.shape), axis=-1)
    places = nib.affines.apply_affine(image.affine, voxels)
    data[np.linalg.norm(places - 1.1 * place(-54, 18), axis=-1) < 30] = 800
    found = ten_twenty(head_surface(nib.Nifti1Image(data, image.affine)), EQUATOR)
    assert np.linalg.norm(found.positions['Cz'] - place(0, 90)) < 2
    for name in ('F3', 'F4', 'BeamF3', 'BeamF4'):
        assert np.isnan(found.positions[name]).all()
        assert 'mm apart: a tape runs over no scalp' in found.missing[name]
    assert 'Circumference' not in found.measures


def between(start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Half-way from the start to the middle of an arc of a circle, symmetric about its middle."""
    chord = (start + end) / 2 - middle
    first, across = np.linalg.norm(chord), np.linalg.norm(end - start) / 2
    radius = (first**2 + across**2) / (2 * first)
    centre = middle + chord / first * radius
    way = (start - centre + middle - centre) / 2
    return centre + way / np.linalg.norm(way) * radius


def test_turned_head() -> None:
    """Ears that stand askew move Cz, but not the share of the way at which it lies."""
    askew = Fiducials(place(0, 0), place(180, 0), place(-90, 8), place(90, -8))
    found = ten_twenty(ball(), askew)
    assert np.linalg.norm(found.positions['Cz'] - place(90, 82)) < 2


def test_no_adult_head() -> None:
    scale = Fiducials(*(CENTRE + (p - CENTRE) * 0.7 for p in EQUATOR))
    with pytest.raises(NotInView, match=r'NasionInion of 22\d mm is not that of an adult head'):
        ten_twenty(ball(70.0), scale)


def test_tape_between_two_places() -> None:
    tape = lay_tape(ball(), CENTRE, place(0, 90), place(30, 0))
    assert tape.length == pytest.approx(np.pi / 2 * RADIUS, rel=0.01)
    assert np.linalg.norm(tape.part(0.5) - place(30, 45)) < 1.5


def test_published_example() -> None:
    """A demonstration of the method: 36 cm from ear to ear, 38 front to back, 60 around."""
    x, y = beam_f3(380, 360, 600)
    assert x == pytest.approx(69.5, abs=0.05)
    # The position scales with the head.
    assert beam_f3(38, 36, 60) == pytest.approx((x / 10, y / 10))


@pytest.fixture(scope='module')
def mean() -> MeanScalp:
    return MeanScalp(MeanHead.load(PROTOCOL.file(PROTOCOL.head)))


@pytest.fixture(scope='module')
def average(mean: MeanScalp) -> nib.Nifti1Image:
    return as_image(mean.head)


def fiducials(image: nib.Nifti1Image, mean: MeanScalp) -> Fiducials:
    points = PointSet(mean.head.labels, mean.head.landmarks)
    field = image.shape, image.affine
    return find_fiducials(head_surface(image), points, mean, PROTOCOL.fiducials, *field)


def test_mean_head(average: nib.Nifti1Image, mean: MeanScalp) -> None:
    """Landmarks lie where the protocol says that they do on average; the nasion is found."""
    found = fiducials(average, mean)
    for name, place in zip(FIDUCIALS, found, strict=True):
        # The blurred skin of the neck lies behind that of most heads.
        limit = (2, 14, 6) if name == 'inion' else (6, 6, 6)
        assert (np.abs(place - PROTOCOL.fiducials[name]) < limit).all(), name
    assert found.up @ [0, 0, 1] > 0.9


@pytest.mark.parametrize(
    ('axis', 'beyond', 'message'),
    [
        (1, 60, 'the root of the nose is not seen: the image is defaced or cut'),
        (0, 40, 'no scalp is seen at the right ear: the image is defaced or cut'),
    ],
)
def test_defaced(
    average: nib.Nifti1Image, mean: MeanScalp, axis: int, beyond: float, message: str
) -> None:
    data = np.array(average.dataobj)
    voxel = round((beyond - average.affine[axis, 3]) / average.affine[axis, axis])
    np.moveaxis(data, axis, 0)[voxel:] = 0
    with pytest.raises(NotInView, match=message):
        fiducials(nib.Nifti1Image(data, average.affine), mean)


def test_outside_the_field_of_view(average: nib.Nifti1Image, mean: MeanScalp) -> None:
    image = average.slicer[24:]
    with pytest.raises(NotInView, match='the left ear is not in the field of view'):
        fiducials(image, mean)


@pytest.fixture(scope='module')
def head(average: nib.Nifti1Image) -> nib.Nifti1Image:
    return with_air(average)


def measured(image: nib.Nifti1Image, mean: MeanScalp) -> TenTwenty:
    """Measure the mean head, or what is left of it."""
    points = PointSet(mean.head.labels, mean.head.landmarks)
    field = image.shape, image.affine
    surface = head_surface(image)
    found = find_fiducials(surface, points, mean, PROTOCOL.fiducials, *field)
    return ten_twenty(surface, found, ScalpCheck(surface, points, mean, *field))


def last_voxel(image: nib.Nifti1Image, axis: int, end: int, mm: int) -> int:
    """Index of the voxel so far inside of the last one of the head along an axis."""
    others = tuple(i for i in range(3) if i != axis)
    seen = np.flatnonzero(np.asarray(image.dataobj).max(axis=others) > 300)
    return int(seen[-1] - mm if end > 0 else seen[0] + mm)


@pytest.mark.parametrize('missing_mm', [0, 8, 26])
@pytest.mark.parametrize('padded', [True, False])
def test_cut_above(head: nib.Nifti1Image, mean: MeanScalp, missing_mm: int, padded: bool) -> None:
    """Cz would lie on the cut, that far inside; whether zeros fill the rest does not matter."""
    if not missing_mm:
        whole = measured(head, mean)
        assert whole.missing == {}
        assert np.isfinite(list(whole.positions.values())).all()
        return
    top = last_voxel(head, 2, 1, missing_mm)
    image = head.slicer[:, :, : top - top % 2]
    if padded:
        data = np.array(head.dataobj)
        data[:, :, top:] = 0
        image = nib.Nifti1Image(data, head.affine)
    with pytest.raises(NotInView, match='on the tapes over the vertex the'):
        measured(image, mean)


@pytest.mark.parametrize(('end', 'missing_mm'), [(1, 8), (1, 26), (-1, 8), (-1, 26)])
def test_cut_in_front_and_behind(
    head: nib.Nifti1Image, mean: MeanScalp, end: int, missing_mm: int
) -> None:
    """What is given all the same lies within 3 mm of where it is in the whole head."""
    whole = measured(head, mean).positions
    data = np.moveaxis(np.array(head.dataobj), 1, 0)
    at = last_voxel(head, 1, end, missing_mm)
    data[slice(at, None) if end > 0 else slice(at)] = 0
    cut = nib.Nifti1Image(np.moveaxis(data, 0, 1), head.affine)
    try:
        left = measured(cut, mean).positions
    except NotInView:
        return
    off = {name: np.linalg.norm(left[name] - where) for name, where in whole.items()}
    assert not any(mm > 3 for mm in off.values()), off


def test_forehead_cut() -> None:
    """A tape that runs over a cut takes only that with it that hangs on it."""
    image = spheres(*grid(fov=220), ((RADIUS, 800.0),))
    data = np.array(image.dataobj)
    where = nib.affines.apply_affine(image.affine, np.argwhere(data > 0)) - CENTRE
    side = place(-60, 20) - CENTRE
    gone = where @ side > RADIUS * 90
    data[tuple(np.argwhere(data > 0)[gone].T)] = 0
    surface = head_surface(nib.Nifti1Image(data, image.affine))
    found = ten_twenty(
        surface, EQUATOR, lambda tape: CUT if runs_over_plane(tape, surface) else ''
    )
    names = {'Circumference', 'BeamX', 'BeamY'}
    assert found.missing.keys() == {*names, 'F3', 'F4', 'BeamF3', 'BeamF4'}
    assert set(found.missing.values()) == {f'on the tape around the head {CUT}'}
    assert found.measures.keys() == {'NasionInion', 'TragusTragus'}
    known = [name for name, p in found.positions.items() if np.isfinite(p).all()]
    assert known == ['C3', 'C4', 'Cz', 'Nasion', 'Inion', 'LPA', 'RPA']
    assert np.linalg.norm(found.positions['C3'] - place(-90, 54)) < 2
