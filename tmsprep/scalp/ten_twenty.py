"""Positions of the 10-20 system and the Beam F3 position, by a tape laid over the scalp."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tmsprep.scalp.fiducials import Fiducials, NotInView
from tmsprep.scalp.surface import HeadSurface

#: Range of a plausible nasion-inion, tragus-tragus distance over the vertex, and circumference of
#: an adult head, mm: training participants, and 10 % beyond.
PLAUSIBLE_MM = {
    'NasionInion': (290.0, 430.0),
    'TragusTragus': (290.0, 430.0),
    'Circumference': (470.0, 680.0),
}

#: Angle between neighbouring points of a tape, degrees: about 1.5 mm on a head.
_STEP_DEG = 1.0


@dataclass(frozen=True, eq=False)
class Tape:
    """A tape on the scalp.

    Parameters
    ----------
    points : numpy.ndarray
        Shape (n, 3), mm, RAS+, in order.
    """

    points: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Length from the beginning to each point, shape (n,), mm."""
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def length(self) -> float:
        """From end to end, mm."""
        return float(self.lengths[-1])

    def at(self, mm: float) -> np.ndarray:
        """Place at a distance from the beginning, shape (3,)."""
        lengths = self.lengths
        return np.array([np.interp(mm, lengths, self.points[:, axis]) for axis in range(3)])

    def part(self, share: float) -> np.ndarray:
        """Place at a share of the length, 0 to 1, shape (3,)."""
        return self.at(share * self.length)

    def nearest(self, place: np.ndarray) -> float:
        """Distance from the beginning at which the tape passes nearest to a place, mm."""
        return float(self.lengths[np.linalg.norm(self.points - place, axis=1).argmin()])


def lay_tape(
    surface: HeadSurface,
    origin: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    via: np.ndarray | None = None,
) -> Tape:
    """Lay a tape from one place to another, in the plane through an origin inside the head.

    Parameters
    ----------
    surface : HeadSurface
        Of the head.
    origin : numpy.ndarray
        Shape (3,), mm, RAS+; with `via` the middle between `start` and `end` is taken instead.
    start, end : numpy.ndarray
        Shape (3,), mm, RAS+, on the scalp.
    via : numpy.ndarray, optional
        Shape (3,): a place on the way, for ends that lie opposite each other.

    Raises
    ------
    NotInView
        If the way leads over a place without a surface.
    """
    if via is not None:
        origin = (start + end) / 2
    first = start - origin
    first /= np.linalg.norm(first)
    second = (end if via is None else via) - origin
    second = second - first * (second @ first)
    second /= np.linalg.norm(second)
    turn = (
        np.pi if via is not None else math.atan2((end - origin) @ second, (end - origin) @ first)
    )
    angles = np.linspace(0, turn, max(2, round(np.degrees(turn) / _STEP_DEG) + 1))
    rays = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
    points = surface.outermost(origin, rays)
    if not np.isfinite(points).all():
        raise NotInView('the scalp has a gap')
    return Tape(points)


@dataclass(frozen=True, eq=False)
class TenTwenty:
    """Positions and measures of one head.

    Parameters
    ----------
    positions : dict
        Name to place on the scalp, shape (3,), mm, RAS+.
    measures : dict
        Name to mm: 'NasionInion', 'TragusTragus', 'Circumference', and 'BeamX' and 'BeamY' of
        `beam_f3`.
    """

    positions: dict[str, np.ndarray]
    measures: dict[str, float]


def ten_twenty(surface: HeadSurface, fiducials: Fiducials) -> TenTwenty:
    """Measure a head by the 10-20 system (Jasper 1958; Klem et al. 1999).

    Cz is half-way between nasion and inion, and between the ears; C3 and C4 are 20 % of the way
    between the ears from it. F3 lies half-way between Fz and F7 along the tape F7-Fz-F8, and F7 at
    30 % of the tape from Fpz over T3 to Oz.

    Parameters
    ----------
    surface : HeadSurface
        Of the head.
    fiducials : Fiducials
        Its landmarks.

    Raises
    ------
    NotInView
        If a tape leads over a gap, or a measure is implausible.
    """
    nasion, inion, left, right = fiducials
    centre = fiducials.centre
    vertex = centre + 100 * fiducials.up
    for _ in range(2):
        sagittal = lay_tape(surface, centre, nasion, inion, vertex)
        vertex = lay_tape(surface, centre, left, right, sagittal.part(0.5)).part(0.5)
    sagittal = lay_tape(surface, centre, nasion, inion, vertex)
    coronal = lay_tape(surface, centre, left, right, vertex)
    front, back = sagittal.part(0.1), sagittal.part(0.9)
    around = {
        side: lay_tape(surface, centre, front, back, coronal.part(share))
        for side, share in (('left', 0.1), ('right', 0.9))
    }
    frontal = lay_tape(
        surface, centre, around['left'].part(0.3), around['right'].part(0.3), sagittal.part(0.3)
    )
    middle = frontal.nearest(sagittal.part(0.3))
    measures = {
        'NasionInion': sagittal.length,
        'TragusTragus': coronal.length,
        'Circumference': sum(tape.length for tape in around.values()),
    }
    for name, (low, high) in PLAUSIBLE_MM.items():
        if not low <= measures[name] <= high:
            raise NotInView(f'{name} of {measures[name]:.0f} mm is not that of an adult head')
    x, y = beam_f3(*measures.values())
    beam = {
        side: lay_tape(surface, centre, vertex, tape.at(x)).at(y) for side, tape in around.items()
    }
    positions = {
        'F3': frontal.at(middle / 2),
        'F4': frontal.at((middle + frontal.length) / 2),
        'C3': coronal.part(0.3),
        'C4': coronal.part(0.7),
        'Cz': vertex,
        'BeamF3': beam['left'],
        'BeamF4': beam['right'],
        **dict(zip(('Nasion', 'Inion', 'LPA', 'RPA'), fiducials, strict=True)),
    }
    return TenTwenty(positions, {**measures, 'BeamX': x, 'BeamY': y})


def beam_f3(
    nasion_inion: float, tragus_tragus: float, circumference: float
) -> tuple[float, float]:
    """Two distances that lead to F3 from three measures of a head (Beam et al. 2009).

    The head is seen from above as an ellipse around the vertex; F3 is where two lines between
    other electrodes meet. The numbers are those of the authors' calculator, which clinics use; the
    equations printed in the paper (doi:10.1016/j.brs.2008.09.006) give no distances on a head.

    Parameters
    ----------
    nasion_inion, tragus_tragus : float
        Distances over the vertex.
    circumference : float
        At the level of Fpz and Oz.

    Returns
    -------
    x, y : float
        In the unit of the measures: along the circumference from the midline (Fpz) to the left,
        and from the vertex towards the place that this gives.

    Examples
    --------
    The example of a published demonstration: 38, 36 and 60 cm give 6.95 cm.

    >>> x, y = beam_f3(38, 36, 60)
    >>> round(x, 2), round(y, 2)
    (6.95, 9.79)
    """
    along, across = 0.4 * nasion_inion, 0.4 * tragus_tragus
    rise = math.sin(math.radians(-36)) + along / (2 * across)
    turn = math.radians(298)
    fall = along * math.sin(turn) / (along * math.cos(turn) - across / 2)
    right = (along - across * fall) / (2 * (rise - fall))
    front = rise * right - along / 2
    angle = math.degrees(math.atan(front / right))
    return circumference / 4 * (90 + angle) / 90, 0.91 * math.hypot(right, front)
