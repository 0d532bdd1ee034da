"""What every analysis of a group takes and gives, and its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.disclaimer import disclaimer
from tmsprep.group.issues import Issue
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column, read_json, write_or_delete
from tmsprep.text import counted

if TYPE_CHECKING:
    from tmsprep.methods.base import Method


@dataclass(frozen=True)
class GroupRequest:
    """What is compared, and how.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    protocol : Protocol
        The targets.
    methods : tuple of Method
        Methods of the protocol, in its order; the first decides how the group is analysed.
    bids_dir : Path
        Root of the data set, of which only the names of folders are read.
    annotations : Path or None
        Directory of the raters.
    participants : tuple of str
        Labels without 'sub-'; empty for all.
    threshold_mm : float
        Largest distance between raters who agree.
    overrides : Path or None
        Table that replaces some agreements, see `tmsprep.group.overrides`.
    margin_mm : float
        Mean errors that differ by less count as equal.
    random_seed : int
        Seed of the confidence intervals.
    """

    layout: Layout
    protocol: Protocol
    methods: tuple[Method, ...]
    bids_dir: Path
    annotations: Path | None = None
    participants: tuple[str, ...] = ()
    threshold_mm: float = 12.0
    overrides: Path | None = None
    margin_mm: float = 3.0
    random_seed: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the methods."""
        return tuple(method.name for method in self.methods)


@dataclass(frozen=True)
class Group:
    """Data of a group, read and checked, before anything is computed.

    Parameters
    ----------
    request : GroupRequest
        What is compared, and how.
    points : pandas.DataFrame
        See `tmsprep.group.points.COLUMNS`.
    participants : list of str
        Labels without 'sub-' of all known participants, in natural order.
    issues : list of Issue
        Participants that are missing or failed, and what is wrong with files.
    raters : tuple of str
        Names of the raters.
    images : dict
        By name, those that the participant level has outputs of; the files may be gone.
    atlases : dict
        Name of an image and method to the atlas that the method registered.
    checksums : dict
        Name of an image to the checksum that it had when its points were found.
    agreements : pandas.DataFrame or None
        Result of `tmsprep.group.points.agreement_table`; None without raters.
    predictions : pandas.DataFrame or None
        Result of `tmsprep.group.crossval.read_predictions`.
    extra : mapping
        What else a method hands from `Method.collect_group` to `Method.analyse_group`.
    """

    request: GroupRequest
    points: pd.DataFrame
    participants: list[str]
    issues: list[Issue]
    raters: tuple[str, ...] = ()
    images: Mapping[str, ImageRef] = field(default_factory=dict)
    atlases: Mapping[tuple[str, str], str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    agreements: pd.DataFrame | None = None
    predictions: pd.DataFrame | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_participants(self) -> int:
        """Number of participants with a point."""
        return self.points.dropna(subset=['x'])['participant_id'].nunique()

    def with_issues(self, issues: Iterable[Issue]) -> Group:
        """Return the group with further issues."""
        return replace(self, issues=[*self.issues, *issues])


@dataclass(frozen=True)
class GroupResult:
    """Tables of a group.

    Parameters
    ----------
    group : Group
        The data, with all issues.
    tables : mapping
        Name to table; each is written as `Layout.level('group', name)`.
    descriptions : mapping
        Every table that there can be, in the order of writing, to what it holds.
    columns : mapping
        Columns beyond those of `tmsprep.tables.COLUMNS` and `COLUMNS`.
    settings : mapping
        Entries of all sidecars.
    template_points : pandas.DataFrame or None
        As `Group.points`, with x, y, z in mm, RAS+, in the space of a template.
    template : str
        Name of that space.
    hidden : tuple of str
        Methods that only the tables and the counts of the report show.
    """

    group: Group
    tables: Mapping[str, pd.DataFrame]
    descriptions: Mapping[str, str]
    columns: Mapping[str, Column] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    template_points: pd.DataFrame | None = None
    template: str = ''
    hidden: tuple[str, ...] = ()


#: Columns that several analyses have.
COLUMNS: dict[str, Column] = {
    'mean_mm': column('Mean', 'mm'),
    'sd_mm': column('Standard deviation of the sample', 'mm'),
    'median_mm': column('Median', 'mm'),
    'first': column('The first method, or way of training'),
    'second': column('The second one'),
    'n': column('Number of values; in tests, of participants with both'),
    'people': column('Number of participants with a value'),
    'ci_low_mm': column(
        'Lower end of the 95 % confidence interval, by bootstrap over participants', 'mm'
    ),
    'ci_high_mm': column(
        'Upper end of the 95 % confidence interval, by bootstrap over participants', 'mm'
    ),
    'effect': column('Rank-biserial correlation; negative: the first is smaller'),
    'p': column('Wilcoxon signed-rank test, two-sided, normal approximation'),
    'family': column('Tests that are corrected together'),
    'p_holm': column('p after the correction of Holm'),
    'stars': column('* p_holm < 0.05, ** < 0.01, *** < 0.001'),
    'reason': column('Why something is missing, or what to consider'),
}

_Z_SCORE = column('z of the Wilcoxon test; negative: the first is smaller')

# Whole numbers that are missing where they do not apply.
_WHOLE = ('repetition', 'fold')


def write_group(result: GroupResult) -> list[Path]:
    """Write the tables of a group, and delete those of an earlier run that no longer hold.

    Returns
    -------
    list of Path
        The tables that were written.
    """
    request = result.group.request
    written = []
    for name, description in result.descriptions.items():
        table, columns = result.tables.get(name), {**COLUMNS, **result.columns}
        if table is not None:
            whole = [column for column in _WHOLE if column in table]
            table = table.astype(dict.fromkeys(whole, 'Int64'))
            if 'x' not in table:
                columns['z'] = _Z_SCORE
        entries = {'Disclaimer': disclaimer(request.protocol), **result.settings}
        path = request.layout.level('group', name)
        written += write_or_delete(path, table, description, columns, **entries)
    return written


def common_settings(group: Group) -> dict[str, Any]:
    """Entries of the sidecars that every analysis has."""
    request = group.request
    settings: dict[str, Any] = {
        'Protocol': request.protocol.name,
        'Participants': group.n_participants,
        'RandomSeed': request.random_seed,
    }
    if group.raters and request.annotations is not None:
        settings['Raters'] = describe_raters(request.annotations, group.raters)
    if request.overrides is not None:
        settings['AgreementOverrides'] = request.overrides.name
    return settings


def describe_raters(folder: Path, raters: Sequence[str]) -> str:
    """Name the raters and their data set in a sentence.

    Parameters
    ----------
    folder : Path
        Directory of the raters. The nearest ``dataset_description.json`` in it or above it
        counts: its ``Name`` and the ``Description`` of ``GeneratedBy``.
    raters : sequence of str
        Their names.
    """
    homes = (parent / 'dataset_description.json' for parent in (folder, *folder.parents))
    path = next((path for path in homes if path.is_file()), None)
    described = {} if path is None else read_json(path)
    programs = described.get('GeneratedBy') or []
    words = [p['Description'] for p in programs if isinstance(p, dict) and p.get('Description')]
    source = '; '.join([str(described.get('Name') or folder.name), *map(str, words)])
    return f'{counted(len(raters), "rater")} ({", ".join(raters)}) of: {source}.'
