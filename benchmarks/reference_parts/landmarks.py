"""Where each target lies on its gyrus: the rule, its source, and how far sources are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree

from tmsprep.formats.targets_tsv import read_targets
from tmsprep.gyri.crown import CrownRule, crown_point, height_depth

from reference_parts.regions import Parcellation

#: MUSE codes of gyri on the right; the left one is one more.
PRECENTRAL, POSTCENTRAL, MEDIAL_PRECENTRAL, MIDDLE_FRONTAL = (182,), (176,), (150,), (142,)
TRANSVERSE_TEMPORAL, ORBITAL = (206,), (104, 136, 146, 178)

#: The primary motor cortex is the back of the precentral gyrus: its grey matter within this
#: distance of the postcentral gyrus, mm.
STRIP_MM = 10.0

#: Heschl's gyrus is narrower than the others, and its label thinner.
HESCHL_RULE = CrownRule(across=4.0, cap=3.0, depth=4.0)

Points = dict[str, np.ndarray]
Mapping = Callable[[np.ndarray], np.ndarray]

#: Where the targets lie on the crowns of the template's majority parcellation.
PLACES = Path(__file__).with_name('template_targets.tsv')


@dataclass(frozen=True, eq=False)
class Case:
    """One brain, one side, and a start there.

    Parameters
    ----------
    brain : Parcellation
        Labels of the brain.
    to_brain : callable
        Moves points of the template to the brain, mm.
    left : bool
        Side.
    start : numpy.ndarray
        Shape (3,), mm, RAS+, in the brain.
    published : numpy.ndarray
        Shape (3,), mm, RAS+, in the template: where the start comes from.
    """

    brain: Parcellation
    to_brain: Mapping
    left: bool
    start: np.ndarray
    published: np.ndarray


def on_crown(case: Case, codes: tuple[int, ...], rule: CrownRule | None = None) -> np.ndarray:
    """Return the point on the crown of a gyrus at the height of the start."""
    gyrus = case.brain.mask(codes, left=case.left)
    return crown_point(gyrus, case.brain.depth, case.brain.affine, case.start, rule)


def _before_central_sulcus(case: Case) -> np.ndarray:
    """Return the grey matter of the precentral gyrus that faces the central sulcus."""
    gyrus = case.brain.mask(PRECENTRAL, left=case.left)
    behind = case.brain.mask(POSTCENTRAL, left=case.left)
    if not behind.any():
        return behind
    voxels = np.argwhere(gyrus)
    places, others = (
        apply_affine(case.brain.affine, found) for found in (voxels, np.argwhere(behind))
    )
    far = cKDTree(others).query(places, distance_upper_bound=STRIP_MM)[0] > STRIP_MM
    gyrus[tuple(voxels[far].T)] = False
    return gyrus


def _motor(case: Case) -> np.ndarray:
    return crown_point(
        _before_central_sulcus(case), case.brain.depth, case.brain.affine, case.start
    )


def hand(case: Case) -> np.ndarray:
    """Crown of the precentral gyrus at the hand knob."""
    return _motor(case)


def face(case: Case) -> np.ndarray:
    """Crown of the precentral gyrus at the height of the lips."""
    return _motor(case)


def leg(case: Case) -> np.ndarray:
    """Upper edge of the medial precentral gyrus."""
    return on_crown(case, MEDIAL_PRECENTRAL)


def dlpfc(case: Case) -> np.ndarray:
    """Crown of the middle frontal gyrus."""
    return on_crown(case, MIDDLE_FRONTAL)


def ofc(case: Case) -> np.ndarray:
    """Orbital surface."""
    return on_crown(case, ORBITAL)


def heschl(case: Case) -> np.ndarray:
    """Crown of Heschl's gyrus."""
    gyrus = case.brain.mask(TRANSVERSE_TEMPORAL, left=case.left)
    if not gyrus.any():
        return np.full(3, np.nan)
    up = np.diff(case.to_brain(case.published + [[0, 0, -5], [0, 0, 5]]), axis=0)[0]
    places = apply_affine(case.brain.affine, np.argwhere(gyrus))
    along = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2][0]
    # The gyrus rises towards its inner end: that is not its crown.
    depth = height_depth(gyrus.shape, case.brain.affine, up - along * (along @ up))
    return crown_point(gyrus, depth, case.brain.affine, case.start, HESCHL_RULE)


@dataclass(frozen=True)
class Landmark:
    """A target: its label, its side, its rule, and its published place on the left, mm."""

    label: str
    left: bool
    rule: Callable[[Case], np.ndarray]
    published: tuple[float, float, float]
    other: tuple[float, float, float]

    def place(self, which: str = 'published') -> np.ndarray:
        """Return the published place on the landmark's own side."""
        place = np.array(getattr(self, which))
        return place if self.left else place * [-1, 1, 1]


def _pair(name: str, rule: Callable[[Case], np.ndarray], *places: tuple) -> list[Landmark]:
    return [Landmark(f'{side}{name}', side == 'L', rule, *places) for side in 'LR']


LANDMARKS = (
    *_pair('OFC', ofc, (-34, 54, -14), (-30, 50, -16)),
    *_pair('DLPFC', dlpfc, (-42, 44, 30), (-44, 40, 29)),
    Landmark('LHESCHL', True, heschl, (-52, -17, 3), (-51.4, -23.2, 6.5)),
    *_pair('FACEMC', face, (-56, -8, 46), (-52, -12, 46)),
    *_pair('ULIMBMC', hand, (-39.8, -16.2, 63.3), (-37, -21, 58)),
    *_pair('LLIMBMC', leg, (-5, -24, 74), (-6, -26, 76)),
)


def locate(brain: Parcellation, to_brain: Mapping, places: Points) -> Points:
    """Return the points on the crowns of a brain.

    Parameters
    ----------
    brain : Parcellation
        The brain.
    to_brain : callable
        Moves points of the template to the brain: shape (n, 3) to (n, 3), mm, RAS+.
    places : dict
        Label of each target to its place in the template, mm, RAS+.
    """
    points = {}
    for landmark in LANDMARKS:
        place = places[landmark.label]
        start = to_brain(place[None])[0]
        points[landmark.label] = landmark.rule(Case(brain, to_brain, landmark.left, start, place))
    return points


def template_places(template: Parcellation, which: str = 'published') -> Points:
    """Apply the rules to the template's own parcellation: the starts of all other brains."""
    places = {landmark.label: landmark.place(which) for landmark in LANDMARKS}
    return locate(template, np.asarray, places)


def read_places(path: Path = PLACES) -> Points:
    """Read the places of the targets on the crowns of the template, mm, RAS+."""
    points = read_targets(path)
    return dict(zip(points.labels, points.coordinates, strict=True))
