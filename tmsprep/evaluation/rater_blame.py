"""Which rater's whole file is wrong, of those that do not fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tmsprep.evaluation.rater_relations import Relation, is_mirrored, relate
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

_Relations = Mapping[tuple[str, str], Relation]


class Fault(NamedTuple):
    """A file that is wrong as a whole, or two of which one must be.

    Parameters
    ----------
    raters : tuple of str
        The rater, or the two.
    kind : str
        A kind of `Relation`, or 'mirrored': left and right are exchanged and there is no other
        file to tell how.
    distance_mm : float
        Median distance from the others' points; NaN if there are none.
    shift_mm : numpy.ndarray
        Shape (3,), mm, RAS+: where the points lie, seen from the others'.
    """

    raters: tuple[str, ...]
    kind: str
    distance_mm: float
    shift_mm: np.ndarray


def blame(raters: Mapping[str, PointSet], protocol: Protocol, threshold_mm: float) -> list[Fault]:
    """Find files that are wrong as a whole; our rule.

    Anatomy comes first: a file with left and right exchanged is wrong whatever others say. Of the
    rest, a file is wrong if it differs from more than half of the others. If that holds for all
    of them, nobody can tell which, and every two that differ are named together.

    Parameters
    ----------
    raters : mapping
        Each rater's points of one image, in protocol order; mm, RAS+.
    protocol : Protocol
        The targets.
    threshold_mm : float
        See `relate`.
    """
    relations: dict[tuple[str, str], Relation] = {}
    for a, b in combinations(raters, 2):
        relation = relate(raters[a], raters[b], protocol, threshold_mm)
        if relation is not None:
            relations[a, b] = relation
            relations[b, a] = relation._replace(shift_mm=-relation.shift_mm)
    mirrored = [rater for rater, points in raters.items() if is_mirrored(points, protocol)]
    rest = [rater for rater in raters if rater not in mirrored]
    suspects = [rater for rater in rest if _is_outvoted(rater, rest, relations)]
    good = [rater for rater in rest if rater not in suspects]
    faults = [_mirrored_fault(rater, good or rest, relations) for rater in mirrored]
    if suspects and not good:
        differing = [p for p in combinations(rest, 2) if _differ(*p, relations)]
        return faults + [Fault(pair, *relations[pair]) for pair in differing]
    return faults + [_fault(rater, good, rest, relations) for rater in suspects]


def _differ(a: str, b: str, relations: _Relations) -> bool:
    return (a, b) in relations and relations[a, b].kind != 'same'


def _is_outvoted(rater: str, rest: Sequence[str], relations: _Relations) -> bool:
    others = [other for other in rest if (rater, other) in relations]
    return 2 * sum(_differ(rater, other, relations) for other in others) > len(others)


def _mirrored_fault(rater: str, others: Sequence[str], relations: _Relations) -> Fault:
    fault = _fault(rater, others, others, relations)
    return fault if fault.kind in ('flipped', 'swapped') else fault._replace(kind='mirrored')


def _fault(rater: str, good: Sequence[str], rest: Sequence[str], relations: _Relations) -> Fault:
    """Say how a wrong file differs from the good ones, or where none can be compared, the rest."""
    several = [
        relations[rater, o]
        for group in (good, rest)
        for o in group
        if _differ(rater, o, relations)
    ]
    if not several:
        return Fault((rater,), 'elsewhere', np.nan, np.full(3, np.nan))
    kind = Counter(relation.kind for relation in several).most_common(1)[0][0]
    same = [relation for relation in several if relation.kind == kind]
    distance = float(np.mean([relation.distance_mm for relation in same]))
    return Fault((rater,), kind, distance, np.mean([r.shift_mm for r in same], axis=0))


def describe(fault: Fault, threshold_mm: float) -> str:
    """Return who, what and the cure, in words; `threshold_mm` as given to `blame`."""
    # Adding 0 turns -0.0 into 0.0.
    shift = ', '.join(f'{value:+.1f}' for value in fault.shift_mm.round(1) + 0.0)
    what = {
        'offset': (
            f'all points are shifted by {np.linalg.norm(fault.shift_mm):.1f} mm (x, y, z: {shift})'
            ', while distances within the file agree. They may be of another image or frame: give '
            'them in mm, RAS+, scanner frame of this image'
        ),
        'flipped': (
            'negating x and y brings the points onto each other: LPS numbers were read as RAS, or '
            'the other way round. Correct the frame that the file names'
        ),
        'swapped': (
            'exchanging left and right names brings the points onto each other. Correct the names'
        ),
        'mirrored': (
            'all left points lie on the right side and the other way round. Correct the names, or '
            'the frame that the file names (LPS read as RAS)'
        ),
        'elsewhere': (
            f'half of the points or more lie over {threshold_mm:g} mm apart (median '
            f'{fault.distance_mm:.1f} mm), and no shift, flip or exchange of sides explains it. '
            'They may be of another person or another frame'
        ),
    }[fault.kind]
    if len(fault.raters) > 1:
        return f'raters {" and ".join(fault.raters)}, one of whom must be wrong: {what}'
    against = '' if fault.kind == 'mirrored' else ', against the others'
    return f'rater {fault.raters[0]}{against}: {what}'
