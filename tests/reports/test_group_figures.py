from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.agreement import agreement_table
from tmsprep.evaluation.paper_tables import table2
from tmsprep.protocols import load_protocol
from tmsprep.reports.group_bland_altman import plot_bland_altman
from tmsprep.reports.group_brain import _thinned, plot_glass_brain
from tmsprep.reports.group_content import LeftOut
from tmsprep.reports.group_figures import MOST_DOTS, SINGLE_DOTS, axis_end, plot_errors
from tmsprep.reports.group_matrix import plot_matrices
from tmsprep.reports.group_styles import group_order, group_style, shown_methods
from tmsprep.reports.group_summary import (
    by_person,
    largest_errors,
    method_rows,
    paper_table,
    remarks,
)

NAN = float('nan')


def errors_of(**methods: list[float]) -> pd.DataFrame:
    """One person per value, all of the target LA; 'rater_A' is the method 'rater-A'."""
    rows = [
        (f'sub-{i:02d}', f'sub-{i:02d}', method.replace('_', '-'), NAN, 'LA', value)
        for method, values in methods.items()
        for i, value in enumerate(values)
    ]
    names = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
    return pd.DataFrame(rows, columns=names)


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


def test_each_person_is_a_dot_and_the_mean_a_number(tmp_path: Path) -> None:
    errors = by_person(errors_of(cnn=[1.0, 2.0, 6.0], syn=[4.0, NAN, 9.0]))
    path = plot_errors(errors, ['LA'], ['cnn', 'syn'], tmp_path / 'a.svg')
    svg = path.read_text(encoding='utf-8')
    assert (dots(svg, 'CNN'), dots(svg, r'Atlas \(SyN\)')) == (3, 2)
    assert {'3.0', '6.5', 'LA', 'CNN', 'SyN'} <= set(words(svg))


def test_errors_above_the_axis_are_counted(tmp_path: Path) -> None:
    errors = by_person(errors_of(cnn=[5.0] * 99 + [80.0]))
    svg = plot_errors(errors, ['LA'], ['cnn'], tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert dots(svg, 'CNN') == 99
    assert '▲1' in words(svg)


def test_a_method_that_is_not_drawn_does_not_stretch_the_axis(tmp_path: Path) -> None:
    own, far = errors_of(cnn=[1.0, 2.0, 3.0]), errors_of(crossval_none=[900.0, 800.0, 700.0])
    both = pd.concat([own, far])
    alone = plot_errors(own, ['LA'], ['cnn'], tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert plot_errors(both, ['LA'], ['cnn'], tmp_path / 'b.svg').read_text() == alone


def test_many_people_become_a_box_and_the_largest_errors(tmp_path: Path) -> None:
    errors = by_person(errors_of(cnn=list(np.linspace(1, 8, MOST_DOTS + 1))))
    svg = plot_errors(errors, ['LA'], ['cnn'], tmp_path / 'a.svg').read_text(encoding='utf-8')
    assert dots(svg, 'CNN') == SINGLE_DOTS


@pytest.mark.parametrize(
    ('errors', 'end'),
    [([], 3.0), ([NAN, 2.0], 3.0), ([20.0] * 50, 21.2), ([8.0] * 99 + [100.0], 10.0)],
)
def test_the_axis_shows_nearly_all(errors: list[float], end: float) -> None:
    assert axis_end(np.array(errors)) == pytest.approx(end)


def test_the_matrix_shows_distances_and_numbers(tmp_path: Path) -> None:
    points = points_of(
        cnn=[(0, 0, 0), (0, 0, 0)], syn=[(3, 4, 0), (0, 0, 7)], consensus=[(1, 0, 0), (NAN,) * 3]
    )
    squares = {'methods': ['cnn', 'syn', 'consensus']}
    path = plot_matrices(agreement_table(points), squares, tmp_path / 'm.svg')
    seen = words(path.read_text(encoding='utf-8'))
    assert (seen.count('6.0'), seen.count('n 2')) == (2, 2)
    # From (3, 4, 0) to (1, 0, 0): the root of 20.
    assert (seen.count('1.0'), seen.count('4.5'), seen.count('n 1')) == (2, 2, 4)


def test_methods_without_a_common_point_are_na(tmp_path: Path) -> None:
    points = points_of(cnn=[(0, 0, 0), (NAN,) * 3], syn=[(NAN,) * 3, (1, 1, 1)])
    path = plot_matrices(agreement_table(points), {'m': ['cnn', 'syn']}, tmp_path / 'm.svg')
    assert words(path.read_text(encoding='utf-8')).count('n/a') == 2


def test_directions_show_bias_and_limits(tmp_path: Path) -> None:
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


def test_all_points_stand_on_the_glass_brain(tmp_path: Path) -> None:
    points = points_of(cnn=[(-40, 0, 30), (40, 0, 30), (NAN,) * 3], syn=[(NAN,) * 3])
    path = plot_glass_brain(points, ['cnn', 'syn'], tmp_path / 'g.svg')
    svg = path.read_text(encoding='utf-8')
    assert {'CNN', 'Atlas (SyN)', 'L', 'R'} <= set(words(svg))
    # From behind and from above both are seen, from the left and from the right one.
    assert svg.count('<use') == 6


def test_order_and_choice_of_methods() -> None:
    methods = ['rater-B', 'consensus', 'mine', 'syn', 'rater-A', 'crossval-none', 'cnn']
    ordered = ['cnn', 'crossval-none', 'syn', 'consensus', 'mine', 'rater-A', 'rater-B']
    assert group_order(methods) == ordered
    assert shown_methods(methods) == ordered
    several = ['crossval-none', 'crossval-separate', 'crossval-shared', 'ensemble-none', 'syn']
    assert shown_methods(several) == ['crossval-shared', 'syn']
    assert group_style('rater-A').name == 'Rater A'
    assert group_style('rater-raterAB').name == 'Rater AB'


def test_repetitions_and_images_are_averaged_per_person() -> None:
    errors = errors_of(cnn=[1.0, 5.0]).assign(participant_id='sub-01')
    assert by_person(errors)['error_mm'].tolist() == [3.0]


def test_largest_errors_of_each_method_and_of_all_raters(tmp_path: Path) -> None:
    errors = errors_of(cnn=[1, 9, 3, NAN], rater_A=[2, 0, 0, 0], rater_B=[0, 7, 0, 0])
    (tmp_path / 'sub-01.html').write_text('', encoding='utf-8')
    found = largest_errors(errors, ['cnn', 'rater-A', 'rater-B'], tmp_path)
    assert [(o.method, o.person, o.error) for o in found[:5]] == [
        ('CNN', 'sub-01', '9.0'),
        ('CNN', 'sub-02', '3.0'),
        ('CNN', 'sub-00', '1.0'),
        ('Rater B', 'sub-01', '7.0'),
        ('Rater A', 'sub-00', '2.0'),
    ]
    assert [o.report for o in found[:3]] == ['sub-01.html', '', '']


def test_points_are_counted_per_method() -> None:
    row, = method_rows(points_of(cnn=[(0, 0, 0), (NAN,) * 3]))  # fmt: skip
    assert (row.name, row.people, row.images, row.found, row.missing) == ('CNN', 1, 1, 1, 1)


def test_a_table_leaves_out_columns_without_a_value() -> None:
    protocol = load_protocol('tms')
    errors = errors_of(cnn=[3.0, 5.0]).assign(label='LOFC')
    points = points_of(cnn=[(0, 0, 0), (0, 0, 0)]).assign(label='LOFC')
    table = paper_table(
        'table2', table2(points, errors, protocol, network='cnn', registration='syn')
    )
    assert table.columns == ['CNN Error']
    text = table.rows[0][1].plain.replace('\N{NO-BREAK SPACE}', ' ')
    assert text.startswith('4.00 ± 1.41 (n = 2)')
    assert table.rows[1][1].plain == ''


def test_remarks_in_the_same_words_are_gathered_and_the_gravest_come_first() -> None:
    said = [('a', 'x', 'note'), ('b', 'y', 'error'), ('c', 'x', 'note'), ('d', 'z', 'warning')]
    found = remarks([LeftOut(*one) for one in said])
    assert [(one.severity, one.who) for one in found] == [
        ('error', ['b']),
        ('warning', ['d']),
        ('note', ['a', 'c']),
    ]


def test_a_stray_point_among_many_is_drawn(tmp_path: Path) -> None:
    cloud = np.random.default_rng(1).normal((-40, 0, 30), 2, (500, 3))
    points = points_of(cnn=[*map(tuple, cloud), (-40.0, 60.0, 30.0)])
    path = plot_glass_brain(points, ['cnn'], tmp_path / 'g.svg')
    # A hundred of the left side in three views, or nearly: evenly spaced ones may be furthest.
    svg = path.read_text(encoding='utf-8')
    assert 3 * 95 <= svg.count('<use') <= 3 * 100
    assert _thinned(points)[-1].tolist() == [-40.0, 60.0, 30.0]
