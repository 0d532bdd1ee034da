"""Numbers and words of a participant's report, from the tables as written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

from tmsprep.derivatives.earlier import EXPERT, POINTS, REVIEWED
from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.evaluation.head_checks import far_from_methods
from tmsprep.evaluation.recommendation import DECISIONS
from tmsprep.evaluation.status import STATUSES, UNUSABLE
from tmsprep.methods import get_method, method_names
from tmsprep.point_table import POINT_STATUSES
from tmsprep.points import PointSet
from tmsprep.reports.collect import TargetsTable
from tmsprep.reports.gyri import gyrus_words
from tmsprep.reports.sections import Number
from tmsprep.reports.styles import MethodStyle, method_order, method_style, pair_name
from tmsprep.review import COLUMNS as REVIEW_COLUMNS
from tmsprep.review import STATUSES as REVIEW_STATUSES
from tmsprep.tables import GYRUS_COLUMNS

#: Columns that are not shown as numbers in mm. Where the match is low, the status says so.
_COMMON = (
    *('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status', 'match'),
    *GYRUS_COLUMNS,
    *REVIEW_COLUMNS,
)

#: Beginnings of names of columns of which the page shows more elsewhere, or too much for a table.
_ELSEWHERE = ('distance_to_', 'mni_', 'entry_', 'normal_', 'handle_')


@dataclass(frozen=True)
class Estimate:
    """One method's row for one target.

    `values` are the numbers of the further columns, without distances to other methods; `gyrus`
    says in words in which gyrus the point lies, '' if it is not known.
    """

    method: str
    x: Number | None
    y: Number | None
    z: Number | None
    status: str
    values: Mapping[str, Number | None] = field(default_factory=dict)
    gyrus: str = ''

    @property
    def style(self) -> MethodStyle:
        """Name and mark of the method."""
        return method_style(self.method)

    @property
    def words(self) -> str:
        """The status in words; an unknown one is shown as it is."""
        return status_words(self.status, statuses_of(self.method))

    @property
    def point(self) -> tuple[float, float, float] | None:
        """The place in mm RAS+, or None if any coordinate is missing."""
        if self.x is None or self.y is None or self.z is None:
            return None
        return self.x.value, self.y.value, self.z.value

    @property
    def usable(self) -> bool:
        """Whether there is a point whose status does not forbid its use."""
        return self.point is not None and self.status not in UNUSABLE

    @property
    def warns(self) -> bool:
        """Whether a reader must look before using the row.

        That raters disagree or gave no point is no reason to doubt the point of a method.
        """
        if self.method == REVIEWED:
            # Whoever decided has looked; the check of the decision may ask for a second look.
            return self.status not in DECISIONS
        if self.method == EXPERT:
            missing = self.status not in ('no_consensus', 'missing') and self.point is None
            return missing or self.status not in CONSENSUS_STATUSES
        return self.status != 'ok' or self.point is None


@dataclass(frozen=True)
class Separation:
    """The distance in mm of two methods' points."""

    methods: tuple[str, str]
    distance: Number

    @property
    def name(self) -> str:
        """The two methods in words."""
        return pair_name(*self.methods)


@dataclass(frozen=True)
class TargetRow:
    """One target with the points of all methods."""

    label: str
    hemisphere: str
    region: str
    estimates: tuple[Estimate, ...]
    separations: tuple[Separation, ...]

    @property
    def side(self) -> str:
        """The side of the brain in words."""
        return side_in_words(self.hemisphere)

    @property
    def warns(self) -> bool:
        """Whether the row of any method warns."""
        return any(estimate.warns for estimate in self.estimates)


@dataclass(frozen=True)
class MethodCount:
    """Number of targets that a method found, and of those without a warning."""

    name: str
    found: int
    clear: int
    total: int


def side_in_words(hemisphere: str) -> str:
    """'Left', 'Right' or 'Midline'."""
    return {'L': 'Left', 'R': 'Right'}.get(hemisphere, 'Midline')


def status_words(status: str, statuses: Mapping[str, str]) -> str:
    """Explain a status of a table in the report, which its words may refer to."""
    words = statuses.get(status, f'unknown status: {status}')
    return words.removesuffix('; see the report')


def statuses_of(method: str) -> Mapping[str, str]:
    """Every status that the table of a method can have, with its meaning."""
    if method == EXPERT:
        return CONSENSUS_STATUSES
    if method == REVIEWED:
        return REVIEW_STATUSES
    if method == POINTS:
        return POINT_STATUSES
    return get_method(method).statuses if method in method_names() else STATUSES


def template_of(table: TargetsTable) -> tuple[str, str]:
    """Name the template of a table's positions, and how they were found; '' if there are none."""
    entry = table.sidecar.get('MNI')
    entry = entry if isinstance(entry, dict) else {}
    return str(entry.get('Space', '')), str(entry.get('Mapping', ''))


def target_rows(tables: Mapping[str, TargetsTable]) -> list[TargetRow]:
    """Join the methods' tables by target, in the order in which the tables name them."""
    by_label: dict[str, dict[str, Mapping[str, str]]] = {}
    for method in method_order(tables):
        for row in tables[method].rows:
            by_label.setdefault(row['label'], {})[method] = row
    return [_target_row(label, rows) for label, rows in by_label.items()]


def further_columns(tables: Mapping[str, TargetsTable]) -> dict[str, tuple[str, str]]:
    """Title and explanation of the columns of numbers that not every table has.

    Both come from the sidecars: 'LongName', else the column's name in words, and 'Description'.
    """
    columns: dict[str, tuple[str, str]] = {}
    for method in method_order(tables):
        for row in tables[method].rows:
            for name in _further(row):
                if Number.parse(row[name]) is not None and name not in columns:
                    entry = tables[method].sidecar.get(name)
                    entry = entry if isinstance(entry, dict) else {}
                    words = name.removesuffix('_mm').replace('_', ' ').capitalize()
                    columns[name] = (entry.get('LongName', words), entry.get('Description', ''))
    return columns


def count_found(rows: list[TargetRow]) -> list[MethodCount]:
    """Count, per method, the targets that have a point and those without a warning."""
    counts = []
    for method in method_order({e.method for row in rows for e in row.estimates} - {REVIEWED}):
        own = [e for row in rows for e in row.estimates if e.method == method]
        found = [e for e in own if e.point is not None]
        clear = [e for e in found if not e.warns]
        counts.append(MethodCount(own[0].style.name, len(found), len(clear), len(own)))
    return counts


def largest_separation(rows: list[TargetRow]) -> tuple[TargetRow, Separation] | None:
    """Return the target on which two methods lie furthest apart, the first of equals."""
    every = [(row, separation) for row in rows for separation in row.separations]
    pairs = [(row, separation) for row, separation in every if REVIEWED not in separation.methods]
    return max(pairs, key=lambda pair: pair[1].distance.value, default=None)


def warnings(rows: list[TargetRow], names: Mapping[str, str]) -> list[str]:
    """Return one sentence per status that a reader must know of, with methods and targets.

    Parameters
    ----------
    rows : list of TargetRow
        All targets.
    names : mapping
        Label to the name of the target in words; the label stands for one that has none.
    """
    by_words: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        methods: dict[str, list[str]] = {}
        for estimate in row.estimates:
            if estimate.warns:
                methods.setdefault(_warning(estimate), []).append(estimate.style.name)
        for words, some in methods.items():
            by_words.setdefault((words, tuple(some)), []).append(names.get(row.label, row.label))
    return [
        f'{" and ".join(some)}: {words} ({_which(labels, len(rows))}).'
        for (words, some), labels in by_words.items()
    ]


def far_experts(rows: list[TargetRow]) -> list[str]:
    """Return a sentence if the raters' points are far from those of every method, else nothing."""
    points: dict[str, dict[str, tuple[float, float, float]]] = {}
    for row in rows:
        for estimate in row.estimates:
            if estimate.point is not None:
                points.setdefault(estimate.method, {})[row.label] = estimate.point
    located = {name: PointSet.from_mapping(places) for name, places in points.items()}
    expert = located.pop(EXPERT, None)
    findings = [] if expert is None else far_from_methods(expert, located)
    return [f'Raters: {finding.message}.' for finding in findings]


def image_findings(tables: Mapping[str, TargetsTable]) -> list[str]:
    """Return what the sidecars say is doubtful about the image, each once, one sentence each."""
    found: list[str] = []
    for method in method_order(tables):
        sidecar = tables[method].sidecar
        found += [f'The image: {text}.' for text in _texts(sidecar.get('ImageFindings'))]
        name = method_style(method).name
        found += [f'{name}: {text}.' for text in _texts(sidecar.get('Findings'))]
    return list(dict.fromkeys(found))


def _texts(value: object) -> list[str]:
    """Strings of a list from a sidecar, which anybody may have written."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _which(labels: list[str], total: int) -> str:
    return f'all {total} targets' if len(labels) == total else ', '.join(labels)


def _warning(estimate: Estimate) -> str:
    known = estimate.status in ('ok', *CONSENSUS_STATUSES)
    return 'no coordinates in the table' if known else estimate.words


def _target_row(label: str, rows: Mapping[str, Mapping[str, str]]) -> TargetRow:
    first = next(iter(rows.values()))
    estimates = tuple(_estimate(method, row) for method, row in rows.items())
    separations = tuple(
        Separation((a.method, b.method), distance)
        for a, b in combinations(estimates, 2)
        if (distance := _distance(a, b, rows)) is not None
    )
    return TargetRow(label, first['hemisphere'], first['region'], estimates, separations)


def _estimate(method: str, row: Mapping[str, str]) -> Estimate:
    x, y, z = (Number.parse(row[axis]) for axis in 'xyz')
    values = {name: Number.parse(row[name]) for name in _further(row)}
    return Estimate(method, x, y, z, row['status'], values, gyrus_words(row))


def _further(row: Mapping[str, str]) -> list[str]:
    return [name for name in row if name not in _COMMON and not name.startswith(_ELSEWHERE)]


def _distance(a: Estimate, b: Estimate, rows: Mapping[str, Mapping[str, str]]) -> Number | None:
    written = Number.parse(rows[a.method].get(f'distance_to_{b.method}_mm'))
    if written is None and a.point is not None and b.point is not None:
        return Number.parse(f'{math.dist(a.point, b.point):.4f}')
    return written
