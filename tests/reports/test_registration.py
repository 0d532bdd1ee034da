from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from tmsprep.reports.planes import VIEWS, Volume, plane_in_box
from tmsprep.reports.registration import (
    Contour,
    atlas_levels,
    contour_lines,
    plot_mask,
    plot_registration,
)
from tmsprep.reports.svg import outlines

BOX = np.array([[-60.0] * 3, [60.0] * 3])


@pytest.mark.parametrize('view', VIEWS, ids=lambda view: view.name)
def test_contour_of_ball(mask, view):
    volume = Volume.from_image(mask)
    lines = contour_lines(Contour(volume, 0.5, 'white'), view, 0.0, BOX)
    assert len(lines) == 1
    np.testing.assert_allclose(np.linalg.norm(lines[0], axis=1), 40.0, atol=1.2)


def test_contour_side(mask):
    moved = mask.affine.copy()
    moved[0, 3] += 15
    volume = Volume.from_image(nib.Nifti1Image(mask.dataobj, moved))
    lines = contour_lines(Contour(volume, 0.5, 'white'), VIEWS[0], 0.0, BOX)
    np.testing.assert_allclose(lines[0].mean(axis=0), [15, 0], atol=1.0)


def test_atlas_levels():
    data = np.zeros(2000)
    data[:1000] = np.arange(1, 1001)
    outline, tissue = atlas_levels(data)
    assert outline == pytest.approx(0.2 * 990.01)
    assert tissue == pytest.approx(199 + 0.6 * (1000 - 199))


def test_empty_images(head, mask, tmp_path):
    nothing = nib.Nifti1Image(np.zeros(mask.shape, dtype=np.uint8), mask.affine)
    with pytest.raises(ValueError, match='mask is empty'):
        plot_mask(head, nothing, tmp_path / 'a.svg')
    with pytest.raises(ValueError, match='atlas is empty'):
        plot_registration(head, mask, nothing, tmp_path / 'a.svg')
    assert not list(tmp_path.iterdir())


def test_figures(head, mask, tmp_path):
    for name in ('a', 'b'):
        plot_mask(head, mask, tmp_path / f'{name}-mask.svg')
        plot_registration(head, head, mask, tmp_path / f'{name}-registration.svg')
    for what in ('mask', 'registration'):
        first = (tmp_path / f'a-{what}.svg').read_bytes()
        assert first == (tmp_path / f'b-{what}.svg').read_bytes()
        assert 10_000 < len(first) < 1_000_000


def test_slices(head):
    plane = plane_in_box(Volume.from_image(head), VIEWS[1], 0.0, BOX)
    assert plane.data[60, 90] == 100
    assert plane.data[60, 30] == 40


def test_outlines():
    lines = [np.array([[1.04, 2.0], [1.5, 1.0], [1.5, 1.26]]), np.array([[0, 0.0], [-3, 4.96]])]
    drawn = outlines(lines, 'red', 0.7)
    assert 'd="M10 20l5-10 0 3M0 0l-30 50"' in drawn
    assert 'transform="scale(.1)"' in drawn
    assert 'stroke-width="7"' in drawn
