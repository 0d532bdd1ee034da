from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.methods.duennwald2021.figures import Scene, plot_heatmaps, plot_labels
from tmsprep.reports.planes import Volume


@pytest.fixture(scope='module')
def scene() -> Scene:
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = -36
    data = np.random.default_rng(0).random((48, 48, 48)).astype(np.float32)
    points = np.array([[-5.0, -6.0, 0.0], [5.0, -6.0, 1.0]])
    return Scene(Volume.from_image(nib.Nifti1Image(data, affine)), points)


def ball(scene: Scene, centre: np.ndarray, radius: float) -> np.ndarray:
    index = np.moveaxis(np.indices(scene.volume.data.shape), 0, -1)
    world = index @ scene.volume.affine[:3, :3].T + scene.volume.affine[:3, 3]
    return np.linalg.norm(world - centre, axis=-1) <= radius


def test_heatmaps(scene: Scene, tmp_path: Path) -> None:
    heatmaps = {
        side: nib.Nifti1Image(ball(scene, point, 4).astype(np.float32), scene.volume.affine)
        for side, point in zip('LR', scene.points, strict=True)
    }
    svg = plot_heatmaps(scene, heatmaps, tmp_path / 'h.svg').read_text(encoding='utf-8')
    assert svg.count('data:image/jpeg') == 5
    # Left and right over each slice but the plain one.
    assert svg.count('data:image/png') == 2 * 4
    again = plot_heatmaps(scene, heatmaps, tmp_path / 'again.svg')
    assert again.read_text(encoding='utf-8') == svg


def test_labels(scene: Scene, tmp_path: Path) -> None:
    labels = np.zeros(scene.volume.data.shape, np.uint8)
    for number, point in enumerate(scene.points, start=1):
        labels[ball(scene, point, 4)] = number
    image = nib.Nifti1Image(labels, scene.volume.affine)
    svg = plot_labels(scene, image, tmp_path / 'l.svg').read_text(encoding='utf-8')
    # Both sides on the axial and the coronal slice, one on each sagittal slice.
    assert svg.count('#4dabff') == svg.count('#ffb454') == 3
    # The ball lies 10 mm in front: in the axial slice, and 5 mm away from the sagittal ones.
    assert svg.count('stroke="#7ee787"') == 1


def test_one_point_without_labels(scene: Scene, tmp_path: Path) -> None:
    alone = Scene(scene.volume, np.array([[-5.0, -6.0, 0.0], [np.nan] * 3]))
    empty = nib.Nifti1Image(np.zeros((48, 48, 48), np.uint8), scene.volume.affine)
    assert 'sagittal-right' not in plot_labels(alone, empty, tmp_path / 'l.svg').read_text()
