"""Which points of a sighting may be relied on, and which sides are not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tmsprep.methods.duennwald2021.sighting import Sighting

#: Largest angle by which the landmarks may be turned from the axes of the image, degrees, and
#: sizes that they may have. Training images were turned by up to 45 degrees and had 0.8 to 1.25 of
#: the size of their heads.
MAX_TURN, SIZES = 60.0, (0.7, 1.4)


@dataclass(frozen=True)
class Judgement:
    """What is doubtful about a sighting.

    Parameters
    ----------
    findings : tuple of str
        Reasons, in words.
    unreliable, unseen : tuple of str
        Targets whose points are not to be relied on, and those that cannot be seen.
    """

    findings: tuple[str, ...]
    unreliable: tuple[str, ...]
    unseen: tuple[str, ...]


def judge(
    sighting: Sighting, limits: Mapping[str, float], labels: Sequence[str] = ('left', 'right')
) -> Judgement:
    """Compare a sighting with its limits.

    If the first stage's landmarks are implausible, no point is to be relied on, as in an image
    without a brainstem. Otherwise each side is judged: not seen, or else unreliable if the
    second stage disagrees with the first, or within itself.

    Parameters
    ----------
    sighting : Sighting
        Result of `search.locate_stages`.
    limits : mapping
        See `stage_settings.LIMITS`.
    labels : sequence of str
        Names of the left and the right target.
    """
    image = _of_image(sighting, limits)
    if image:
        return Judgement(tuple(image), tuple(labels), ())
    unseen = [
        label
        for label, looked, seen in zip(labels, sighting.looked, sighting.visibility, strict=True)
        if looked and seen < limits['visibility']
    ]
    findings, unreliable = [], []
    for side, label in enumerate(labels):
        reasons = [] if label in unseen else _of_side(sighting, side, limits)
        findings += [f'{label}: {reason}' for reason in reasons]
        unreliable += [label] if reasons else []
    return Judgement(tuple(findings), tuple(unreliable), tuple(unseen))


def _of_image(sighting: Sighting, limits: Mapping[str, float]) -> list[str]:
    found = []
    if sighting.finder_mm > limits['finder_mm']:
        found.append(
            f'the networks disagree by {sighting.finder_mm:.1f} mm on where the brainstem is (at '
            f'most {limits["finder_mm"]:.1f}): it may not be in the image'
        )
    if sighting.misfit_mm > limits['misfit_mm']:
        found.append(
            f'the landmarks of the brainstem are {sighting.misfit_mm:.1f} mm from their usual '
            f'arrangement (at most {limits["misfit_mm"]:.1f}): it may not be in the image'
        )
    low, high = SIZES
    if not low <= sighting.size <= high and np.isfinite(sighting.size):
        found.append(
            f'the brainstem would have {sighting.size:.2f} of its usual size (from {low} to '
            f'{high}): it may not be in the image'
        )
    elif sighting.turn > MAX_TURN:
        found.append(
            f'the brainstem would be turned by {sighting.turn:.0f} degrees (at most '
            f'{MAX_TURN:.0f}): the image may be stored with wrong axes'
        )
    return found


def _of_side(sighting: Sighting, side: int, limits: Mapping[str, float]) -> list[str]:
    found = []
    dispersion, shift = sighting.dispersion_mm[side], sighting.shift_mm[side]
    if dispersion > limits['dispersion_mm']:
        found.append(
            f'the networks disagree by {dispersion:.1f} mm (at most {limits["dispersion_mm"]:.1f})'
        )
    if sighting.spread_mm[side] > limits['spread_mm']:
        found.append(
            f'the heatmap spreads over {sighting.spread_mm[side]:.1f} mm (at most '
            f'{limits["spread_mm"]:.1f})'
        )
    if shift > limits['shift_mm']:
        found.append(
            f'the second stage puts it {shift:.1f} mm from the first (at most '
            f'{limits["shift_mm"]:.1f})'
        )
    return found
