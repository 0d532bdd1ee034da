"""What a group's run has to say about people and files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tmsprep.bids.names import shorten


@dataclass(frozen=True)
class Issue:
    """Something that is wrong, or worth a look.

    Parameters
    ----------
    subject : str
        The participant's label, without 'sub-'; '' if it is about nobody alone.
    message : str
        What, where, and the cure.
    severity : str
        'error': points are missing for it; 'warning': to be looked at; 'note': for information.
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
    """Say once what many people have in common.

    Parameters
    ----------
    issues : iterable of Issue
        Of all people.

    Returns
    -------
    list of tuple
        Severity, the first names and how many more there are, and message.
    """
    people: dict[tuple[str, str], list[str]] = {}
    for issue in issues:
        people.setdefault((issue.severity, issue.message), []).append(issue.who)
    return [(severity, shorten(who), message) for (severity, message), who in people.items()]
