"""Points that were copied from one file into another: of another rater, or of somebody else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path

import numpy as np

from tmsprep.evaluation.annotation_checks import Finding
from tmsprep.evaluation.rater_relations import COMMON_POINTS
from tmsprep.points import PointSet

_DECIMALS = 3
_OF_SOMEBODY_ELSE = 2
# So many points in common with another person's file are no chance (our choice).


def same_points(image: str, raters: Mapping[str, PointSet]) -> list[Finding]:
    """Name points of one image that two raters gave with the very same numbers.

    Parameters
    ----------
    image : str
        Its name, for the message.
    raters : mapping
        Each rater's points, in protocol order; mm, RAS+.

    Returns
    -------
    list of Finding
        A warning from `COMMON_POINTS` on, with fewer a note (our choice: a person's hand hardly
        finds the same micrometre twice, but may find the same voxel).
    """
    findings = []
    for (a, first), (b, second) in combinations(raters.items(), 2):
        same = first.distance(second) < 10**-_DECIMALS
        if same.any():
            labels = ', '.join(np.array(first.labels)[same])
            message = (
                f'{image}, raters {a} and {b}: the very same point for {labels}. If one was '
                'copied from the other, leave it away: it would count as agreement'
            )
            severity = 'warning' if same.sum() >= COMMON_POINTS else 'note'
            findings.append(Finding(severity, None, message, image))
    return findings


class WholeFiles:
    """Files of several images, to tell whether two hold the very same numbers."""

    def __init__(self) -> None:
        self._files: dict[bytes, dict[str, str]] = defaultdict(dict)

    def add(self, image: str, rater: str, points: PointSet) -> None:
        """Remember a file of `COMMON_POINTS` points or more; in protocol order, mm, RAS+."""
        if points.found.sum() >= COMMON_POINTS:
            # Adding 0 turns -0.0 into 0.0, which has other bytes.
            key = (points.coordinates.round(_DECIMALS) + 0.0).tobytes()
            self._files[key].setdefault(image, rater)

    def findings(self) -> list[Finding]:
        """Return a warning for every group of images that have the same points."""
        return [
            Finding('warning', None, _message(files), next(iter(files)))
            for files in self._files.values()
            if len(files) > 1
        ]


def _message(files: Mapping[str, str]) -> str:
    named = ' and '.join(f'{image} by rater {rater}' for image, rater in files.items())
    return f'{named}: the very same points for different images. Find out whose they are'


def copied_between_people(files: Sequence[tuple[str, PointSet]]) -> dict[int, tuple[int, int]]:
    """Find files that hold another person's points: nobody knows whose they are.

    Parameters
    ----------
    files : sequence of (str, PointSet)
        Whose each file is, and its points; mm, RAS+, of any images.

    Returns
    -------
    dict
        Number of a file in `files` to that of the first file of somebody else with two of its
        points or more, to the last digit, and how many these are.
    """
    holders: dict[tuple[str, tuple[float, ...]], list[int]] = defaultdict(list)
    for number, (_, points) in enumerate(files):
        places = zip(points.labels, points.coordinates.tolist(), points.found, strict=True)
        for label, place, found in places:
            if found:
                holders[label, tuple(place)].append(number)
    common = Counter(
        (one, other)
        for numbers in holders.values()
        for one, other in permutations(numbers, 2)
        if files[one][0] != files[other][0]
    )
    copies: dict[int, tuple[int, int]] = {}
    for (one, other), count in sorted(common.items()):
        if count >= _OF_SOMEBODY_ELSE:
            copies.setdefault(one, (other, count))
    return copies


def describe_copy(path: Path, other: Path, count: int) -> str:
    """Say which file has how many points of which other, and the cure."""
    return (
        f'{path}: {count} points are the very same as in {other}, of somebody else, so neither '
        'file is used. Find out whose points these are.'
    )
