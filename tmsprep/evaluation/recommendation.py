"""Which of several points of a target to use, and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np

from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.evaluation.status import RADIUS, REVIEW_CHECKS, STATUSES, UNUSABLE
from tmsprep.protocols import Protocol, Target
from tmsprep.text import plain

#: Column of a table of reviews, see `DECISIONS`.
DECISION = 'decision'

#: Cells of a table, as text or as data, that say nothing.
_MISSING = ('n/a', '', 'nan', 'None')

#: What a reviewer may have decided about a target.
DECISIONS = ('accepted', 'moved', 'rejected')

#: A table as written or as data: rows whose cells are text or numbers, by column; 'n/a', '', None
#: and NaN are missing.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Recommendation:
    """The one point of a target that a reader should look at first.

    Parameters
    ----------
    label, name, hemisphere : str
        The target: in tables, in short words (the label, if the protocol does not have it), and
        its side ('L', 'R' or 'n/a').
    method : str
        Key of the table that the point is from; '' if no point may be used.
    point : numpy.ndarray
        Shape (3,), mm, RAS+, scanner frame of the image; NaN if no point may be used.
    status : str
        Of the point, as in its table; '' without a point.
    radius_mm : float
        Radius of the ball that holds 90 % of errors, NaN if it is not known.
    reason : str
        Why this point, or why none, in words without a full stop.
    other_method : str
        The next method that has a usable point; '' if nothing confirms this one.
    distance_mm : float
        From the point of `other_method`; NaN without one.
    fallback : bool
        Whether a method that comes before has a table, but no point without a warning.
    decision : str
        Of a reviewer, one of `DECISIONS`; '' if nobody decided.
    doubt : str
        Landmarks to check, see `tmsprep.protocols.Target`.
    row : mapping
        The row of the table that the point is from, for its further columns; empty without one.
    """

    label: str
    name: str
    hemisphere: str
    method: str = ''
    point: np.ndarray = field(default_factory=lambda: np.full(3, np.nan))
    status: str = ''
    radius_mm: float = math.nan
    reason: str = ''
    other_method: str = ''
    distance_mm: float = math.nan
    fallback: bool = False
    decision: str = ''
    doubt: str = ''
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether there is a point."""
        return bool(self.method)

    @property
    def warns(self) -> bool:
        """Whether the point carries a warning: of a method, or of the check of a decision."""
        warned = self.status in REVIEW_CHECKS if self.decision else self.status != 'ok'
        return self.usable and warned


def recommend(
    tables: Mapping[str, Rows],
    protocol: Protocol,
    *,
    titles: Mapping[str, str] | None = None,
    statuses: Mapping[str, str] = STATUSES,
) -> list[Recommendation]:
    """Choose one point per target by a fixed rule, which looks at tables alone.

    The first that applies:

    1. a reviewer decided: their point, or none if they rejected the target;
    2. the first method in the order of the protocol whose status is 'ok';
    3. the first method whose status does not forbid its use; the point carries a warning;
    4. none.

    A protocol lists first the method that was measured to be the more accurate one; for the
    protocols of this package see ``docs/accuracy.md``. The methods' points are never averaged:
    where two differ, their mean may lie in a sulcus that neither of them means. Raters' consensus
    is what methods are measured by, and is never recommended.

    Parameters
    ----------
    tables : mapping
        Method, or what else a table is called, to its rows: 'label', 'x', 'y', 'z' (mm, RAS+),
        'status', and perhaps the radius and a reviewer's decision. Methods that the protocol does
        not name come after those that it does, in the order given.
    protocol : Protocol
        Order of targets and methods.
    titles : mapping, optional
        Method to its name for readers; the method itself by default.
    statuses : mapping
        Status to its meaning in words.

    Returns
    -------
    list of Recommendation
        One per target of the protocol, in its order, then one per further label in the tables.
        Targets that no table lists were not asked for, unless there is no table.
    """
    titles = titles or {}
    methods = [*protocol.methods, *tables]
    order = sorted(tables, key=methods.index)
    targets = {target.label: target for target in protocol.targets}
    listed = dict.fromkeys(str(row['label']) for name in order for row in tables[name])
    asked = (label for label in targets if label in listed or not listed)
    found = []
    for label in dict.fromkeys(chain(asked, listed)):
        rows = {name: row for name in order for row in tables[name] if str(row['label']) == label}
        candidates = {
            name: _Candidate(name, titles.get(name, name), row, statuses)
            for name, row in rows.items()
        }
        first = next(iter(rows.values()), {})
        target = targets.get(label) or Target(
            label,
            str(first.get('hemisphere', 'n/a')),
            str(first.get('region', label)),
            '',
            name=label,
        )
        chosen = _choose(candidates)
        found.append(
            Recommendation(label, target.name, target.hemisphere, doubt=target.doubt, **chosen)
        )
    return found


@dataclass(frozen=True)
class _Candidate:
    """The row of one table for one target."""

    method: str
    title: str
    row: Mapping[str, Any]
    statuses: Mapping[str, str]

    @property
    def status(self) -> str:
        return str(self.row.get('status', ''))

    @property
    def words(self) -> str:
        """What is wrong with the point, in words."""
        if self.status == 'ok':
            return 'no coordinates in the table'
        return self.statuses.get(self.status, f'unknown status {self.status}').partition(';')[0]

    @property
    def point(self) -> np.ndarray:
        return np.array([_number(self.row.get(axis)) for axis in 'xyz'])

    @property
    def usable(self) -> bool:
        return bool(np.isfinite(self.point).all()) and self.status not in UNUSABLE

    @property
    def clear(self) -> bool:
        return self.usable and self.status == 'ok'

    @property
    def of_reviewer(self) -> bool:
        return DECISION in self.row

    @property
    def of_method(self) -> bool:
        return not self.of_reviewer and self.status not in CONSENSUS_STATUSES


def _choose(candidates: Mapping[str, _Candidate]) -> dict[str, Any]:
    """Apply the rule to the candidates for one target, in the order of the methods."""
    reviews = [one for one in candidates.values() if one.row.get(DECISION) in DECISIONS]
    located = [one for one in candidates.values() if one.of_method]
    usable = [one for one in located if one.usable]
    if reviews:
        return _review(reviews[0], usable)
    if not usable:
        reasons = [f'{one.title}: {one.words}' for one in located] or ['no method has a table']
        return {'reason': f'No point may be used ({"; ".join(reasons)})'}
    chosen = next((one for one in usable if one.clear), usable[0])
    others = [one for one in usable if one is not chosen]
    alone = '' if others else '; nothing confirms it'
    described = _describe(chosen, others, _why(chosen, located) + alone)
    return {**described, 'fallback': chosen is not located[0]}


def _why(chosen: _Candidate, located: Sequence[_Candidate]) -> str:
    lead = located[0]
    if not chosen.clear:
        what = 'no method is without a warning' if len(located) > 1 else 'it has a warning'
        return f'{chosen.title}, though {what}: {chosen.words}'
    if chosen is not lead:
        return f'{chosen.title} has no warning, but {lead.title} has: {lead.words}'
    first = ' is preferred by this protocol and' if len(located) > 1 else ''
    return f'{chosen.title}{first} has no warning'


def _review(one: _Candidate, usable: Sequence[_Candidate]) -> dict[str, Any]:
    """Follow a reviewer's decision, whatever the methods say."""
    decision = str(one.row[DECISION])
    who, when, comment = (_text(one.row.get(key)) for key in ('reviewer', 'date', 'comment'))
    reason = f'{decision.capitalize()} by {who or "a reviewer without a name"}'
    reason += (f' on {when}' if when else '') + (f': {comment}' if comment else '')
    if decision == 'rejected':
        return {'reason': f'No point may be used. {reason}', 'decision': decision}
    if not np.isfinite(one.point).all():
        reason = f'No point may be used. {reason}, but without coordinates'
        return {'reason': reason, 'decision': decision}
    if one.status in REVIEW_CHECKS:
        reason += f'; look again: {REVIEW_CHECKS[one.status]}'
    # What the tables say of an accepted point, such as its radius, they say of the method's.
    same = [other for other in usable if np.array_equal(other.point, one.point)]
    own = {key: cell for key, cell in one.row.items() if str(cell) not in _MISSING}
    row = {**same[0].row, **own} if same else one.row
    others = [other for other in usable if other not in same]
    return {**_describe(replace(one, row=row), others, reason), 'decision': decision}


def _describe(chosen: _Candidate, others: Sequence[_Candidate], reason: str) -> dict[str, Any]:
    """Fields of a `Recommendation` with a point; `others` are the points to compare it with."""
    return {
        'method': chosen.method,
        'point': chosen.point,
        'status': chosen.status,
        'radius_mm': _number(chosen.row.get(RADIUS)),
        'reason': reason,
        'other_method': others[0].method if others else '',
        'distance_mm': math.dist(chosen.point, others[0].point) if others else math.nan,
        'row': chosen.row,
    }


def _number(cell: object) -> float:
    """Read a cell; NaN if it is missing or no finite number."""
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _text(cell: object) -> str:
    return plain(cell.strip()) if isinstance(cell, str) and cell.strip() != 'n/a' else ''
