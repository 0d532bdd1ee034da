"""The chart of cost against number of participants, and the measured part of the page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tmsprep.reports.charts import figure_style, save_svg

#: Kind of a measurement to its name, in the order of the table.
WHAT = {
    'start': 'start of a task of 3 participants',
    'start, database': 'the same, PyBIDS database',
    'everybody': 'start of one run over all participants',
    'database': 'creating the PyBIDS database',
    'group': 'group level, CNN and SyN',
    'group, raters': 'the same, 3 raters for up to 1,000',
}

_COLOURS = ('#1864ab', '#4dabf7', '#868e96', '#9775fa', '#2b8a3e', '#e67700')
BEGIN, END = '<!-- measured: begin -->', '<!-- measured: end -->'


def draw(table: pd.DataFrame, path: Path) -> Path:
    """Draw seconds and memory against the number of participants, both on logarithmic axes.

    Parameters
    ----------
    table : pandas.DataFrame
        `what` (a key of `WHAT`), `people`, `seconds`, `megabytes`.
    path : Path
        SVG to write.
    """
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(8.0, 3.2), layout='constrained')
        for axes, value in zip(figure.subplots(1, 2), ('seconds', 'megabytes'), strict=True):
            for (what, name), colour in zip(WHAT.items(), _COLOURS, strict=True):
                rows = table[table['what'] == what].sort_values('people')
                axes.plot(rows['people'], rows[value], 'o-', ms=3, color=colour, label=name)
            axes.set(xscale='log', yscale='log', xlabel='participants in the data set')
            axes.set_title({'seconds': 'seconds', 'megabytes': 'peak memory, MB'}[value])
            axes.grid(color='#dddddd', lw=0.5)
            axes.spines[['top', 'right']].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), loc='outside lower center', ncols=3)
        return save_svg(figure, path)


def section(table: pd.DataFrame) -> str:
    """Write the measurements as a Markdown table: seconds and MB per number of participants."""
    sizes = sorted(table['people'].unique())
    head = ['', *(f'{size:,} participants' for size in sizes)]
    rows = [head, ['---'] + ['---:'] * len(sizes)]
    known = table.set_index(['what', 'people'])
    for what, name in WHAT.items():
        cells = [_cell(known, what, size) for size in sizes]
        if any(cells):
            rows.append([name, *cells])
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in rows) + '\n'


def _cell(known: pd.DataFrame, what: str, size: int) -> str:
    if (what, size) not in known.index:
        return ''
    cost = known.loc[(what, size)]
    return f'{cost["seconds"]:.1f} s, {cost["megabytes"]:.0f} MB'


def put_into(page: Path, text: str) -> None:
    """Replace the text between the marks of a page.

    Raises
    ------
    ValueError
        If the page has no such marks.
    """
    before, begin, rest = page.read_text(encoding='utf-8').partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f'{page}: needs the lines {BEGIN} and {END}')
    page.write_text(f'{before}{BEGIN}\n\n{text}\n{END}{after}', encoding='utf-8')
