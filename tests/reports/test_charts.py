from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.agreement import agreement_table
from tmsprep.reports.agreement_charts import (
    _thinned,
    plot_bland_altman,
    plot_glass_brain,
    plot_matrices,
)
from tmsprep.reports.charts import (
    MOST_DOTS,
    SINGLE_DOTS,
    axis_end,
    figure_style,
    plot_errors,
    save_svg,
)
from tmsprep.reports.comparison import mean_errors
from tmsprep.reports.styles import group_order, group_style, shown_methods

NAN = float('nan')


def errors_of(**methods: list[float]) -> pd.DataFrame:
    """One participant per value, all of the target LA; 'rater_A' is the method 'rater-A'."""
    rows = [
        (f'sub-{i:02d}', f'sub-{i:02d}', method.replace('_', '-'), NAN, 'LA', value)
        for method, values in methods.items()
        for i, value in enumerate(values)
    ]
    names = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
    return pd.DataFrame(rows, columns=names)


def known(errors: pd.DataFrame) -> pd.DataFrame:
    return mean_errors(errors, ['participant_id', 'method', 'label'])


def points_of(**methods: list[tuple[float, float, float]]) -> pd.DataFrame:
    rows = [
        (f'sub-{i:02d}', f'sub-{i:02d}', method, NAN, 'LA', *place, 'ok', NAN)
        for method, places in methods.items()
        for i, place in enumerate(places)
    ]
    names = ['participant_id', 'image', 'method', 'repetition', 'label', *'xyz', 'status']
    return pd.DataFrame(rows, columns=[*names, 'dispersion_mm'])


def dots(svg: str, name: str) -> int:
    group = re.search(rf'<g id="dots-{name}">(.*?)</g>\s*<g id=', svg, re.DOTALL)
    return len(re.findall('<use ', group[1])) if group else 0


def words(svg: str) -> list[str]:
    return re.findall(r'<text[^>]*>([^<]*)</text>', svg)


def test_dots_and_mean(tmp_path: Path) -> None:
    errors = known(errors_of(cnn=[1.0, 2.0, 6.0], syn=[4.0, NAN, 9.0]))
    path = plot_errors(errors, ['LA'], ['cnn', 'syn'], tmp_path / 'a.svg')
    svg = path.read_text(encoding='utf-8')
    assert (dots(svg, 'CNN'), dots(svg, r'Atlas \(SyN\)')) == (3, 2)
    assert {'3.0', '6.5', 'LA', 'CNN', 'Atlas (SyN)'} <= set(words(svg))


def test_errors_above_axis(tmp_path: Path) -> None:
    errors = known(errors_of(cnn=[5.0] * 99 + [80.0]))
    svg = plot_errors(errors, ['LA'], ['cnn'], tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert dots(svg, 'CNN') == 99
    assert '▲1' in words(svg)


def test_axis_of_drawn_methods(tmp_path: Path) -> None:
    own, far = errors_of(cnn=[1.0, 2.0, 3.0]), errors_of(crossval_none=[900.0, 800.0, 700.0])
    both = pd.concat([own, far])
    alone = plot_errors(own, ['LA'], ['cnn'], tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert plot_errors(both, ['LA'], ['cnn'], tmp_path / 'b.svg').read_text() == alone


def test_box_for_many(tmp_path: Path) -> None:
    errors = known(errors_of(cnn=list(np.linspace(1, 8, MOST_DOTS + 1))))
    svg = plot_errors(errors, ['LA'], ['cnn'], tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert dots(svg, 'CNN') == SINGLE_DOTS


@pytest.mark.parametrize(
    ('errors', 'end'),
    [([], 3.0), ([NAN, 2.0], 3.0), ([20.0] * 50, 21.2), ([8.0] * 99 + [100.0], 10.0)],
)
def test_axis_end(errors: list[float], end: float) -> None:
    assert axis_end(np.array(errors)) == pytest.approx(end)


def test_matrix(tmp_path: Path) -> None:
    points = points_of(
        cnn=[(0, 0, 0), (0, 0, 0)], syn=[(3, 4, 0), (0, 0, 7)], consensus=[(1, 0, 0), (NAN,) * 3]
    )
    squares = {'methods': ['cnn', 'syn', 'consensus']}
    path = plot_matrices(agreement_table(points), squares, tmp_path / 'm.svg')
    seen = words(path.read_text(encoding='utf-8'))
    assert (seen.count('6.0'), seen.count('n 2')) == (2, 2)
    # From (3, 4, 0) to (1, 0, 0): the root of 20.
    assert (seen.count('1.0'), seen.count('4.5'), seen.count('n 1')) == (2, 2, 4)


def test_matrix_without_common_points(tmp_path: Path) -> None:
    points = points_of(cnn=[(0, 0, 0), (NAN,) * 3], syn=[(NAN,) * 3, (1, 1, 1)])
    path = plot_matrices(agreement_table(points), {'m': ['cnn', 'syn']}, tmp_path / 'm.svg')
    assert words(path.read_text(encoding='utf-8')).count('n/a') == 2


def test_bland_altman(tmp_path: Path) -> None:
    # x differs by 2 +- 1 (sd of three), y by nothing, z by -4.
    points = points_of(
        cnn=[(1, 0, -4), (2, 0, -4), (3, 0, -4)], consensus=[(0, 0, 0), (0, 0, 0), (0, 0, 0)]
    )
    path = plot_bland_altman(points, 'cnn', 'consensus', tmp_path / 'b.svg')
    seen = [word.replace('\N{MINUS SIGN}', '-') for word in words(path.read_text('utf-8'))]
    assert {'+2.0', '+0.0', '-4.0', 'x (+ is right), n = 3', 'z (+ is up), n = 3'} <= set(seen)
    assert seen.count('-0.0') == 0
    # 2 + 1.96 is 3.96, 2 - 1.96 is 0.04.
    assert '+4.0' in seen


def test_glass_brain(tmp_path: Path) -> None:
    points = points_of(cnn=[(-40, 0, 30), (40, 0, 30), (NAN,) * 3], syn=[(NAN,) * 3])
    path = plot_glass_brain(points, ['cnn', 'syn'], tmp_path / 'g.svg')
    svg = path.read_text(encoding='utf-8')
    assert {'CNN', 'Atlas (SyN)', 'L', 'R'} <= set(words(svg))
    # From behind and from above both are seen, from the left and from the right one.
    assert svg.count('<use') == 6


def test_method_order() -> None:
    methods = ['rater-B', 'consensus', 'mine', 'syn', 'rater-A', 'crossval-none', 'cnn']
    ordered = ['cnn', 'syn', 'crossval-none', 'consensus', 'mine', 'rater-A', 'rater-B']
    assert group_order(methods) == ordered
    assert shown_methods(methods) == ordered
    several = ['crossval-shared', 'crossval-none', 'ensemble-none', 'syn']
    assert shown_methods(several) == ['syn', 'crossval-shared']
    assert group_style('crossval-shared').name == 'CV shared'
    assert group_style('rater-A').name == 'Rater A'
    assert group_style('rater-raterAB').name == 'Rater AB'


def test_mean_errors() -> None:
    errors = errors_of(cnn=[1.0, 5.0, NAN]).assign(participant_id='sub-01')
    assert known(errors)['error_mm'].tolist() == [3.0]


def test_glass_brain_outlier(tmp_path: Path) -> None:
    cloud = np.random.default_rng(1).normal((-40, 0, 30), 2, (500, 3))
    points = points_of(cnn=[*map(tuple, cloud), (-40.0, 60.0, 30.0)])
    path = plot_glass_brain(points, ['cnn'], tmp_path / 'g.svg')
    # A hundred of the left side in three views, or nearly: evenly spaced ones may be furthest.
    svg = path.read_text(encoding='utf-8')
    assert 3 * 95 <= svg.count('<use') <= 3 * 100
    assert _thinned(points)[-1].tolist() == [-40.0, 60.0, 30.0]


def chart(path: Path) -> bytes:
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().plot([0, 1], [1, 3], label='mm')
        return save_svg(figure, path).read_bytes()


def test_settings_of_caller(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({'font.size': 23.0, 'axes.grid': True}):
        own = chart(tmp_path / 'a.svg')
        assert mpl.rcParams['font.size'] == 23.0
    assert chart(tmp_path / 'b.svg') == own


def test_no_other_file(tmp_path: Path) -> None:
    text = chart(tmp_path / 'a.svg').decode('utf-8')
    assert "'DejaVu Sans', Verdana, Arial, sans-serif" in text
    assert 'http' not in text.replace('http://www.w3.org', '').split('<g id="figure_1">')[1]
