"""A method's points against the mean head of the protocol: heads of phantoms and what is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tmsprep.imaging.conform import conform, voxels_in_grid
from tmsprep.imaging.volume import percentile_window
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.outcome import Outcome
from tmsprep.phantoms import write_dataset
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')
Locate = Callable[[np.ndarray, np.ndarray], tuple[Outcome, Counter]]


@pytest.fixture(scope='module')
def phantom(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """Intensities and affine of a head at 2 mm."""
    bids = write_dataset(tmp_path_factory.mktemp('head'), [1], ['01'], voxel_size=(2.0, 2.0, 2.0))
    image = nib.load(bids / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz')
    return np.asarray(image.dataobj, dtype=np.float32), image.affine


@pytest.fixture
def locate(tmp_path: Path) -> Locate:
    def run(data: np.ndarray, affine: np.ndarray) -> tuple[Outcome, Counter]:
        image = nib.Nifti1Image(data.astype(np.float32), affine)
        conformed = conform(image)
        nib.save(conformed, tmp_path / 'conformed.nii')
        window = percentile_window(voxels_in_grid(image, conformed))
        properties = {'shape': data.shape, 'affine': affine, 'window': window}
        method = get_method('cnn')
        resources = method.resources(PROTOCOL, {})
        request = Request(
            tmp_path / 'conformed.nii', properties, PROTOCOL, resources, folder=tmp_path
        )
        outcome = method.check(method.locate(request), request)
        return outcome, Counter(method.status(outcome, [], PROTOCOL, properties))

    return run


@pytest.fixture(scope='module')
def points(phantom: tuple, tmp_path_factory: pytest.TempPathFactory) -> PointSet:
    found = locate.__wrapped__(tmp_path_factory.mktemp('points'))(*phantom)[0].points
    assert found is not None
    return found


def test_good_head(phantom: tuple, locate: Locate) -> None:
    outcome, statuses = locate(*phantom)
    assert statuses == {'ok': 11}
    assert outcome.findings == []
    assert min(outcome.columns['match']) > 0.62


def unfit(data: np.ndarray, kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == 'noise':
        return rng.random(data.shape)
    if kind == 'ball':
        away = np.square(np.indices(data.shape).T - np.array(data.shape) / 2).sum(axis=-1).T
        return (away < 40**2) + 0.01 * rng.random(data.shape)
    if kind == 'inverted':
        return data.max() - data
    if kind == 'half':
        return np.where(np.arange(len(data))[:, None, None] < len(data) // 2, 0, data)
    return np.concatenate([data[:, :, ::2], data[:, :, 1::2]], axis=2)


@pytest.mark.parametrize('kind', ['noise', 'ball', 'inverted', 'half', 'interleaved'])
def test_no_head(phantom: tuple, locate: Locate, kind: str) -> None:
    data, affine = phantom
    outcome, statuses = locate(unfit(data, kind), affine)
    assert not statuses['ok']
    assert outcome.findings


def test_turned_header(phantom: tuple, points: PointSet, locate: Locate) -> None:
    """The points are found, and flagged, as nothing tells left from right any more."""
    data, affine = phantom
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler('x', 95, degrees=True).as_matrix()
    outcome, statuses = locate(data, turn @ affine)
    assert outcome.points is not None
    assert outcome.points.distance(points.transformed(turn)).max() < 3
    assert statuses == {'unreliable': 11}
    assert 'turned by' in outcome.findings[0]


def test_cut_above(phantom: tuple, points: PointSet, locate: Locate) -> None:
    """The view ends 4 mm above the highest point; what is wrong is not called right."""
    data, affine = phantom
    top = points.coordinates[:, 2].max() + 4
    assert (affine[2, :2] == 0).all()
    last = round((top - affine[2, 3]) / affine[2, 2])
    cut = data[:, :, :last] if affine[2, 2] > 0 else data[:, :, last:]
    outcome, statuses = locate(cut, affine)
    assert outcome.points is not None
    assert statuses['near_edge'] + statuses['unreliable'] + statuses['outside_image'] >= 2


def test_wide_view(phantom: tuple, points: PointSet, locate: Locate) -> None:
    """110 mm of air, with a little noise, on all sides: only 3 % of the voxels are head."""
    data, affine = phantom
    wide = np.pad(data, 55) + np.random.default_rng(0).uniform(0, 2, np.array(data.shape) + 110)
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ [55, 55, 55]
    outcome, statuses = locate(wide, moved)
    assert outcome.points is not None
    assert outcome.points.distance(points).max() < 1
    assert statuses == {'ok': 11}
