"""The report of a group: one HTML file that needs nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tmsprep.atomic import write_text
from tmsprep.evaluation.agreement import agreement_table, axis_differences
from tmsprep.evaluation.errors import CONSENSUS
from tmsprep.evaluation.paper_tables import mean_labels
from tmsprep.reports.group_answer import group_answer
from tmsprep.reports.group_bland_altman import plot_bland_altman
from tmsprep.reports.group_brain import plot_glass_brain
from tmsprep.reports.group_content import GroupContent
from tmsprep.reports.group_figures import MOST_DOTS, SINGLE_DOTS, plot_errors
from tmsprep.reports.group_matrix import plot_matrices
from tmsprep.reports.group_styles import group_style, is_rater, shown_methods
from tmsprep.reports.group_summary import (
    MOST_REMARKS,
    TITLES,
    by_person,
    largest_errors,
    method_rows,
    paper_table,
    remarks,
)
from tmsprep.reports.participant import Picture, data_uri
from tmsprep.reports.template import render_report

NAME = 'group.html'


@dataclass(frozen=True)
class Figures:
    """The pictures of the report; None, or no entry, where there is nothing to draw."""

    errors: Picture | None
    matrices: Picture | None
    axes: tuple[Picture, ...]
    brain: Picture | None


def write_group_report(out_dir: Path, content: GroupContent) -> Path:
    """Write the report of a group.

    The file holds its figures and needs no network, no scripts and no other file; links lead to
    the reports of single persons beside it, where they exist. The same content gives the same
    bytes. What cannot be shown is said to be missing.

    Parameters
    ----------
    out_dir : Path
        The output folder.
    content : GroupContent
        What to show.

    Returns
    -------
    Path
        ``out_dir/group.html``.
    """
    errors, people = content.errors, content.points['participant_id'].unique()
    html = render_report(
        'report_group.html.jinja',
        content=content,
        answer=group_answer(content),
        people=len(people),
        remarks=remarks(content.left_out),
        most_remarks=MOST_REMARKS,
        concerns=sum(one.severity != 'note' for one in content.left_out),
        methods=method_rows(content.points),
        figures=draw_figures(content),
        outliers=largest_errors(errors, shown_methods(errors['method']), Path(out_dir)),
        tables=[paper_table(t, content.tables[t]) for t in TITLES if t in content.tables],
        mean_labels=mean_labels(content.protocol),
        most_dots=MOST_DOTS,
        single_dots=SINGLE_DOTS,
    )
    return write_text(Path(out_dir) / NAME, html)


def draw_figures(content: GroupContent) -> Figures:
    """Draw whatever the content has something to draw of."""
    with tempfile.TemporaryDirectory(prefix='tmsprep-') as folder:
        path = Path(folder) / 'figure.svg'
        return Figures(
            _draw_errors(content, path),
            _draw_matrices(content, path),
            tuple(_draw_axes(content, path)),
            _draw_brain(content, path),
        )


def _draw_errors(content: GroupContent, path: Path) -> Picture | None:
    errors = by_person(content.errors)
    labels = [label for label in content.protocol.labels if label in set(errors['label'])]
    if not labels:
        return None
    plot_errors(errors, labels, shown_methods(errors['method']), path)
    return Picture('errors', data_uri(path), 'Errors of every person, per target and method')


def _draw_matrices(content: GroupContent, path: Path) -> Picture | None:
    """Draw a square for the methods, the consensus being one of them, and one for the raters."""
    there = shown_methods(content.points.dropna(subset=['x', 'y', 'z'])['method'])
    squares = {
        'methods': [method for method in there if not is_rater(method)],
        'raters': [method for method in there if is_rater(method)],
    }
    squares = {title: names for title, names in squares.items() if len(names) > 1}
    if not squares:
        return None
    table = agreement_table(content.points) if content.agreement is None else content.agreement
    plot_matrices(table, squares, path)
    return Picture('agreement', data_uri(path), 'Mean distance in mm of every two of them')


def _draw_axes(content: GroupContent, path: Path) -> Iterator[Picture]:
    """Draw each method against the consensus; without one, the methods against the first."""
    there = [m for m in shown_methods(content.points['method']) if not is_rater(m)]
    second = CONSENSUS if CONSENSUS in there else next(iter(there), '')
    for first in there:
        if first != second and len(axis_differences(content.points, first, second)):
            plot_bland_altman(content.points, first, second, path)
            name = f'{group_style(first).name} minus {group_style(second).name}'
            yield Picture(name, data_uri(path), f'{name}, along x, y and z')


def _draw_brain(content: GroupContent, path: Path) -> Picture | None:
    if content.template_points is None:
        return None
    known = content.template_points.dropna(subset=['x', 'y', 'z'])
    if known.empty:
        return None
    plot_glass_brain(known, shown_methods(known['method']), path)
    return Picture('brain', data_uri(path), 'Points of all people on an outline of the brain')
