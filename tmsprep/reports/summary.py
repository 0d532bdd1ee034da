"""The numbers and words of a person's report, from the tables as written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from tmsprep.reports.collect import TargetsTable
from tmsprep.reports.styles import method_order, method_style, pair_name

STATUS_WORDS = {
    'ok': 'found',
    'disagreement': 'found, but over 12 mm from the other method',
    'wrong_side': 'the point lies in the other hemisphere',
    'outside_image': 'the point lies outside the image',
    'failed': 'the method failed: no point',
}
# The closed vocabulary of the tables' status column.

EXPERT_WORDS = {
    'consensus': 'the raters agree',
    'single': 'the point of one rater',
    'no_consensus': 'the raters do not agree: no point',
    'missing': 'no rater gave the point',
}
# That of the experts' table. None is a reason not to use the point of another method.

_WITHOUT_POINT = ('no_consensus', 'missing')


@dataclass(frozen=True)
class Number:
    """A cell with a number: as written, and rounded to a tenth of a millimetre for reading."""

    exact: str
    shown: str

    @classmethod
    def parse(cls, cell: str | None) -> Number | None:
        """Read a cell; None if it is missing or no finite number."""
        try:
            value = float(cell or 'nan')
        except ValueError:
            return None
        # Adding 0.0 turns -0.0, which a reader would take for a sign, into 0.0.
        return cls(cell.strip(), f'{round(value, 1) + 0.0:.1f}') if math.isfinite(value) else None

    @property
    def value(self) -> float:
        """The number."""
        return float(self.exact)


@dataclass(frozen=True)
class Estimate:
    """One method's row for one target."""

    method: str
    x: Number | None
    y: Number | None
    z: Number | None
    status: str
    dispersion: Number | None
    error90: Number | None
    variability: Number | None = None

    @property
    def name(self) -> str:
        """The method's name in words."""
        return method_style(self.method).name

    @property
    def words(self) -> str:
        """The status in words; one that is not in the vocabulary is shown as it is."""
        words = STATUS_WORDS | EXPERT_WORDS
        return words.get(self.status, f'unknown status: {self.status}')

    @property
    def point(self) -> tuple[float, float, float] | None:
        """The place in mm RAS+, or None if any coordinate is missing."""
        if self.x is None or self.y is None or self.z is None:
            return None
        return self.x.value, self.y.value, self.z.value

    @property
    def warns(self) -> bool:
        """Whether a reader must look before using the row."""
        if self.status in _WITHOUT_POINT:
            return False
        return self.status not in ('ok', *EXPERT_WORDS) or self.point is None


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
    """One target with what every method says."""

    label: str
    hemisphere: str
    region: str
    estimates: tuple[Estimate, ...]
    separations: tuple[Separation, ...]

    @property
    def side(self) -> str:
        """The person's side in words."""
        return {'L': 'Left', 'R': 'Right'}.get(self.hemisphere, 'Midline')

    @property
    def warns(self) -> bool:
        """Whether any method's row warns."""
        return any(estimate.warns for estimate in self.estimates)


@dataclass(frozen=True)
class MethodCount:
    """How many targets a method found, and how many of these raise no warning."""

    name: str
    found: int
    clear: int
    total: int


def target_rows(tables: Mapping[str, TargetsTable]) -> list[TargetRow]:
    """Join the methods' tables by target, in the order in which the tables name them."""
    methods = method_order(tables)
    by_label: dict[str, dict[str, Mapping[str, str]]] = {}
    for method in methods:
        for row in tables[method].rows:
            by_label.setdefault(row['label'], {})[method] = row
    return [_target_row(label, rows) for label, rows in by_label.items()]


def count_found(rows: list[TargetRow]) -> list[MethodCount]:
    """Count, per method, the targets that have a point and those without a warning."""
    counts = []
    for method in method_order({e.method for row in rows for e in row.estimates}):
        own = [e for row in rows for e in row.estimates if e.method == method]
        found = [e for e in own if e.point is not None]
        clear = [e for e in found if not e.warns]
        counts.append(MethodCount(own[0].name, len(found), len(clear), len(own)))
    return counts


def largest_separation(rows: list[TargetRow]) -> tuple[TargetRow, Separation] | None:
    """Return the target on which two methods lie furthest apart, the first of equals."""
    pairs = [(row, separation) for row in rows for separation in row.separations]
    return max(pairs, key=lambda pair: pair[1].distance.value, default=None)


def warnings(rows: list[TargetRow]) -> list[str]:
    """Return one sentence per status that a reader must know of, with methods and targets."""
    by_words: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for row in rows:
        methods: dict[str, list[str]] = {}
        for estimate in row.estimates:
            if estimate.warns:
                methods.setdefault(_warning(estimate), []).append(estimate.name)
        for words, names in methods.items():
            by_words.setdefault((words, tuple(names)), []).append(row.label)
    return [
        f'{" and ".join(names)}: {words} ({_who(labels, len(rows))}).'
        for (words, names), labels in by_words.items()
    ]


def _who(labels: list[str], total: int) -> str:
    return f'all {total} targets' if len(labels) == total else ', '.join(labels)


def _warning(estimate: Estimate) -> str:
    known = estimate.status in ('ok', *EXPERT_WORDS)
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
    return Estimate(
        method,
        x,
        y,
        z,
        row['status'],
        Number.parse(row.get('dispersion_mm')),
        Number.parse(row.get('error90_mm')),
        Number.parse(row.get('variability_mm')),
    )


def _distance(a: Estimate, b: Estimate, rows: Mapping[str, Mapping[str, str]]) -> Number | None:
    written = Number.parse(rows[a.method].get(f'distance_to_{b.method}_mm'))
    if written is None and a.point is not None and b.point is not None:
        return Number.parse(f'{math.dist(a.point, b.point):.4f}')
    return written
