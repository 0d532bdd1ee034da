from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tmsprep.reports.planes import VIEWS, Volume
from tmsprep.reports.slices import (
    Scene,
    distances,
    found_points,
    plot_target,
    shown_centre,
    target_page,
)

NAN = np.full(3, np.nan)
POINTS = {'cnn': np.array([-30.0, 10, 20]), 'syn': np.array([-27.0, 14, 20])}
SVG = '{http://www.w3.org/2000/svg}'
LINK = '{http://www.w3.org/1999/xlink}href'
ROWS = ('whole', 'crop')
CROP_MM = 60.0


def build(volume: Volume, points: dict, *, radiological: bool) -> ElementTree.Element:
    found = found_points(points)
    scene = Scene(volume, shown_centre(found), found, {'cnn': 5.0}, CROP_MM, radiological)
    page = target_page(scene, tuple(points), 'LX', distances(found))
    return ElementTree.fromstring(page.as_text())


def panels(page: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {panel.get('id'): panel for panel in page.findall(f'{SVG}svg')}


def numbers(element: ElementTree.Element, *names: str) -> np.ndarray:
    return np.array([float(element.get(name)) for name in names])


def letters(panel: ElementTree.Element) -> dict[str, float]:
    """The names of the sides, and how far right they stand."""
    return {t.text: float(t.get('x')) for t in panel.iter(f'{SVG}text') if len(t.text) == 1}


def picture(panel: ElementTree.Element) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The grey picture, its first row on top, with its corner and its size in the panel."""
    image = panel.find(f'{SVG}image')
    packed = base64.b64decode(image.get(LINK).split(',')[1])
    grey = np.asarray(Image.open(io.BytesIO(packed)), dtype=float)
    return grey, numbers(image, 'x', 'y'), numbers(image, 'width', 'height')


def corners(shape: ElementTree.Element) -> np.ndarray:
    return np.array([pair.split(',') for pair in shape.get('points').split()], dtype=float)


@pytest.mark.parametrize('radiological', [False, True])
def test_right_is_at_letter_r(head, radiological):
    # The head is bright on its right. Whatever the convention, the brighter half of an
    # axial or coronal panel must be the one with the R.
    points = {'cnn': np.array([0.0, 0.0, 0.0])}
    page = build(Volume.from_image(head), points, radiological=radiological)
    for name in (f'{row}-{view}' for row in ROWS for view in ('axial', 'coronal')):
        panel = panels(page)[name]
        left_half, right_half = np.array_split(picture(panel)[0], 2, axis=1)
        r_is_right = letters(panel)['R'] > letters(panel)['L']
        assert r_is_right == (not radiological)
        assert (right_half.mean() > 1.3 * left_half.mean()) == r_is_right
        assert (left_half.mean() > 1.3 * right_half.mean()) != r_is_right


def test_letters_at_sides(head):
    page = build(Volume.from_image(head), POINTS, radiological=False)
    expected = {'axial': set('LRPA'), 'coronal': set('LRIS'), 'sagittal': set('PAIS')}
    found = {name: set(letters(panel)) for name, panel in panels(page).items()}
    assert found == {f'{row}-{view}': names for row in ROWS for view, names in expected.items()}


PLACE = np.array([-12.0, 8.0, 15.0])


def bright_place() -> Volume:
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = [40, -40, -40]
    index = np.moveaxis(np.indices((81, 81, 81)), 0, -1)
    away = np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - PLACE, axis=-1)
    data = (100 * np.exp(-away / 20)).astype(np.float32)
    return Volume.from_image(nib.Nifti1Image(data, affine))


@pytest.mark.parametrize('radiological', [False, True])
def test_marks_on_brightest_place(radiological):
    page = build(bright_place(), {'syn': PLACE}, radiological=radiological)
    assert len(panels(page)) == 6
    for panel in panels(page).values():
        grey, corner, size = picture(panel)
        # The brightest part is shown as a white disc; its middle is the place.
        brightest = np.argwhere(grey > 253).mean(axis=0)[::-1]
        shown = corner + (brightest + 0.5) / grey.shape[::-1] * size
        squares = [s for s in panel.iter(f'{SVG}polygon') if len(corners(s)) == 4]
        assert squares
        mm = size[0] / grey.shape[1] / (0.5 if panel.get('id').startswith('crop') else 1.0)
        for square in squares:
            np.testing.assert_allclose(corners(square).mean(axis=0), shown, atol=0.6 * mm)


def read_position(page: ElementTree.Element, panel: ElementTree.Element) -> np.ndarray:
    """Read the mark's place off the numbers beside the panel, mm across and up."""
    x, y, width, height = numbers(panel, 'x', 'y', 'width', 'height')
    square = next(s for s in panel.iter(f'{SVG}polygon') if len(corners(s)) == 4)
    across, up = [], []
    for tick in page.findall(f'{SVG}text'):
        at = numbers(tick, 'x', 'y')
        if tick.get('font-size') != '6':
            continue
        value = float(tick.text.replace('\N{MINUS SIGN}', '-'))
        if x - 1 <= at[0] <= x + width + 1 and at[1] > y + height:
            across.append((at[0] - x, value))
        elif x - 5 < at[0] < x and y < at[1] < y + height + 3:
            # Numbers stand on a baseline 0.365 font sizes below their tick.
            up.append((at[1] - y - 0.365 * 6, value))
    lines = [np.polyfit(*np.transpose(ticks), 1) for ticks in (across, up)]
    places = corners(square).mean(axis=0)
    return np.array([np.polyval(ticks, at) for ticks, at in zip(lines, places, strict=True)])


@pytest.mark.parametrize('radiological', [False, True])
def test_ticks_of_crops(radiological):
    page = build(bright_place(), {'syn': PLACE}, radiological=radiological)
    for view in VIEWS:
        read = read_position(page, panels(page)[f'crop-{view.name}'])
        np.testing.assert_allclose(read, PLACE[[view.across, view.up]], atol=0.05)


def test_shown_centre():
    np.testing.assert_allclose(shown_centre(POINTS), [-28.5, 12, 20])
    far = {'cnn': np.zeros(3), 'syn': np.array([80.0, 0, 0])}
    np.testing.assert_allclose(shown_centre(far), [0, 0, 0])


def test_distances():
    points = {**POINTS, 'expert': np.array([-30.0, 10, 32])}
    assert distances(points) == {
        'CNN to Atlas (SyN)': 5.0,
        'CNN to Expert': 12.0,
        'Atlas (SyN) to Expert': 13.0,
    }


def test_found_points():
    assert list(found_points({'syn': POINTS['syn'], 'expert': NAN, 'cnn': POINTS['cnn']})) == [
        'cnn',
        'syn',
    ]


def test_ball(head):
    # Its cut at 3 mm from the centre has a radius of 4 mm, and would look like a smaller error.
    points = {'cnn': np.array([0.0, 0, 3]), 'syn': np.array([0.0, 0, -3])}
    page = build(Volume.from_image(head), points, radiological=False)
    for view, above, opacity in (('axial', 0.0, 0.82), ('coronal', 3.0, 1.0)):
        panel = panels(page)[f'crop-{view}']
        size = float(panel.get('width'))
        balls = [c for c in panel.iter(f'{SVG}circle') if float(c.get('r')) > 10]
        assert len(balls) == 2
        for ball in balls:
            assert float(ball.get('r')) == pytest.approx(5.0 * size / CROP_MM, abs=0.01)
            place = [size / 2, size / 2 - above * size / CROP_MM]
            np.testing.assert_allclose(numbers(ball, 'cx', 'cy'), place, atol=0.02)
            assert float(ball.get('opacity')) == pytest.approx(opacity)


def test_open_marks(head):
    # The slices go through the only point, so it lies in the middle of each enlarged one.
    for method, ball in (('cnn', {'cnn': 2.5}), ('cnn', {'cnn': 20.0}), ('syn', {})):
        found = {method: np.array([-30.0, 10, 20])}
        scene = Scene(Volume.from_image(head), found[method], found, ball, CROP_MM, False)
        page = target_page(scene, (method,), 'LX', {})
        crop = panels(ElementTree.fromstring(page.as_text()))['crop-axial']
        size = float(crop.get('width'))
        shapes = [*crop.iter(f'{SVG}circle'), *crop.iter(f'{SVG}polygon')]
        assert shapes
        assert {shape.get('fill') for shape in shapes} == {'none'}
        bar = 2
        arms = list(crop.iter(f'{SVG}polyline'))[bar:]
        assert len(arms) == 2 * 4
        for arm in arms:
            ends = np.array([place.split(',') for place in arm.get('points').split()], float)
            # Free of lines: the ball of 2.5 mm, else 5 points.
            free = 2.5 * size / CROP_MM if ball == {'cnn': 2.5} else 5.0
            assert np.linalg.norm(ends - size / 2, axis=1).min() > free


def test_circle_explained(head, tmp_path):
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


def test_file(head, tmp_path):
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


def test_no_chart_library(head, tmp_path):
    # Its import, and its axes and ticks, took most of the time of a run.
    nib.save(head, tmp_path / 'head.nii')
    draw = (
        'import sys; from pathlib import Path; import nibabel, numpy\n'
        'from tmsprep.reports.slices import plot_target\n'
        'image, point = nibabel.load(sys.argv[1]), numpy.zeros(3)\n'
        'plot_target(image, {"cnn": point}, Path(sys.argv[2]), label="LX")\n'
        'sys.exit("matplotlib" in sys.modules)\n'
    )
    files = [str(tmp_path / name) for name in ('head.nii', 'a.svg')]
    assert subprocess.run([sys.executable, '-c', draw, *files], check=False).returncode == 0


def test_no_point(head, tmp_path):
    with pytest.raises(ValueError, match='LX: no method found'):
        plot_target(head, {'cnn': NAN}, tmp_path / 'a.svg', label='LX')
    assert not list(tmp_path.iterdir())
