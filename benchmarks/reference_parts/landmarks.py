"""Where each target lies on its gyrus: the rule, its source, and how far sources are apart.

All rules end on a crown (`tmsprep.gyri.crown`). Published coordinates are in MNI space and say at
which height along its gyrus a target lies; the gyrus itself is that of the participant. Spreads
are the largest distance between published points of the same target on one side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree

from tmsprep.formats.targets_tsv import read_targets
from tmsprep.gyri.crown import CrownRule, crown_point, height_depth

from reference_parts.knob import to_knob
from reference_parts.regions import Mapping, Parcellation

#: MUSE codes of gyri on the right; the left one is one more.
PRECENTRAL, POSTCENTRAL, MEDIAL_PRECENTRAL, MIDDLE_FRONTAL = (182,), (176,), (150,), (142,)
TRANSVERSE_TEMPORAL, ORBITAL = (206,), (104, 136, 146, 178)

#: The primary motor cortex is the back of the precentral gyrus: its grey matter within this
#: distance of the postcentral gyrus, mm.
STRIP_MM = 10.0

#: Heschl's gyrus is narrower than the others, and its label thinner.
HESCHL_RULE = CrownRule(across=4.0, cap=3.0, depth=4.0)

#: Where the targets lie on the crowns of the template's majority parcellation, from the published
#: coordinates, and from the others.
PLACES = Path(__file__).with_name('template_targets.tsv')
OTHER_PLACES = Path(__file__).with_name('template_targets_other.tsv')

Points = dict[str, np.ndarray]
Place = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Case:
    """One brain, one side, and a start there.

    Parameters
    ----------
    brain : Parcellation
        Labels of the brain.
    to_brain : callable
        Moves points of the template to the brain, shape (n, 3), mm, RAS+.
    frame : numpy.ndarray
        Shape (4, 4): the affine from the brain to the template, mm, RAS+.
    left : bool
        Side.
    start : numpy.ndarray
        Shape (3,), mm, RAS+, in the brain.
    place : numpy.ndarray
        Shape (3,), mm, RAS+, in the template: where the start comes from.
    """

    brain: Parcellation
    to_brain: Mapping
    frame: np.ndarray
    left: bool
    start: np.ndarray
    place: np.ndarray

    def grey_matter(self, codes: tuple[int, ...]) -> np.ndarray:
        """Return the voxels of gyri on this side, given by the codes of the right one."""
        return self.brain.mask(codes, left=self.left)

    def places(self, mask: np.ndarray) -> np.ndarray:
        """Return the centres of voxels, shape (n, 3), mm, RAS+."""
        return apply_affine(self.brain.affine, np.argwhere(mask))


def on_crown(case: Case, gyrus: np.ndarray) -> np.ndarray:
    """Return the point on the crown of a gyrus at the height of the start."""
    return crown_point(gyrus, case.brain.depth, case.brain.affine, case.start)


def hand(case: Case) -> np.ndarray:
    """Hand knob: the crown of the primary motor cortex above the knob of the central sulcus.

    The start is moved along the sulcus to the height where its front wall bulges most to the back
    (the omega of Yousry et al. 1997, doi:10.1093/brain/120.1.141), see `reference_parts.knob`.
    Published: (-39.8, -16.2, 63.3), the centre of the group map of left hand muscle hotspots
    measured with navigated TMS, mirrored for the right; Niskanen et al. 2010
    (doi:10.1002/hbm.20942) have (-37, -16, 59) and (39, -12, 58). Other: (-37, -21, 58), Mayka et
    al. 2006 (doi:10.1016/j.neuroimage.2006.02.004). Spread 8 mm on the left, 10 mm on the right.
    """
    border = case.places(_wall(case))
    shift = to_knob(apply_affine(case.frame, border), apply_affine(case.frame, case.start))
    moved = case.start + np.linalg.solve(case.frame[:3, :3], shift)
    return on_crown(replace(case, start=moved), primary_motor_cortex(case))


def face(case: Case) -> np.ndarray:
    """Lips: the crown of the primary motor cortex at the published height.

    Published: (-56, -8, 46), lips, D'Ausilio et al. 2009 (doi:10.1016/j.cub.2009.01.017), mirrored
    for the right. Other: (-51, -15, 47), the lateral square on the motor cortex of Ahdab et al.
    2014 (doi:10.1002/hbm.22339), mean of both sides. Spread 24 mm, as lips and tongue differ.
    """
    return on_crown(case, primary_motor_cortex(case))


def leg(case: Case) -> np.ndarray:
    """Leg: the middle of the upper edge of the medial precentral gyrus.

    That gyrus is the part of the paracentral lobule in front of the central sulcus; it is so short
    that the middle of its edge is the target, wherever on it the start lies. Published:
    (-9, -23.5, 70), tibialis anterior hotspots of Niskanen et al. 2010 (doi:10.1002/hbm.20942),
    mean of both sides. Other: (-9, -24.8, 66.7), mean of 19 studies of the foot (Neurosynth).
    Spread 12 mm on the left, 9 mm on the right.
    """
    return on_crown(case, case.grey_matter(MEDIAL_PRECENTRAL))


def dlpfc(case: Case) -> np.ndarray:
    """DLPFC: the crown of the middle frontal gyrus at the published height.

    Published: (-42, 44, 30), Weigand et al. 2018 (doi:10.1016/j.biopsych.2017.10.028), mirrored
    for the right. Other: (-44, 40, 29), the centre of Brodmann area 46 in Fox et al. 2012
    (doi:10.1016/j.biopsych.2012.04.028). Spread 40 mm: the definitions differ.
    """
    return on_crown(case, case.grey_matter(MIDDLE_FRONTAL))


def ofc(case: Case) -> np.ndarray:
    """OFC: the orbital surface, on the crown of the orbital gyri at the published place.

    All four orbital gyri count as one, as parcellations draw their borders differently. Published:
    (34, 54, -14), anterior orbitofrontal cortex (doi:10.1101/2025.10.08.681180), mirrored for the
    left. Other: (30, 50, -16), of unknown origin. Spread 17 mm.
    """
    return on_crown(case, case.grey_matter(ORBITAL))


def heschl(case: Case) -> np.ndarray:
    """Heschl: the crown of the transverse temporal gyrus, in its outer part.

    It lies in the Sylvian fissure, so that its crown faces upwards, square to the length of the
    gyrus. Where the label has several pieces, the start decides: it lies on the anterior one.
    Published: (-52, -17, 3), mean of twelve rows of Andoh and Zatorre 2013
    (doi:10.1016/j.neuroimage.2013.04.078). Other: (-51.4, -23.2, 6.5), mean of 52 auditory
    studies (Neurosynth). Spread 12 mm.
    """
    gyrus = case.grey_matter(TRANSVERSE_TEMPORAL)
    if not gyrus.any():
        return np.full(3, np.nan)
    ends = np.add(case.place, [[0, 0, -5], [0, 0, 5]])
    up = np.diff(case.to_brain(ends), axis=0)[0]
    places = case.places(gyrus)
    along = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2][0]
    # The gyrus rises towards its inner end: that is not its crown.
    depth = height_depth(gyrus.shape, case.brain.affine, up - along * (along @ up))
    return crown_point(gyrus, depth, case.brain.affine, case.start, HESCHL_RULE)


def primary_motor_cortex(case: Case) -> np.ndarray:
    """Return the grey matter of the precentral gyrus that faces the central sulcus."""
    return _near_postcentral(case, case.grey_matter(PRECENTRAL), STRIP_MM)


def _wall(case: Case) -> np.ndarray:
    """Return the voxels of the precentral gyrus on the wall of the central sulcus.

    Those that touch the postcentral gyrus at 3 to 16 mm below the hull, where the knob shows.
    """
    deep = (case.brain.depth > 3) & (case.brain.depth < 16)
    return _near_postcentral(case, case.grey_matter(PRECENTRAL) & deep, 3.5)


def _near_postcentral(case: Case, mask: np.ndarray, limit_mm: float) -> np.ndarray:
    behind = case.places(case.grey_matter(POSTCENTRAL))
    if not len(behind) or not mask.any():
        return np.zeros_like(mask)
    near = cKDTree(behind).query(case.places(mask))[0] <= limit_mm
    kept = np.zeros_like(mask)
    kept[mask] = near
    return kept


@dataclass(frozen=True)
class Landmark:
    """A target: its label, side and rule, and its published places on the left, mm."""

    label: str
    left: bool
    rule: Callable[[Case], np.ndarray]
    published: Place
    other: Place

    def place(self, place: Place) -> np.ndarray:
        """Return a place of the left side on the landmark's own."""
        return np.array(place) if self.left else np.array(place) * [-1, 1, 1]


def _pair(
    name: str, rule: Callable[[Case], np.ndarray], published: Place, other: Place
) -> list[Landmark]:
    return [Landmark(f'{side}{name}', side == 'L', rule, published, other) for side in 'LR']


LANDMARKS = (
    *_pair('OFC', ofc, (-34, 54, -14), (-30, 50, -16)),
    *_pair('DLPFC', dlpfc, (-42, 44, 30), (-44, 40, 29)),
    Landmark('LHESCHL', True, heschl, (-52, -17, 3), (-51.4, -23.2, 6.5)),
    *_pair('FACEMC', face, (-56, -8, 46), (-51.1, -15, 47.3)),
    *_pair('ULIMBMC', hand, (-39.8, -16.2, 63.3), (-37, -21, 58)),
    *_pair('LLIMBMC', leg, (-9, -23.5, 70), (-9, -24.8, 66.7)),
)


def locate(brain: Parcellation, to_brain: Mapping, frame: np.ndarray, places: Points) -> Points:
    """Return the points on the crowns of a brain.

    Parameters
    ----------
    brain : Parcellation
        The brain.
    to_brain : callable
        Moves points of the template to the brain: shape (n, 3) to (n, 3), mm, RAS+.
    frame : numpy.ndarray
        Shape (4, 4): the affine from the brain to the template.
    places : dict
        Label of each target to its place in the template, mm, RAS+.

    Returns
    -------
    dict
        Label of each target to its point, mm, RAS+; NaN where the rule has none.
    """
    points = {}
    for landmark in LANDMARKS:
        place = places[landmark.label]
        start = to_brain(place[None])[0]
        case = Case(brain, to_brain, frame, landmark.left, start, place)
        points[landmark.label] = landmark.rule(case)
    return points


def template_places(template: Parcellation, *, other: bool = False) -> Points:
    """Apply the rules to the template's own parcellation: the starts in all other brains.

    Both sides mirror exactly: they are averaged.

    Parameters
    ----------
    template : Parcellation
        In the symmetric template's frame.
    other : bool
        Whether to take the other published coordinates.
    """
    starts = {
        landmark.label: landmark.place(landmark.other if other else landmark.published)
        for landmark in LANDMARKS
    }
    found = locate(template, np.asarray, np.eye(4), starts)
    for landmark in LANDMARKS:
        opposite = f'R{landmark.label[1:]}'
        if landmark.left and opposite in found:
            mean = (found[landmark.label] + found[opposite] * [-1, 1, 1]) / 2
            found[landmark.label], found[opposite] = mean, mean * [-1, 1, 1]
    return {label: point.round(1) for label, point in found.items()}


def read_places(path: Path = PLACES) -> Points:
    """Read the places of the targets on the crowns of the template, mm, RAS+."""
    points = read_targets(path)
    return dict(zip(points.labels, points.coordinates, strict=True))
