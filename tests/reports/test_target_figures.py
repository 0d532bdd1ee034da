from __future__ import annotations

import re

import nibabel as nib
import numpy as np
import pytest

from tmsprep.reports.canvas import figure_style
from tmsprep.reports.captions import distances
from tmsprep.reports.planes import VIEWS, Volume
from tmsprep.reports.slices import Scene, found_points, plot_target, shown_centre, target_figure

NAN = np.full(3, np.nan)
POINTS = {'cnn': np.array([-30.0, 10, 20]), 'syn': np.array([-27.0, 14, 20])}


def build(volume: Volume, points: dict, *, radiological: bool):
    found = found_points(points)
    scene = Scene(volume, shown_centre(found), found, {'cnn': 5.0}, 60.0, radiological)
    with figure_style():
        return target_figure(scene, tuple(points), 'LX', distances(found))


def pixels(figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with figure_style():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=-1)


@pytest.mark.parametrize('radiological', [False, True])
def test_the_persons_right_is_beside_the_letter_r(head, radiological):
    # The head is bright on the person's right. Whatever the convention, the brighter half of an
    # axial or coronal panel must be the one with the R.
    points = {'cnn': np.array([0.0, 0.0, 0.0])}
    figure = build(Volume.from_image(head), points, radiological=radiological)
    grey = pixels(figure)
    for axes in figure.axes:
        letters = {t.get_text(): t for t in axes.texts if t.get_text() in ('L', 'R')}
        if not letters:
            continue
        x0, y0, x1, y1 = axes.get_window_extent().extents.astype(int)
        panel = grey[grey.shape[0] - y1 : grey.shape[0] - y0, x0:x1]
        left_half, right_half = np.array_split(panel, 2, axis=1)
        r_is_right = letters['R'].get_window_extent().x0 > letters['L'].get_window_extent().x0
        assert r_is_right == (not radiological)
        assert (right_half.mean() > 1.3 * left_half.mean()) == r_is_right
        assert (left_half.mean() > 1.3 * right_half.mean()) != r_is_right


def test_four_panels_carry_l_and_r_and_sagittal_ones_p_and_a(head):
    figure = build(Volume.from_image(head), POINTS, radiological=False)
    letters = [{t.get_text() for t in axes.texts} & set('LRPAIS') for axes in figure.axes]
    whole, crop = letters[:3], letters[3:]
    assert whole == crop == [set('LRPA'), set('LRIS'), set('PAIS')]


@pytest.mark.parametrize('radiological', [False, True])
def test_marks_lie_on_the_brightest_place(radiological):
    place = np.array([-12.0, 8.0, 15.0])
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [40, -40, -40]
    index = np.moveaxis(np.indices((81, 81, 81)), 0, -1)
    away = np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - place, axis=-1)
    data = (100 * np.exp(-away / 20)).astype(np.float32)
    volume = Volume.from_image(nib.Nifti1Image(data, affine))
    figure = build(volume, {'syn': place}, radiological=radiological)
    assert len(figure.axes) == 6
    for index, axes in enumerate(figure.axes):
        view = VIEWS[index % 3]
        picture = axes.images[0].get_array()
        left, right, bottom, top = axes.images[0].get_extent()
        # The brightest part is shown as a white disc; its middle is the place.
        row, column = np.argwhere(picture == picture.max()).mean(axis=0)
        x = left + (column + 0.5) * (right - left) / picture.shape[1]
        y = bottom + (row + 0.5) * (top - bottom) / picture.shape[0]
        assert abs(x - place[view.across]) <= 0.6
        assert abs(y - place[view.up]) <= 0.6
        marks = [line for line in axes.lines if line.get_marker() == 's']
        assert marks
        for line in marks:
            assert line.get_xdata()[0] == place[view.across]
            assert line.get_ydata()[0] == place[view.up]


def test_slices_go_through_the_mean_or_the_first_if_far_apart():
    np.testing.assert_allclose(shown_centre(POINTS), [-28.5, 12, 20])
    far = {'cnn': np.zeros(3), 'syn': np.array([80.0, 0, 0])}
    np.testing.assert_allclose(shown_centre(far), [0, 0, 0])


def test_printed_distances_are_euclidean():
    points = {**POINTS, 'expert': np.array([-30.0, 10, 32])}
    assert distances(points) == {
        'CNN to Atlas (SyN)': 5.0,
        'CNN to Expert (NE)': 12.0,
        'Atlas (SyN) to Expert (RE)': 13.0,
    }


def test_found_points_are_ordered_and_finite():
    assert list(found_points({'syn': POINTS['syn'], 'expert': NAN, 'cnn': POINTS['cnn']})) == [
        'cnn',
        'syn',
    ]


def test_ball_has_its_radius_in_every_slice_and_fades_out_of_it(head):
    from matplotlib.patches import Circle

    # Its cut at 3 mm from the centre has a radius of 4 mm, and would look like a smaller error.
    points = {'cnn': np.array([0.0, 0, 3]), 'syn': np.array([0.0, 0, -3])}
    figure = build(Volume.from_image(head), points, radiological=False)
    axial, coronal = figure.axes[3], figure.axes[4]
    for axes, opacity in ((axial, 0.82), (coronal, 1.0)):
        circles = [p for p in axes.patches if isinstance(p, Circle)]
        assert {p.radius for p in circles} == {5.0}
        assert {p.center for p in circles} == {(0.0, axes is coronal and 3.0)}
        assert [p.get_alpha() for p in circles] == pytest.approx([opacity] * 2)


def test_the_circle_is_explained_where_there_is_one(head, tmp_path):
    plain = plot_target(head, POINTS, tmp_path / 'a.svg', label='LX').read_text()
    assert 'ashed' not in plain
    with_circle = plot_target(
        head, POINTS, tmp_path / 'b.svg', label='LX', circles={'cnn': 4.25}
    ).read_text()
    assert 'CNN: x -30.0, y 10.0, z 20.0 mm   (dashed: 90 % of errors, 4.2 mm)' in with_circle
    assert with_circle.count('dashed: 90 % of errors') == 1
    assert (
        'Dashed circle: outline of the ball around the point that holds 90 % of errors'
        in with_circle
    )
    # A point that was not found has no ball either.
    points = {'cnn': NAN, 'syn': POINTS['syn']}
    circles = {'cnn': 4.25}
    alone = plot_target(head, points, tmp_path / 'c.svg', label='LX', circles=circles).read_text()
    assert 'ashed' not in alone


def test_file_is_small_repeatable_and_loads_nothing(head, tmp_path):
    more = {'label': 'LX', 'region': 'a <region> & more', 'measures': {'CNN dispersion': 1.25}}
    points = {**POINTS, 'expert': NAN}
    first = plot_target(head, points, tmp_path / 'a.svg', **more).read_bytes()
    second = plot_target(head, points, tmp_path / 'b.svg', **more).read_bytes()
    assert first == second
    assert len(first) < 250_000
    text = first.decode('utf-8')
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert links
    assert all(link.startswith(('#', 'data:image/jpeg;base64,')) for link in links)
    assert 'a &lt;region&gt; &amp; more' in text
    assert 'Expert: no point' in text
    assert 'CNN: x -30.0, y 10.0, z 20.0 mm' in text
    assert 'CNN to Atlas (SyN): 5.0 mm' in text


def test_settings_of_the_caller_are_left_alone(head, tmp_path):
    import matplotlib as mpl

    with mpl.rc_context({'font.size': 23.0, 'axes.grid': True}):
        own = plot_target(head, POINTS, tmp_path / 'a.svg', label='LX').read_bytes()
        assert mpl.rcParams['font.size'] == 23.0
    assert plot_target(head, POINTS, tmp_path / 'b.svg', label='LX').read_bytes() == own


def test_no_point_at_all_is_an_error_and_leaves_no_file(head, tmp_path):
    with pytest.raises(ValueError, match='LX: no method found'):
        plot_target(head, {'cnn': NAN}, tmp_path / 'a.svg', label='LX')
    assert not list(tmp_path.iterdir())
