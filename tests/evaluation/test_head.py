"""The mean head: heads with a known place, size and damage."""

from __future__ import annotations

import math
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform, gaussian_filter
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.head import BALL_MM, Limits, MeanHead
from tmsprep.imaging.conform import as_image
from tmsprep.points import PointSet

LIMITS = Limits(
    match=0.65,
    local_match=0.6,
    scale=(0.8, 1.2),
    stretch=(0.9, 1.1),
    rotation_deg=75.0,
    residual_mm=6.0,
    dispersion_mm=1.2,
    mean_dispersion_mm=0.6,
)
LABELS = ('LA', 'RA', 'LB', 'RB', 'LC', 'RC')
LANDMARKS = np.array(
    [[-30.0, 50, -30], [30, 50, -30], [-40, 0, 30], [40, 0, 30], [-20, -50, 10], [20, -50, 10]]
)
#: Axes of the conformed grid, its middle at 0 mm; voxels of 2 mm are faster.
GRID = np.array([[-2.0, 0, 0, 127], [0, -2, 0, 127], [0, 0, 2, -127], [0, 0, 0, 1]])


@pytest.fixture(scope='module')
def model() -> MeanHead:
    """A mean head of smooth noise in a ball of 85 mm, the same for every test."""
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -94
    shape = (48, 48, 48)
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(shape), 4)
    grid = apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    away = np.linalg.norm(grid, axis=-1)
    image = np.where(away < 85, 0.8 + 0.3 * noise / noise.std(), 0).clip(0, 2).astype(np.float32)
    return MeanHead(LABELS, LANDMARKS, image, away < 70, affine, LIMITS, {'data': 'made up'})


def head(model: MeanHead, motion: np.ndarray) -> tuple[nib.Nifti1Image, PointSet]:
    """The mean head itself, moved, on the conformed grid, and its points."""
    mapping = np.linalg.inv(model.affine) @ np.linalg.inv(motion) @ GRID
    moved = affine_transform(
        model.image, mapping[:3, :3], mapping[:3, 3], output_shape=(128,) * 3, order=1
    )
    return as_image(moved, GRID), PointSet(LABELS, apply_affine(motion, LANDMARKS))


def motion(scale: float = 1.0, degrees: float = 0.0, shift: float = 0.0) -> np.ndarray:
    matrix = np.eye(4)
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0, 0.8]))
    matrix[:3, :3] = scale * turn.as_matrix()
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize(('scale', 'degrees', 'shift'), [(1, 0, 0), (1.15, 30, 5), (0.85, 60, -8)])
def test_moved_head(model: MeanHead, scale: float, degrees: float, shift: float) -> None:
    image, points = head(model, motion(scale, degrees, shift))
    fit = model.fit(model.coarse(image, (0.0, 1.0)), points)
    assert fit is not None
    assert fit.scale == pytest.approx(scale)
    assert fit.stretch == pytest.approx(np.ones(3))
    assert fit.rotation_deg == pytest.approx(degrees, abs=1e-5)
    assert fit.residual_mm == pytest.approx(np.zeros(6), abs=1e-9)
    # Two interpolations blur the 4 mm voxels.
    assert fit.match > 0.9
    assert fit.local_match.min() > 0.8
    judgement = model.judge(fit, np.full(6, 0.3))
    assert judgement.findings == ()
    assert not judgement.unreliable.any()


def test_any_scale_of_intensity(model: MeanHead) -> None:
    image, points = head(model, motion())
    scaled = as_image(100 + 7 * np.asarray(image.dataobj), GRID)
    first, second = (
        model.fit(model.coarse(i, w), points)
        for i, w in ((image, (0.0, 1.0)), (scaled, (100.0, 107.0)))
    )
    assert first is not None
    assert second is not None
    assert second.match == pytest.approx(first.match, abs=1e-6)


def unfit(image: nib.Nifti1Image, kind: str) -> nib.Nifti1Image:
    data = np.asarray(image.dataobj).copy()
    if kind == 'noise':
        data = np.random.default_rng(1).random(data.shape).astype(np.float32)
    elif kind == 'inverted':
        data = np.where(data > 0, data.max() - data, 0)
    elif kind == 'empty':
        data[:] = 0
    elif kind == 'upside down':
        data = data[:, :, ::-1]
    elif kind == 'slices in reverse pairs':
        data = data.reshape(128, 128, 4, 32)[:, :, ::-1].reshape(128, 128, 128)
    return as_image(np.ascontiguousarray(data), GRID)


@pytest.mark.parametrize(
    'kind', ['noise', 'inverted', 'empty', 'upside down', 'slices in reverse pairs']
)
def test_no_head(model: MeanHead, kind: str) -> None:
    image, points = head(model, motion())
    fit = model.fit(model.coarse(unfit(image, kind), (0.0, 1.0)), points)
    judgement = model.judge(fit)
    assert fit is not None
    assert fit.match < 0.4
    assert judgement.unreliable.all()
    assert 'does not look like a whole, upright T1w head' in judgement.findings[0]


def test_part_missing(model: MeanHead) -> None:
    """A view that ends 55 mm left of the middle: the point near its edge is doubtful alone."""
    image, points = head(model, motion())
    data = np.asarray(image.dataobj).copy()
    data[127 - 2 * np.arange(128) < -55] = 0
    fit = model.fit(model.coarse(as_image(data, GRID), (0.0, 1.0)), points)
    judgement = model.judge(fit)
    assert judgement.findings == ()
    assert [label for label, bad in zip(LABELS, judgement.unreliable, strict=True) if bad] == [
        'LB'
    ]


def test_one_point_off(model: MeanHead) -> None:
    """One point 20 mm off moves the fit of all a little, and stands out itself."""
    image, points = head(model, motion())
    coordinates = points.coordinates.copy()
    coordinates[4] += [0, 0, 20]
    fit = model.fit(model.coarse(image, (0.0, 1.0)), PointSet(LABELS, coordinates))
    assert fit is not None
    assert fit.residual_mm.argmax() == 4
    assert model.judge(fit).unreliable[4]


@pytest.mark.parametrize(('scale', 'word'), [(0.7, 'a child'), (1.3, 'a wrong voxel size')])
def test_size(model: MeanHead, scale: float, word: str) -> None:
    image, points = head(model, motion(scale))
    judgement = model.judge(model.fit(model.coarse(image, (0.0, 1.0)), points))
    assert judgement.unreliable.all()
    assert f'{scale:.2f} times as large' in judgement.findings[0]
    assert word in judgement.findings[0]


def test_turned(model: MeanHead) -> None:
    image, points = head(model, motion(degrees=90))
    judgement = model.judge(model.fit(model.coarse(image, (0.0, 1.0)), points))
    assert judgement.unreliable.all()
    assert 'turned by 90 degrees' in judgement.findings[0]


def test_stretched(model: MeanHead) -> None:
    """A header that says 1.5 mm for voxels of 1 mm along z."""
    image, points = head(model, np.diag([1, 1, 1.5, 1]))
    fit = model.fit(model.coarse(image, (0.0, 1.0)), points)
    assert fit is not None
    # The product is 1: 1.5 / 1.5 ** (1 / 3), along z.
    assert fit.stretch == pytest.approx([1.5 ** (-1 / 3)] * 2 + [1.5 ** (2 / 3)])
    assert any('distorted' in finding for finding in model.judge(fit).findings)


def test_dispersion(model: MeanHead) -> None:
    image, points = head(model, motion())
    fit = model.fit(model.coarse(image, (0.0, 1.0)), points)
    one = model.judge(fit, np.array([0.1, 0.1, 1.3, 0.1, 0.1, np.nan]))
    assert one.findings == ()
    assert one.unreliable.tolist() == [False, False, True] + [False] * 3
    every = model.judge(fit, np.full(6, 0.7))
    assert every.unreliable.all()
    assert '0.7 mm apart' in every.findings[0]


def test_missing_points(model: MeanHead) -> None:
    image, points = head(model, motion())
    some = points.coordinates.copy()
    some[[0, 1]] = np.nan
    fit = model.fit(model.coarse(image, (0.0, 1.0)), PointSet(LABELS, some))
    assert fit is not None
    assert not model.judge(fit).unreliable.any()
    some[2] = np.nan
    nothing = model.fit(model.coarse(image, (0.0, 1.0)), PointSet(LABELS, some))
    assert nothing is None
    assert model.judge(nothing).unreliable.all()


def test_saved(model: MeanHead, tmp_path) -> None:
    read = MeanHead.load(model.save(tmp_path / 'head.safetensors'))
    assert read.labels == LABELS
    assert read.limits == LIMITS
    assert read.card == model.card
    assert read.landmarks == pytest.approx(LANDMARKS)
    assert np.abs(read.image - model.image).max() <= 2 / 255
    assert (read.inside == model.inside).all()
    assert read.balls[0].sum() * 64 == pytest.approx(4 / 3 * np.pi * BALL_MM**3, rel=0.2)


@pytest.mark.parametrize('damage', ['cut', 'text', 'labels', 'empty'])
def test_damaged(model: MeanHead, tmp_path, damage: str) -> None:
    path = tmp_path / 'head.safetensors'
    replace(model, labels=LABELS[:5] if damage == 'labels' else LABELS).save(path)
    if damage != 'labels':
        content = path.read_bytes()
        path.write_bytes({'cut': content[:-9], 'text': b'mean head', 'empty': b''}[damage])
    with pytest.raises(ValueError, match=r'head\.safetensors'):
        MeanHead.load(path)


@pytest.mark.parametrize(
    'changes',
    [
        {'limits': replace(LIMITS, match=math.nan)},
        {'limits': replace(LIMITS, scale=(0.8, math.inf))},
        {'landmarks': np.full((len(LABELS), 3), np.nan)},
        {'affine': np.diag([np.inf, 4, 4, 1])},
        {'affine': np.eye(3)},
        {'inside': np.ones((2, 2, 2), bool)},
        {'image': np.zeros((4, 4))},
    ],
)
def test_no_number(model: MeanHead, tmp_path, changes: dict) -> None:
    """With a limit that is no number, nothing would ever leave it."""
    path = replace(model, **changes).save(tmp_path / 'head.safetensors')
    with pytest.raises(ValueError, match=r'head\.safetensors'):
        MeanHead.load(path)
