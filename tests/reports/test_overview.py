from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.points import PointSet
from tmsprep.reports.overview import plot_overview, render_cortex, spread_out

POINTS = {
    'cnn': PointSet.from_mapping({'LA': (-40, 10, 20), 'RA': (40, 10, 20), 'LB': (-20, 5, 40)}),
    'syn': PointSet.from_mapping({'LA': (-42, 12, 20)}, ['LA', 'RA', 'LB']),
}


def test_render_cortex():
    # Bright on the far end of each axis, dark on the near end.
    brain = np.zeros((40, 40, 40), dtype=bool)
    brain[5:35, 5:35, 5:35] = True
    for axis in range(3):
        intensity = np.full(brain.shape, 0.2)
        upper = [slice(None)] * 3
        upper[axis] = slice(20, None)
        intensity[tuple(upper)] = 0.9
        from_above = render_cortex(intensity, brain, axis, 1, 1.0)
        from_below = render_cortex(intensity, brain, axis, -1, 1.0)
        assert from_above[20, 20] == pytest.approx(0.9)
        assert from_below[20, 20] == pytest.approx(0.2)
        assert np.isnan(from_above[0, 0])


def test_spread_out():
    np.testing.assert_allclose(spread_out(np.array([10.0, 9, 0]), 4), [11.5, 7.5, 0])
    np.testing.assert_allclose(spread_out(np.array([20.0, 10, 0]), 4), [20, 10, 0])
    assert spread_out(np.array([]), 4).shape == (0,)


@given(st.lists(st.floats(-90, 90), max_size=12), st.floats(0.5, 10))
def test_spread_out_laws(heights, apart):
    falling = np.array(sorted(heights, reverse=True))
    spread = spread_out(falling, apart)
    assert (np.diff(spread) <= -apart + 1e-6).all()
    assert spread.sum() == pytest.approx(falling.sum(), abs=1e-6)


@pytest.mark.parametrize('with_mask', [False, True])
def test_overview(head, tmp_path, with_mask):
    mask = nib.Nifti1Image((head.get_fdata() > 0).astype(np.uint8), head.affine)
    files = [
        plot_overview(head, POINTS, tmp_path / name, mask=mask if with_mask else None)
        for name in ('a.svg', 'b.svg')
    ]
    first, second = (file.read_text(encoding='utf-8') for file in files)
    assert first == second
    assert 'CNN: 3 of 3' in first
    assert 'Atlas (SyN): 1 of 3' in first
    assert ('Cortex of the participant' in first) == with_mask
    # The side view and the view from above name each target once.
    assert first.count('>LA</text>') == first.count('>RA</text>') == 2


def test_point_on_wrong_side(head, tmp_path):
    # LA lies on the participant's right, so only the view from the right, the last one, names it.
    points = {'cnn': PointSet.from_mapping({'LA': (30, 10, 20)})}
    text = plot_overview(head, points, tmp_path / 'a.svg').read_text(encoding='utf-8')
    names = [m.start() for m in re.finditer('>LA</text>', text)]
    assert len(names) == 2
    panels = [re.findall(r'<svg id="([a-z-]+)"', text[:name])[-1] for name in names]
    assert panels == ['from-above', 'from-the-right']


def test_name_at_edge(head, tmp_path):
    # The box ends 10 mm in front of the head; nine letters take three times as much.
    points = {'cnn': PointSet.from_mapping({'RFRONTPOL': (20, 58, 0)})}
    text = plot_overview(head, points, tmp_path / 'a.svg').read_text(encoding='utf-8')
    anchors = re.findall(r'text-anchor="(\w+)"[^>]*>RFRONTPOL</text>', text)
    assert anchors == ['end', 'end']


def test_no_points(head, tmp_path):
    empty = {'cnn': PointSet.from_mapping({}, ['LA'])}
    text = plot_overview(head, empty, tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert 'CNN: 0 of 1' in text


def test_empty_mask(head, tmp_path):
    mask = nib.Nifti1Image(np.zeros(head.shape, dtype=np.uint8), head.affine)
    with pytest.raises(ValueError, match='mask is empty'):
        plot_overview(head, POINTS, tmp_path / 'a.svg', mask=mask)
