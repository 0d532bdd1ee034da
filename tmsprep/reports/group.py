"""The report of a group: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep.atomic import write_text
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.protocols import Protocol
from tmsprep.reports.cohort import cohort_section
from tmsprep.reports.cohort import verdict as verdict_on_cohort
from tmsprep.reports.comparison import (
    agreement_section,
    brain_section,
    consensus_facts,
    directions_section,
    distance_table,
    errors_section,
    gyri_section,
    largest_section,
    participants_section,
)
from tmsprep.reports.sections import Number, Page, Section, Table, render
from tmsprep.tables import SETTLED
from tmsprep.text import counted

#: Number of remarks of a kind that are listed.
MOST_REMARKS = 200

_SEVERITIES = ('error', 'warning', 'note')


@dataclass(frozen=True)
class Remark:
    """Something missing, failed, or to be looked at.

    Parameters
    ----------
    who : str
        Participant, image or file.
    why : str
        What went wrong and the cure, in words.
    severity : str
        'error' if points are missing for it, 'warning' if they are used and must be looked at,
        'note' for information.
    """

    who: str
    why: str
    severity: str = 'error'


@dataclass(frozen=True)
class GroupContent:
    """Everything that `write_group_report` shows.

    Parameters
    ----------
    participants : int
        Number of participants with points.
    points : pandas.DataFrame, optional
        One row per participant, image, target, method and repetition: ``participant_id``,
        ``image``, ``method``, ``repetition``, ``label``, ``x``, ``y``, ``z`` (mm, RAS+, scanner
        frame; NaN if missing), ``status``. Without it only `sections` compare the methods.
    errors : pandas.DataFrame, optional
        Distance of each point from the consensus of the raters: ``participant_id``, ``image``,
        ``method``, ``repetition``, ``label``, ``error_mm``; given whenever `points` are.
    agreement : pandas.DataFrame, optional
        Result of `evaluation.agreement.agreement_table`; made from `points` if it is not given.
    gyri : pandas.DataFrame, optional
        Result of `tmsprep.evaluation.membership.membership_table`.
    cohort : pandas.DataFrame, optional
        Result of `tmsprep.evaluation.cohort.cohort_table`.
    images : mapping
        Name of an image to its reference.
    template_points : pandas.DataFrame, optional
        As `points`, with x, y, z in mm of the space `template`.
    template : str
        Name of that space.
    sections : sequence of Section
        Tables and figures of the method that the group is about, from its
        ``group_section.group_sections``.
    remarks : sequence of Remark
        What is missing or failed, and findings on files.
    hidden : collection of str
        Methods that only the tables and the counts show, such as all variants of a
        cross-validation but the one that is compared with other methods.
    reference : str
        One sentence on who the raters are, '' if that is not known.
    seed : int
        Seed of the confidence intervals.
    """

    participants: int
    points: pd.DataFrame | None = None
    errors: pd.DataFrame | None = None
    agreement: pd.DataFrame | None = None
    gyri: pd.DataFrame | None = None
    cohort: pd.DataFrame | None = None
    images: Mapping[str, ImageRef] = field(default_factory=dict)
    template_points: pd.DataFrame | None = None
    template: str = ''
    sections: Sequence[Section] = ()
    remarks: Sequence[Remark] = ()
    hidden: Collection[str] = ()
    reference: str = ''
    seed: int = 1


def write_group_report(layout: Layout, protocol: Protocol, content: GroupContent) -> Path:
    """Write the report of a group.

    The file holds its figures and needs no network, no scripts and no other file; links lead to
    the reports of single participants, where they exist. The figures are also written
    into ``figures``. The same content gives the same bytes. What cannot be shown is reported as
    missing.

    Parameters
    ----------
    layout : Layout
        Output folder and names.
    protocol : Protocol
        The targets, and the words of the report.
    content : GroupContent
        What to show.

    Returns
    -------
    Path
        `Layout.level` of 'group', ending in ``.html``.
    """
    sections = [*_comparisons(layout, protocol, content), *content.sections]
    texts = [_source_text(protocol), *(s.methods for s in sections if s.methods)]
    count = counted(content.participants, 'participant')
    html = render(
        protocol,
        kind='report for a group',
        heading=f'{count}, {len(protocol.targets)} targets',
        pages=[summary_page(protocol, content, sections)],
        sections=[section for section in sections if section.title],
        remarks=gather(content.remarks),
        most_remarks=MOST_REMARKS,
        remarks_file=layout.level('group', 'participants').name,
        methods=[paragraph for text in texts for paragraph in text.split('\n\n')],
        references=sorted({text for section in sections for text in section.references}),
    )
    return write_text(layout.level('group', extension='.html'), html)


def _comparisons(layout: Layout, protocol: Protocol, content: GroupContent) -> list[Section]:
    if content.points is None or content.errors is None:
        return []
    points = _without(content.hidden, content.points)
    errors = _without(content.hidden, content.errors)
    participants, cohort = participants_section(content.points), _cohort(layout, protocol, content)
    found = [
        errors_section(layout, protocol, errors),
        *_gyri(protocol, content),
        largest_section(layout, errors),
        agreement_section(layout, points, content.agreement),
        directions_section(layout, points),
        brain_section(layout, content.template_points, content.template),
    ]
    if not cohort or errors['error_mm'].notna().any():
        return [participants, *found, *cohort]
    # Without raters the question is whom to look at, and no section says that it is left out.
    return [*cohort, participants, *(section for section in found if section.has_content)]


def _gyri(protocol: Protocol, content: GroupContent) -> list[Section]:
    if content.gyri is None:
        return []
    shown = _without(content.hidden, content.gyri)
    if shown['reason'].str.contains(SETTLED).all():
        # What was moved there lies there: that shows nothing.
        return []
    return [gyri_section(shown, protocol)]


def _cohort(layout: Layout, protocol: Protocol, content: GroupContent) -> list[Section]:
    if content.cohort is None:
        return []
    return [cohort_section(layout, protocol, content.cohort, content.images)]


def _without(hidden: Collection[str], table: pd.DataFrame) -> pd.DataFrame:
    return table[~table['method'].isin(list(hidden))]


def gather(remarks: Sequence[Remark]) -> list[Mapping[str, Any]]:
    """Join remarks with the same words, the most serious first: 'severity', 'why', 'who'."""
    joined: dict[tuple[str, str], list[str]] = {}
    for remark in remarks:
        joined.setdefault((remark.severity, remark.why), []).append(remark.who)
    ranked = sorted(joined.items(), key=lambda item: _SEVERITIES.index(item[0][0]))
    return [{'severity': severity, 'why': why, 'who': who} for (severity, why), who in ranked]


def summary_page(protocol: Protocol, content: GroupContent, sections: Sequence[Section]) -> Page:
    """Say first how far the methods are from the reference, and what is missing."""
    facts = [fact for section in sections for fact in section.facts]
    warnings = [warning for section in sections for warning in section.warnings]
    verdict, tables = f'{counted(content.participants, "participant")} compared.', []
    if content.points is not None and content.errors is not None:
        errors = _without(content.hidden, content.errors)
        table = distance_table(errors, protocol, content.seed)
        verdict, tables = _verdict(table, content), [table]
        facts = [*consensus_facts(content.points), *facts]
    if content.reference:
        facts.append(f'**The reference.** {content.reference}')
    serious = sum(remark.severity != 'note' for remark in content.remarks)
    if serious:
        warnings.append(_remarks_text(len(content.remarks), serious))
    elif content.remarks:
        facts.append(_remarks_text(len(content.remarks), 0))
    return Page(
        'summary',
        'Summary',
        level='plain',
        verdict=verdict,
        concerns=f'{serious} to look at' if serious else '',
        facts=facts,
        warnings=warnings,
        sections=[Section('Distances', tables=tables)] if tables and tables[0].rows else [],
    )


def _remarks_text(total: int, serious: int) -> str:
    what = 'on participants and files that are missing, failed or need a look'
    more = f'; {serious} of them errors or warnings' if serious else ''
    return f'[{counted(total, "remark")}](#remarks) {what}{more}.'


def _verdict(table: Table, content: GroupContent) -> str:
    if not table.rows:
        if content.cohort is not None:
            return verdict_on_cohort(content.cohort)
        return 'No method has a point where raters have a consensus, so no error is known.'
    means = [(row[0], row[1]) for row in table.rows]
    parts = [f'{name} {n.shown}\N{NO-BREAK SPACE}mm' for name, n in means if isinstance(n, Number)]
    return f'Mean distance from the consensus of the raters: {", ".join(parts)}.'


def _source_text(protocol: Protocol) -> str:
    gyri = ', and gyri from the label maps of the participant level' if protocol.gyri else ''
    return (
        f"Points were taken from the output folder and from the raters' files{gyri}; no T1w was "
        'read. '
        'Coordinates are in mm, RAS+, in the scanner frame of each image. The targets are those '
        f'of protocol {protocol.name} ({protocol.source}).'
    )
