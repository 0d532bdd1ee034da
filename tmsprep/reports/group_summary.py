"""Counts, the largest errors, and the cells of tables for the report of a group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tmsprep.evaluation.paper_tables import as_paper
from tmsprep.reports.group_content import LeftOut
from tmsprep.reports.group_styles import group_order, group_style, is_rater

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 5
"""How many of the largest errors are listed per method. Our choice."""

MOST_REMARKS = 200
"""How many remarks of a kind are listed; of more nobody reads the rest here. Our choice."""

_SEVERITIES = {'error': 0, 'warning': 1, 'note': 2}

_BOLD = re.compile(r'\*\*([^*]+)\*\*')

TITLES = {
    'table2': 'Errors, dispersion and variability of raters',
    'table3': 'Methods and raters compared',
    'table4': 'Variants of the network',
    'table5': 'Variants of the network compared',
}
"""Title of each table."""

_MEAN = 'Mean ± standard deviation in mm (n values)'
_STARS = (
    'Bold: significant after Holm-Bonferroni correction over the family (* 5 %, ** 1 %, *** 0.1 %)'
)

_CAPTIONS = {
    'table2': f'{_MEAN} and, in brackets, the 95 % confidence interval of the mean over people. '
    'Repetitions and raters are pooled, as in Table 2 of Baxter et al. (2021). Leave one out: '
    'each rater against the consensus of the others.',
    'table3': 'Absolute Z of paired Wilcoxon tests, one pair per person, as in Table 3 of Baxter '
    f'et al. (2021). {_STARS}, with the one whose mean error is smaller.',
    'table4': f'{_MEAN} in cross-validation, with and without ensembling, as in Table 4 of '
    'Baxter et al. (2021).',
    'table5': 'Z of paired Wilcoxon tests, one pair per person, as in Table 5 of Baxter et al. '
    f'(2021); negative: the one named first has smaller errors. {_STARS}. That an ensemble is '
    'nearer than its members on average follows from geometry and is no finding.',
}


@dataclass(frozen=True)
class Cell:
    """Text of a table's cell in a bold and a plain part."""

    bold: str
    plain: str


@dataclass(frozen=True)
class PaperTable:
    """A table as the template shows it."""

    name: str
    title: str
    caption: str
    columns: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class MethodRow:
    """Of whom a method has points."""

    name: str
    people: int
    images: int
    found: int
    missing: int


@dataclass(frozen=True)
class Outlier:
    """One of the largest errors of a method."""

    method: str
    person: str
    image: str
    label: str
    error: str
    report: str


@dataclass(frozen=True)
class Remark:
    """What is wrong, and with whom."""

    severity: str
    why: str
    who: list[str]


def paper_table(name: str, numbers: pd.DataFrame) -> PaperTable:
    """Lay out one of the tables in `TITLES`; `numbers` as `evaluation.paper_tables` makes it."""
    text = as_paper(numbers, intervals=name == 'table2')
    text = text.fillna('').astype(str)
    text = text.loc[:, [c for c in text.columns if c == 'label' or (text[c] != '').any()]]
    rows = [[_cell(value) for value in row] for row in text.to_numpy().tolist()]
    return PaperTable(name, TITLES[name], _CAPTIONS[name], list(text.columns[1:]), rows)


def _cell(text: str) -> Cell:
    for glued in (' ± ', 'n = ', ', '):
        text = text.replace(glued, glued.replace(' ', '\N{NO-BREAK SPACE}'))
    bold = _BOLD.match(text)
    return Cell(bold[1], text[bold.end() :].strip()) if bold else Cell('', text)


def method_rows(points: pd.DataFrame) -> list[MethodRow]:
    """Count people, images and points per method, in the order of the figures.

    A point is missing if its coordinates are; repetitions count one by one.
    """
    rows = []
    for method in group_order(points['method'].unique()):
        own = points[points['method'] == method]
        found = own.dropna(subset=['x', 'y', 'z'])
        rows.append(
            MethodRow(
                group_style(method).name,
                found['participant_id'].nunique(),
                found['image'].nunique(),
                len(found),
                len(own) - len(found),
            )
        )
    return rows


def largest_errors(errors: pd.DataFrame, methods: Sequence[str], out_dir: Path) -> list[Outlier]:
    """List the `LARGEST` errors of each method, and of all raters together, largest first.

    Each is the mean of its repetitions.

    Parameters
    ----------
    errors : pandas.DataFrame
        As `GroupContent.errors`.
    methods : sequence of str
        Methods, in the order of the list.
    out_dir : Path
        Where a person's own report would be; without one there is no link.
    """
    point = ['method', 'participant_id', 'image', 'label']
    means = errors.groupby(point, sort=True)['error_mm'].mean().dropna().reset_index()
    raters = [method for method in methods if is_rater(method)]
    groups = [[method] for method in methods if method not in raters] + [raters]
    found = []
    for group in groups:
        own = means[means['method'].isin(group)]
        ranked = own.sort_values('error_mm', ascending=False, kind='stable').head(LARGEST)
        found += [_outlier(row, Path(out_dir)) for row in ranked.to_dict('records')]
    return found


def _outlier(row: Mapping[str, Any], out_dir: Path) -> Outlier:
    report = f'{row["participant_id"]}.html'
    return Outlier(
        method=group_style(row['method']).name,
        person=row['participant_id'],
        image=row['image'],
        label=row['label'],
        error=f'{row["error_mm"]:.1f}',
        report=report if (out_dir / report).is_file() else '',
    )


def remarks(left_out: Sequence[LeftOut]) -> list[Remark]:
    """Gather what is said of several people in the same words, the gravest first."""
    gathered: dict[tuple[str, str], list[str]] = {}
    for one in left_out:
        gathered.setdefault((one.severity, one.why), []).append(one.who)
    ranked = sorted(gathered.items(), key=lambda item: _SEVERITIES.get(item[0][0], 0))
    return [Remark(severity, why, who) for (severity, why), who in ranked]


def by_person(errors: pd.DataFrame) -> pd.DataFrame:
    """Average repetitions and images: one error per person, method and target, mm."""
    names = ['participant_id', 'method', 'label']
    return errors.groupby(names, sort=True)['error_mm'].mean().dropna().reset_index()
