"""Positions of the 10-20 system and the Beam F3 position, by a tape laid over the scalp."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tmsprep.evaluation.status import edge_distance
from tmsprep.points import PointSet
from tmsprep.scalp.checks import CUT_MM, MISSING_MM, MeanScalp
from tmsprep.scalp.fiducials import Fiducials, NotInView
from tmsprep.scalp.surface import HeadSurface

#: Range of a plausible nasion-inion, tragus-tragus distance over the vertex, and circumference of
#: an adult head, mm: training participants, and 10 % beyond.
PLAUSIBLE_MM = {
    'NasionInion': (290.0, 430.0),
    'TragusTragus': (290.0, 430.0),
    'Circumference': (470.0, 680.0),
}

#: Radius of the part of the surface that is tested for being a plane, mm: smaller than that of a
#: cut that takes 4 mm.
PLANE_RADIUS_MM = 20.0

#: Distance between the places of a tape at which that is tested, mm.
PLANE_STEP_MM = 5.0

#: A part of the surface nearer to a plane than this, root mean square, mm, is where the head was
#: cut. Of 35 training participants: 0.23 and more, but for one whose head ends in a plane behind;
#: in three of them cut 8 mm below the vertex or inside of the ear: 0.16 and less.
PLANE_MM = 0.2

#: What is said of it.
CUT = 'the surface is flat: the head is cut'

#: So much of a tape at each end is not compared with the mean head, mm: the muscles of the neck
#: and the nose differ much between heads, and the ends have tests of their own.
ENDS_MM = 30.0

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

    def at(self, mm: float | np.ndarray) -> np.ndarray:
        """Place at a distance from the beginning, shape (3,), or at several, shape (n, 3)."""
        lengths = self.lengths
        return np.stack([np.interp(mm, lengths, axis) for axis in self.points.T], axis=-1)

    def part(self, share: float) -> np.ndarray:
        """Place at a share of the length, 0 to 1, shape (3,)."""
        return self.at(share * self.length)

    def nearest(self, place: np.ndarray) -> float:
        """Distance from the beginning at which the tape passes nearest to a place, mm."""
        return float(self.lengths[np.linalg.norm(self.points - place, axis=1).argmin()])


_FRONTAL = ('F3', 'F4')
_BEAM = ('BeamF3', 'BeamF4')

#: F3 and F4 lie this far at most from where Beam's measures lead, mm: 0 to 5 in heads of the
#: training participants, 11 and 21 in two of them where a pad or an ear lay under a tape.
AGREE_MM = 8.0

#: What says why a tape does not lie on the scalp all the way; '' if it does.
TapeCheck = Callable[[Tape], str]


def _anything(tape: Tape) -> str:
    """Take every tape: for a head that is known to be whole."""
    return ''


def runs_over_plane(tape: Tape, surface: HeadSurface) -> bool:
    """Tell whether a tape runs over a plane along which the head was cut.

    A head may be straight along a tape, but is round across it. This shows cuts that are not at
    the edge of the field of view and take less than heads differ by.

    Parameters
    ----------
    tape : Tape
        On the surface.
    surface : HeadSurface
        Of the head.
    """
    return flatness(tape, surface).min() < PLANE_MM


def flatness(tape: Tape, surface: HeadSurface) -> np.ndarray:
    """Distance of the surface around a tape from planes, root mean square, shape (n,), mm.

    Parameters
    ----------
    tape : Tape
        On the surface; it is looked at every `PLANE_STEP_MM`.
    surface : HeadSurface
        Of the head.
    """
    places = tape.at(np.arange(0, tape.length, PLANE_STEP_MM))
    near = surface.tree.query_ball_point(places, PLANE_RADIUS_MM)
    return np.array(
        [
            np.sqrt(max(np.linalg.eigvalsh(np.cov(surface.points[some].T))[0], 0.0))
            if len(some) > 3
            else np.inf
            for some in near
        ]
    )


@dataclass(frozen=True, eq=False)
class ScalpCheck:
    """Whether a tape lies on the scalp of one image, as `tmsprep.scalp.checks` does for entries.

    Parameters
    ----------
    surface : HeadSurface
        Of the head.
    points : PointSet
        Targets that tell how the head lies, mm, RAS+.
    mean : MeanScalp
        Scalp of the mean head.
    shape, affine : tuple of int, numpy.ndarray
        Of the image, for the edge of the field of view.
    """

    surface: HeadSurface
    points: PointSet
    mean: MeanScalp
    shape: tuple[int, ...]
    affine: np.ndarray

    def __call__(self, tape: Tape) -> str:
        """Say why a tape does not lie on the scalp all the way; '' if it does."""
        places = PointSet(tuple(map(str, range(len(tape.points)))), tape.points)
        if edge_distance(places, self.shape, self.affine).min() < CUT_MM:
            return 'the head ends at the edge of the field of view'
        middle = (tape.lengths > ENDS_MM) & (tape.lengths < tape.length - ENDS_MM)
        offsets = self.mean.offsets(tape.points[middle], self.points)
        if offsets.size and offsets.min() < -MISSING_MM:
            return (
                f'the surface lies up to {-offsets.min():.0f} mm inside of where the scalp of a '
                'head of this size is: the image is defaced or cut'
            )
        return CUT if runs_over_plane(tape, self.surface) else ''


def lay_tape(
    surface: HeadSurface,
    origin: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    via: np.ndarray | None = None,
    check: TapeCheck = _anything,
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
    check : callable, optional
        What says whether a tape lies on the scalp.

    Raises
    ------
    NotInView
        If the way leads over a place without a surface, or the check finds that it is no scalp.
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
    tape = Tape(points)
    if reason := check(tape):
        raise NotInView(reason)
    return tape


@dataclass(frozen=True, eq=False)
class TenTwenty:
    """Positions and measures of one head.

    Parameters
    ----------
    positions : dict
        Name to place on the scalp, shape (3,), mm, RAS+; NaN where it cannot be measured.
    measures : dict
        Name to mm: 'NasionInion', 'TragusTragus', 'Circumference', and 'BeamX' and 'BeamY' of
        `beam_f3`; without those that cannot be measured.
    missing : dict
        Name of a position or a measure that is missing to the reason.
    """

    positions: dict[str, np.ndarray]
    measures: dict[str, float]
    missing: dict[str, str] = field(default_factory=dict)


def ten_twenty(
    surface: HeadSurface, fiducials: Fiducials, check: TapeCheck = _anything
) -> TenTwenty:
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
    check : callable, optional
        What says whether a tape lies on the scalp.

    Returns
    -------
    TenTwenty
        What hangs on a tape that does not lie on the scalp all the way is missing.

    Raises
    ------
    NotInView
        If one of the two tapes over the vertex, on which all others hang, leads over a gap or a
        cut, or if a measure is implausible.
    """
    lay = partial(lay_tape, surface, fiducials.centre, check=check)
    sagittal, coronal, vertex = _over_the_vertex(lay, fiducials)
    measures = {'NasionInion': sagittal.length, 'TragusTragus': coronal.length}
    found = {'C3': coronal.part(0.3), 'C4': coronal.part(0.7), 'Cz': vertex}
    missing: dict[str, str] = {}
    try:
        front, back = sagittal.part(0.1), sagittal.part(0.9)
        around = [lay(front, back, coronal.part(share)) for share in (0.1, 0.9)]
    except NotInView as error:
        around = []
        hanging = (*_FRONTAL, *_BEAM, 'Circumference', 'BeamX', 'BeamY')
        missing |= dict.fromkeys(hanging, f'on the tape around the head {error}')
    else:
        measures['Circumference'] = sum(tape.length for tape in around)
    for name, length in measures.items():
        low, high = PLAUSIBLE_MM[name]
        if not low <= length <= high:
            raise NotInView(f'{name} of {length:.0f} mm is not that of an adult head')
    if around:
        x, y = beam_f3(*measures.values())
        measures |= {'BeamX': x, 'BeamY': y}
        try:
            found |= _frontal(lay, around, sagittal.part(0.3))
        except NotInView as error:
            missing |= dict.fromkeys(_FRONTAL, f'on the tape F7-Fz-F8 {error}')
        for name, tape in zip(_BEAM, around, strict=True):
            try:
                found[name] = lay(vertex, tape.at(x)).at(y)
            except NotInView as error:
                missing[name] = f'on the tape from the vertex {error}'
    if reason := _disagreement(found):
        hanging = (*_FRONTAL, *_BEAM, 'Circumference', 'BeamX', 'BeamY')
        missing |= dict.fromkeys(hanging, reason)
        found = {name: point for name, point in found.items() if name not in missing}
        measures = {name: length for name, length in measures.items() if name not in missing}
    nowhere = np.full(3, np.nan)
    positions = {name: found.get(name, nowhere) for name in (*_FRONTAL, 'C3', 'C4', 'Cz', *_BEAM)}
    positions |= zip(('Nasion', 'Inion', 'LPA', 'RPA'), fiducials, strict=True)
    return TenTwenty(positions, measures, missing)


def _disagreement(found: Mapping[str, np.ndarray]) -> str:
    """Say that two ways to a position lead to two places, as when a pad lies under a tape."""
    for name, beam in zip(_FRONTAL, _BEAM, strict=True):
        if name in found and beam in found:
            apart = math.dist(found[name], found[beam])
            if apart > AGREE_MM:
                return f'{name} and {beam} are {apart:.0f} mm apart: a tape runs over no scalp'
    return ''


def _over_the_vertex(
    lay: Callable[..., Tape], fiducials: Fiducials
) -> tuple[Tape, Tape, np.ndarray]:
    """Lay the tapes from nasion to inion and from ear to ear so that both are halved in Cz."""
    nasion, inion, left, right = fiducials
    vertex = fiducials.centre + 100 * fiducials.up
    try:
        for _ in range(2):
            sagittal = lay(nasion, inion, vertex)
            vertex = lay(left, right, sagittal.part(0.5)).part(0.5)
        return lay(nasion, inion, vertex), lay(left, right, vertex), vertex
    except NotInView as error:
        raise NotInView(f'on the tapes over the vertex {error}') from error


def _frontal(
    lay: Callable[..., Tape], around: list[Tape], middle: np.ndarray
) -> dict[str, np.ndarray]:
    """Find F3 and F4 on the tape F7-Fz-F8, from the tapes around the head and Fz."""
    tape = lay(around[0].part(0.3), around[1].part(0.3), middle)
    half = tape.nearest(middle)
    return {'F3': tape.at(half / 2), 'F4': tape.at((half + tape.length) / 2)}


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
