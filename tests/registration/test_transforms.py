"""The direction of every list and file, against a shift and a warp that are known."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from tmsprep.points import PointSet
from tmsprep.registration.frames import flip_points, to_ants, write_linear
from tmsprep.registration.transforms import (
    move_coordinates,
    move_points,
    warp_image,
)

SHIFT = np.array([6.0, -8.0, 4.0])  # 10.8 mm


@pytest.fixture(scope='module')
def shifted() -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """The template at 3 mm, and the same brain moved by SHIFT in the world."""
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=3)
    data = np.asarray(template.dataobj, dtype=np.float32)
    moved = affine_transform(data, np.eye(3), offset=-SHIFT / 3, order=1)
    return (nib.Nifti1Image(data, template.affine), nib.Nifti1Image(moved, template.affine))


@pytest.fixture(scope='module')
def table(shifted, tmp_path_factory) -> dict[tuple[str, str], float]:
    """Error in mm of both lists of `ants.registration`, with the template moving and fixed."""
    import ants
    import pandas as pd

    template, subject = (to_ants(image) for image in shifted)
    points = np.array([[-42.0, 44, 30], [34, 54, -14], [42, -21, 62], [-52, -17, 3]])
    frame = pd.DataFrame(flip_points(points), columns=['x', 'y', 'z'])
    errors = {}
    for name, fixed, moving in (
        ('template moving', subject, template),
        ('template fixed', template, subject),
    ):
        prefix = tmp_path_factory.mktemp('table') / 'a'
        result = ants.registration(fixed, moving, 'Translation', outprefix=str(prefix))
        matrix = result['fwdtransforms'][0]
        for direction, invert in (('fwdtransforms', False), ('invtransforms', True)):
            found = ants.apply_transforms_to_points(3, frame, [matrix], whichtoinvert=[invert])
            moved = flip_points(found[['x', 'y', 'z']].to_numpy())
            errors[name, direction] = np.linalg.norm(moved - points - SHIFT, axis=1).max()
    return errors


@pytest.mark.parametrize(
    ('setting', 'right', 'wrong'),
    [
        ('template moving', 'invtransforms', 'fwdtransforms'),
        ('template fixed', 'fwdtransforms', 'invtransforms'),
    ],
)
def test_direction_of_lists(table, setting: str, right: str, wrong: str) -> None:
    assert table[setting, right] < 0.2
    assert table[setting, wrong] == pytest.approx(2 * np.linalg.norm(SHIFT), abs=0.2)


def test_move_points(tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT
    path = write_linear(matrix, tmp_path / 'shift.mat')
    points = PointSet.from_mapping({'A': (1, 2, 3)}, ('A', 'missing'))
    moved = move_points(points, path)
    np.testing.assert_allclose(moved['A'], [7, -6, 7], atol=1e-4)
    assert np.isnan(moved['missing']).all()


def test_warp_image(shifted, tmp_path: Path) -> None:
    template, subject = shifted
    matrix = np.eye(4)
    matrix[:3, 3] = SHIFT
    path = write_linear(matrix, tmp_path / 'shift.mat')
    warped = warp_image(subject, path, template).get_fdata()
    inner = (slice(6, -6),) * 3
    # Two linear interpolations blur, but the brain is back in its place.
    assert np.corrcoef(warped[inner].ravel(), template.get_fdata()[inner].ravel())[0, 1] > 0.99


def test_composite(tmp_path: Path) -> None:
    """Fixed points move by the displacement field, then by the linear part."""
    import ants

    spacing = 5.0
    grid = np.stack(np.meshgrid(*[np.arange(20)] * 3, indexing='ij'), axis=-1)
    field = 4 * np.sin(grid / 5).astype(np.float32)  # mm, LPS
    vectors = ants.from_numpy(field, (0.0,) * 3, (spacing,) * 3, has_components=True)
    warp = ants.transform_from_displacement_field(vectors)
    linear = ants.create_ants_transform(
        transform_type='AffineTransform', dimension=3, matrix=np.eye(3) * 1.1, offset=(1, 2, 3)
    )
    ants.write_transform(ants.compose_ants_transforms([warp, linear]), str(tmp_path / 'a.h5'))
    nodes = np.array([[4, 5, 6], [10, 11, 12]])
    expected = (nodes * spacing + 4 * np.sin(nodes / 5)) * 1.1 + [1, 2, 3]
    moved = move_coordinates(flip_points(nodes * spacing), tmp_path / 'a.h5')
    np.testing.assert_allclose(flip_points(moved), expected, atol=1e-3)


def test_no_transform(tmp_path: Path) -> None:
    points = PointSet.from_mapping({'A': (1, 2, 3)})
    with pytest.raises(FileNotFoundError, match=r'no\.h5'):
        move_points(points, tmp_path / 'no.h5')
    (tmp_path / 'text.h5').write_text('not a transform')
    with pytest.raises(ValueError, match=r'text\.h5'):
        move_points(points, tmp_path / 'text.h5')


def test_truncated_transform(tmp_path: Path) -> None:
    import ants

    field = ants.from_numpy(
        np.zeros((9, 9, 9, 3), np.float32), (0.0,) * 3, (1.0,) * 3, has_components=True
    )
    path = tmp_path / 'a.h5'
    warp = ants.transform_from_displacement_field(field)
    ants.write_transform(ants.compose_ants_transforms([warp]), str(path))
    points = PointSet.from_mapping({'A': (1, 2, 3)})
    assert move_points(points, path) == points
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match='not a complete'):
        move_points(points, path)
