"""A brain whose gyri are slabs, so that names, depths and distances are known by hand."""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine

from tmsprep.gyri.frame import SHAPE, SIDES, grid_affine
from tmsprep.gyri.labels import (
    CLASSES,
    NAMES,
    OTHER_BRAIN,
    OTHER_HEMISPHERE,
    OUTSIDE,
    WHITE_MATTER,
)
from tmsprep.gyri.probabilities import Parcellation

#: Above this height, mm, there is no brain.
TOP_MM = 60.0


def slabs(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Parcellation:
    """Make a brain that fills both grids below `TOP_MM`; MNI is the scanner frame but for a shift.

    Its uppermost 10 mm are cortex: in front of y = 0 the precentral, behind it the postcentral
    gyrus. White matter lies below, down to z = 20, then the transverse temporal gyrus, whose crown
    faces upwards, down to z = 0, and the brainstem. The hemispheres meet at x = 0.
    """
    probabilities, affines = {}, {}
    for side in SIDES:
        affine = grid_affine(side)
        x, y, z = np.moveaxis(apply_affine(affine, np.moveaxis(np.indices(SHAPE), 0, -1)), -1, 0)
        cortex = (z > TOP_MM - 10) & (z < TOP_MM)
        classes = np.full(SHAPE, NAMES.index(WHITE_MATTER))
        classes[z > TOP_MM] = NAMES.index(OUTSIDE)
        classes[cortex & (y > 0)] = NAMES.index('precentral gyrus')
        classes[cortex & (y < 0)] = NAMES.index('postcentral gyrus')
        classes[z < 20] = NAMES.index('transverse temporal gyrus')
        classes[z < 0] = NAMES.index(OTHER_BRAIN)
        across = x > 0 if side == 'L' else x < 0
        classes[across & (cortex | ((z > 0) & (z < 20)))] = NAMES.index(OTHER_HEMISPHERE)
        shares = np.arange(len(CLASSES))[:, None, None, None] == classes
        probabilities[side] = shares.astype(np.float32)
        affines[side] = affine.copy()
        affines[side][:3, 3] += shift
    return Parcellation(probabilities, affines)


def uncertain(parcellation: Parcellation, gyrus: str, other: str, share: float) -> Parcellation:
    """Take a share of the probability of one gyrus, in both hemispheres, for another one."""
    changed = {}
    for side, own in parcellation.probabilities.items():
        maps = own.copy()
        taken = share * maps[NAMES.index(gyrus)]
        maps[NAMES.index(gyrus)] -= taken
        maps[NAMES.index(other)] += taken
        changed[side] = maps
    return Parcellation(changed, parcellation.affines)
