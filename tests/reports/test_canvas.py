from __future__ import annotations

from pathlib import Path

from tmsprep.reports.canvas import figure_style, save_svg


def chart(path: Path) -> bytes:
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(2, 1))
        figure.add_subplot().plot([0, 1], [1, 3], label='mm')
        return save_svg(figure, path).read_bytes()


def test_settings_of_the_caller_are_left_alone(tmp_path):
    import matplotlib as mpl

    with mpl.rc_context({'font.size': 23.0, 'axes.grid': True}):
        own = chart(tmp_path / 'a.svg')
        assert mpl.rcParams['font.size'] == 23.0
    assert chart(tmp_path / 'b.svg') == own


def test_a_chart_needs_no_other_file(tmp_path):
    text = chart(tmp_path / 'a.svg').decode('utf-8')
    assert "'DejaVu Sans', Verdana, Arial, sans-serif" in text
    assert 'http' not in text.replace('http://www.w3.org', '').split('<g id="figure_1">')[1]
