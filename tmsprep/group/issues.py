"""Participants of a group: who is known, and what is wrong or missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tmsprep.bids.names import BidsError, labels_in, natural_key, refused_labels, shorten
from tmsprep.evaluation.errors import RATER
from tmsprep.tables import Column, column
from tmsprep.text import shown, without_folders


@dataclass(frozen=True)
class Issue:
    """Something that is wrong, or worth a look.

    Parameters
    ----------
    subject : str
        The participant's label, without 'sub-'; '' if it is about no single participant.
    message : str
        What, where, and the cure.
    severity : str
        'error': points are missing because of it; 'warning': to be looked at; 'note': for
        information.
    """

    subject: str
    message: str
    severity: str = 'error'

    @property
    def who(self) -> str:
        """The participant's full label, or 'all'."""
        return f'sub-{self.subject}' if self.subject else 'all'


def errors_by_subject(issues: Iterable[Issue]) -> dict[str, list[str]]:
    """Gather the errors of each participant, in order."""
    found: dict[str, list[str]] = {}
    for issue in issues:
        if issue.severity == 'error':
            found.setdefault(issue.subject, []).append(issue.message)
    return found


def in_common(issues: Iterable[Issue]) -> list[tuple[str, str, str]]:
    """Join the issues that several participants have in common.

    Parameters
    ----------
    issues : iterable of Issue
        Issues of all participants.

    Returns
    -------
    list of tuple
        Severity, the first labels and the number of further ones, and message.
    """
    labels: dict[tuple[str, str], list[str]] = {}
    for issue in issues:
        labels.setdefault((issue.severity, issue.message), []).append(issue.who)
    return [(severity, shorten(who), message) for (severity, message), who in labels.items()]


def known_participants(
    bids_dir: Path, out_dir: Path, named: Iterable[str], wanted: Sequence[str] = ()
) -> list[str]:
    """List the participants of the data set, the outputs and the tables, in natural order.

    Parameters
    ----------
    bids_dir, out_dir : Path
        Root of the data set and of the outputs.
    named : iterable of str
        Full labels in the tables of the group.
    wanted : sequence of str
        Labels without 'sub-' to choose; empty for all.

    Returns
    -------
    list of str
        Labels without 'sub-'.

    Raises
    ------
    BidsError
        If a wanted participant is unknown.
    """
    folders = (bids_dir, out_dir, out_dir / 'logs')
    known = {label for folder in folders for label in labels_in(folder, 'sub')}
    known |= {name.removeprefix('sub-') for name in named}
    unknown = [label for label in wanted if label not in known]
    if unknown:
        raise BidsError(
            f'--participant-label: no {shorten(unknown)} in the data set, the outputs or the '
            f'annotations; there are: {shorten(sorted(known, key=natural_key)) or "none"}'
        )
    return sorted(set(wanted) or known, key=natural_key)


def refused_participants(bids_dir: Path, wanted: Sequence[str] = ()) -> list[Issue]:
    """Name the participants of the data set whose label breaks the rule of BIDS.

    Parameters
    ----------
    bids_dir : Path
        Root of the data set.
    wanted : sequence of str
        Chosen labels: then the others are nobody's concern.
    """
    refused = {} if wanted else refused_labels(bids_dir)
    return [Issue(label, message) for label, message in refused.items()]


def participants_without(
    participants: Iterable[str], present: Iterable[str], message: str
) -> list[Issue]:
    """Warn about each participant who is not among those present; all are labels."""
    there = set(present)
    return [Issue(label, message, 'warning') for label in participants if label not in there]


#: Columns of `participants_table`.
COLUMNS: dict[str, Column] = {
    'images': column('Number of images with a point by any method'),
    'methods': column('Methods that gave a point, separated by blanks'),
    'raters': column('Raters who gave a usable point, separated by blanks'),
    'outcome': column(
        'Result for the participant',
        complete='points, and nothing is missing',
        incomplete='points, but something is missing; the message says what',
        missing='no point at all',
        failed='something is wrong with an image or a file; the message says what',
    ),
    'message': column('What is wrong or missing'),
}


def participants_table(
    points: pd.DataFrame,
    participants: Sequence[str],
    issues: Iterable[Issue],
    without_points: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row per known participant: what there is, and what is missing or wrong.

    Parameters
    ----------
    points : pandas.DataFrame
        See `tmsprep.group.points.COLUMNS`.
    participants : sequence of str
        Labels without 'sub-'.
    issues : iterable of Issue
        Issues of all participants; notes are left out.
    without_points : mapping, optional
        Full label to outcome of participants that need no points; that of others without points
        is 'missing'.

    Returns
    -------
    pandas.DataFrame
        `participant_id` and `COLUMNS`.
    """
    found = points.dropna(subset=['x'])
    by_participant = dict(list(found.groupby('participant_id', sort=False)))
    by_label: dict[str, list[Issue]] = {}
    for issue in issues:
        if issue.severity != 'note':
            by_label.setdefault(issue.subject, []).append(issue)
    others = [label for label in by_label if label and label not in participants]
    rows = []
    for name in (f'sub-{label}' for label in [*participants, *sorted(others)]):
        own, own_issues = by_participant.get(name, found.iloc[:0]), by_label.get(name[4:], [])
        methods = list(dict.fromkeys(own['method']))
        raters = [m.removeprefix(RATER) for m in methods if m.startswith(RATER)]
        without = (without_points or {}).get(name, 'missing')
        rows.append(
            {
                'participant_id': name,
                'images': own['image'].nunique(),
                'methods': ' '.join(m for m in methods if not m.startswith(RATER)),
                'raters': ' '.join(raters),
                'outcome': _outcome(own_issues, '' if methods else without),
                'message': without_folders(' '.join(_on_one_line(own_issues))),
            }
        )
    return pd.DataFrame(rows, columns=['participant_id', *COLUMNS])


def _on_one_line(issues: Iterable[Issue]) -> list[str]:
    return [shown(' '.join(issue.message.split())) for issue in issues]


def _outcome(issues: Sequence[Issue], without: str) -> str:
    if any(issue.severity == 'error' for issue in issues):
        return 'failed'
    return without or ('incomplete' if issues else 'complete')
