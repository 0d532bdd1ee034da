"""Sections of a group's report that compare any methods and raters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from tmsprep.bids.names import Layout
from tmsprep.evaluation.agreement import agreement_table, axis_differences
from tmsprep.evaluation.comparisons import MEAN, mean_labels, mean_table
from tmsprep.evaluation.errors import CONSENSUS
from tmsprep.evaluation.membership import NEAR_MM
from tmsprep.protocols import Protocol
from tmsprep.reports.agreement_charts import plot_bland_altman, plot_glass_brain, plot_matrices
from tmsprep.reports.charts import MOST_DOTS, SINGLE_DOTS, plot_errors
from tmsprep.reports.references import ABRAHAM, BLAND
from tmsprep.reports.sections import Link, Number, Picture, Section, Table
from tmsprep.reports.styles import group_order, group_style, is_rater, shown_methods
from tmsprep.tables import SETTLED

#: Number of the largest errors listed per method.
LARGEST = 5


def chart(
    layout: Layout, name: str, plot: Callable[[Path], object] | None, alt: str, what: str = ''
) -> list[Picture]:
    """Draw a chart into ``figures`` and embed it.

    Parameters
    ----------
    layout : Layout
        Output folder and names.
    name : str
        Part of the file name.
    plot : callable or None
        Writes the SVG file it is given; None deletes the chart of an earlier run.
    alt, what : str
        Text alternative and caption.

    Returns
    -------
    list of Picture
        Empty if there is nothing to draw.
    """
    path = layout.out_dir / 'figures' / layout.level('group', name, '.svg').name
    if plot is None:
        path.unlink(missing_ok=True)
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    plot(path)
    return [Picture.read(path, alt, what)]


def distance_table(errors: pd.DataFrame, protocol: Protocol, seed: int) -> Table:
    """Distance of each method from the consensus, smallest mean first; raters are pooled.

    Confidence intervals draw participants. The mean says little about one participant, so the
    median, the 95th percentile and the largest error of single points are shown as well.
    """
    labels = mean_labels(protocol)
    known = errors[errors['label'].isin(labels)].dropna(subset=['error_mm'])
    groups = {group_style(m).name: [m] for m in shown_methods(known['method']) if not is_rater(m)}
    raters = [method for method in known['method'].unique() if is_rater(method)]
    groups |= {'Raters': raters} if raters else {}
    found = {}
    for name, methods in groups.items():
        own = known[known['method'].isin(methods)]
        found[name] = mean_table({name: (name, own)}, {MEAN: labels}, seed).iloc[0], own
    ranked = sorted(found, key=lambda name: found[name][0]['mean_mm'])
    head = ['Distance from the consensus, mm', 'Mean', '95 % confidence', 'Median']
    head += ['95th percentile', 'Largest', 'at', 'Points', 'Participants']
    over = 'all targets' if len(labels) == len(protocol.labels) else ', '.join(labels)
    notes = f'Over {over}; repetitions and raters count one by one.'
    return Table('', head, [[name, *_distances(*found[name])] for name in ranked], notes)


def _distances(mean: pd.Series, own: pd.DataFrame) -> list[str | Number]:
    median, most = np.percentile(own['error_mm'].to_numpy(float), [50, 95])
    worst = own.loc[own['error_mm'].idxmax()]
    interval = f'{mean["ci_low_mm"]:.1f} to {mean["ci_high_mm"]:.1f}'
    return [
        Number.of(mean['mean_mm']),
        interval if np.isfinite(mean['ci_low_mm']) else 'n/a',
        Number.of(median),
        Number.of(most),
        Number.of(worst['error_mm']),
        f'{worst["participant_id"]}, {worst["label"]}',
        Number.of(int(mean['n'])),
        Number.of(int(mean['people'])),
    ]


def consensus_facts(points: pd.DataFrame) -> list[str]:
    """Say what the distances are measured from."""
    if CONSENSUS not in set(points['method']):
        return ['No rater marked points. That methods agree does not show that they are right.']
    status = points.loc[points['method'] == CONSENSUS, 'status']
    single, none = int((status == 'single').sum()), int((status == 'no_consensus').sum())
    facts = ['The consensus is where raters put the target, not where it is known to be.']
    if single:
        facts.append(f'{single} of {len(status)} reference points are by one rater alone.')
    if none:
        facts.append(
            f'On {none} of {len(status)} targets in images no two raters agreed; these are left '
            'out, which leaves out the hardest cases.'
        )
    return facts


def participants_section(points: pd.DataFrame) -> Section:
    """Count participants, images and points per method."""
    rows: list[list[str | Number]] = []
    for method in group_order(points['method'].unique()):
        own = points[points['method'] == method]
        found = own.dropna(subset=['x', 'y', 'z'])
        counts = [found['participant_id'].nunique(), found['image'].nunique(), len(found)]
        numbers = [Number.of(count) for count in (*counts, len(own) - len(found))]
        rows.append([group_style(method).name, *numbers])
    if not rows:
        return Section('Participants', 'There are no points.')
    notes = (
        'Repetitions of a cross-validation are counted one by one. For the consensus a point is '
        'also missing where no two raters agree.'
    )
    head = ['Points by', 'Participants', 'Images', 'Points', 'Missing']
    return Section('Participants', tables=[Table('', head, rows, notes)])


def errors_section(layout: Layout, protocol: Protocol, errors: pd.DataFrame) -> Section:
    """Errors of every participant, per target and method."""
    means = mean_errors(errors, ['participant_id', 'method', 'label'])
    labels = [label for label in protocol.labels if label in set(means['label'])]
    methods = shown_methods(means['method'])
    pictures = chart(
        layout,
        'errors',
        (lambda path: plot_errors(means, labels, methods, path)) if labels else None,
        'Errors of every participant, per target and method',
        'Distance from the consensus of the raters, mm. Each dot is one participant: the mean of '
        'repetitions and images. Black bar and number above: the mean over participants. ▲ and a '
        f'number: so many participants lie above the axis. With more than {MOST_DOTS} '
        'participants in a column a box shows the middle half, a line 90 %, and dots only the '
        f'{SINGLE_DOTS} largest errors.',
    )
    missing = '' if pictures else 'Left out: no point can be compared with a consensus of raters.'
    return Section('Errors', missing, pictures)


def gyri_section(gyri: pd.DataFrame, protocol: Protocol) -> Section:
    """Share of the points of each method in the gyrus of their target, and near it."""
    methods = group_order(gyri['method'].unique())
    cells = {(row['label'], row['method']): row for row in gyri.to_dict('records')}
    rows: list[list[str | Number]] = [
        [label, *(_share(cells[label, method]) for method in methods)]
        for label in dict.fromkeys(gyri['label'])
    ]
    labels = mean_labels(protocol)
    over = 'all targets' if len(labels) == len(protocol.labels) else ', '.join(labels)
    notes = (
        f'Percent of points in the gyrus of their target / in it or within {NEAR_MM:g} mm of it '
        f'(number of points). {MEAN}: {over}. Gyri are those that the parcellation network of '
        'tmsprep saw in each image; no rater has a part in them, but they are not the truth. '
        f'Points that were moved to the middle of that very gyrus (`{SETTLED}`) are flattered by '
        'it: compare the others.'
    )
    moved = set(gyri.loc[gyri['reason'].str.contains(SETTLED), 'method'])
    names = [group_style(method).name + ' (moved there)' * (method in moved) for method in methods]
    head = ['Target', *names]
    return Section('Points in their gyrus', tables=[Table('', head, rows, notes)])


def _share(row: Mapping[Any, Any]) -> str:
    if not row['n']:
        return ''
    return f'{100 * row["inside"]:.0f} / {100 * row["near"]:.0f} ({row["n"]})'


def largest_section(layout: Layout, errors: pd.DataFrame) -> Section:
    """List the largest errors of each method, and of all raters together."""
    means = mean_errors(errors, ['method', 'participant_id', 'image', 'label'])
    methods = shown_methods(means['method'])
    raters = [method for method in methods if is_rater(method)]
    rows = []
    for group in [*([method] for method in methods if method not in raters), raters]:
        own = means[means['method'].isin(group)]
        ranked = own.sort_values('error_mm', ascending=False, kind='stable').head(LARGEST)
        rows += [_outlier(row, layout) for row in ranked.to_dict('records')]
    if not rows:
        return Section('Largest errors', 'Left out: no error is known.')
    text = (
        'Look at these first: either a method failed, or the reference is wrong. A name is a link '
        "to the participant's own report if there is one next to this file."
    )
    head = ['Participant', 'Image', 'Points by', 'Target', 'Error, mm']
    return Section('Largest errors', text, tables=[Table('', head, rows)])


def _outlier(row: Mapping[Any, Any], layout: Layout) -> list[str | Number | Link | None]:
    name = report_link(layout, str(row['participant_id']))
    method = group_style(row['method']).name
    return [name, row['image'], method, row['label'], Number.of(row['error_mm'])]


def report_link(layout: Layout, participant: str) -> Link | str:
    """Link to the report of a participant ('sub-<label>') beside that of the group, if any."""
    report = layout.report(participant.removeprefix('sub-'))
    return Link(participant, quote(report.name)) if report.is_file() else participant


def agreement_section(
    layout: Layout, points: pd.DataFrame, agreement: pd.DataFrame | None
) -> Section:
    """Squares of distances of the methods, the consensus being one of them, and of the raters."""
    there = shown_methods(points.dropna(subset=['x', 'y', 'z'])['method'])
    squares = {
        'methods': [method for method in there if not is_rater(method)],
        'raters': [method for method in there if is_rater(method)],
    }
    squares = {title: names for title, names in squares.items() if len(names) > 1}
    table = agreement_table(points) if agreement is None and squares else agreement
    pictures = chart(
        layout,
        'agreement',
        (lambda path: plot_matrices(table, squares, path)) if squares else None,
        'Mean distance in mm of every two of them',
        'Mean distance in mm of every two methods and of every two raters, on the n points that '
        'both have; repetitions are averaged to one point first. Darker is further apart.',
    )
    missing = 'Left out: there are no two methods, and no two raters, to compare.'
    return Section('Agreement', '' if pictures else missing, pictures)


def directions_section(layout: Layout, points: pd.DataFrame) -> Section:
    """Each method against the consensus; without one, the methods against the first."""
    there = [m for m in shown_methods(points['method']) if not is_rater(m)]
    second = CONSENSUS if CONSENSUS in there else next(iter(there), '')
    pictures = []
    for first in there:
        name = f'{group_style(first).name} minus {group_style(second).name}'

        def plot(path: Path, first: str = first) -> Path:
            return plot_bland_altman(points, first, second, path)

        known = first != second and len(axis_differences(points, first, second)) > 0
        alt = f'{name}, along x, y and z'
        pictures += chart(layout, f'directions-{first}', plot if known else None, alt, name)
    if not pictures:
        return Section('Directions', 'Left out: there are no two methods with points in common.')
    text = (
        'Does a method put points systematically too far to one side? Bland-Altman plots, one dot '
        'per point of a participant; line: mean difference; dashed: 95 % limits of agreement. '
        'Dots beyond the frame stand at its edge. Targets and participants are pooled, so the '
        'limits describe the points of this group and are no prediction.'
    )
    methods = '**Directions.** Shown after Bland and Altman (1986).'
    return Section('Directions', text, pictures, methods=methods, references=[BLAND])


def brain_section(layout: Layout, points: pd.DataFrame | None, template: str) -> Section:
    """All points in the space of a template."""
    columns = ['x', 'y', 'z', 'method', 'label']
    known = (points if points is not None else pd.DataFrame(columns=columns)).dropna(
        subset=['x', 'y', 'z']
    )
    pictures = chart(
        layout,
        'brain',
        (lambda path: plot_glass_brain(known, shown_methods(known['method']), path))
        if len(known)
        else None,
        'Points of all participants on an outline of the brain',
        f'Points of all participants in the space {template}, seen through a glass brain: from '
        'the left, from behind, from the right, from above. A point away from its cloud deserves '
        'a look; the mapping to that space may be what failed.',
    )
    if not pictures:
        return Section('All points', 'Left out: no points are given in the space of a template.')
    return Section('All points', pictures=pictures, references=[ABRAHAM])


def mean_errors(errors: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Average errors, mm, such as those of repetitions; missing ones are left out."""
    return errors.groupby(by, sort=True)['error_mm'].mean().dropna().reset_index()
