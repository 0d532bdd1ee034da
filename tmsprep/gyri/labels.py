"""The classes that a parcellation tells apart, in one hemisphere.

Numbers are those of the Neuromorphometrics protocol, which MUSE uses too (Doshi et al. 2016,
doi:10.1016/j.neuroimage.2015.11.073): in the cortex the structures of the left hemisphere are odd,
those of the right one are the even numbers just below them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

#: First number of the cortex; below it lie white matter, deep structures and fluid.
_CORTEX = 100


@dataclass(frozen=True)
class GyrusClass:
    """One class of a parcellation.

    Parameters
    ----------
    name : str
        In words, without the side.
    codes : tuple of int
        Numbers of the left hemisphere (odd, from 101) or, below 100, of both.
    """

    name: str
    codes: tuple[int, ...]


OUTSIDE = 'outside the brain'
WHITE_MATTER = 'white matter'
OTHER_CORTEX = 'other cortex'
OTHER_BRAIN = 'deep grey matter, brainstem or cerebellum'
OTHER_HEMISPHERE = 'the other hemisphere'

#: Named gyri: those in which targets lie, and the neighbours a point may have strayed to.
_GYRI = (
    GyrusClass('precentral gyrus', (183,)),
    GyrusClass('medial precentral gyrus', (151,)),
    GyrusClass('middle frontal gyrus', (143,)),
    GyrusClass('transverse temporal gyrus', (207,)),
    GyrusClass('orbital gyri', (105, 137, 147, 179)),
    GyrusClass('postcentral gyrus', (177,)),
    GyrusClass('medial postcentral gyrus', (149,)),
    GyrusClass('superior frontal gyrus', (153, 191)),
    GyrusClass('supplementary motor cortex', (193,)),
    GyrusClass('inferior frontal gyrus', (163, 165, 205)),
    GyrusClass('frontal pole', (121,)),
    GyrusClass('superior temporal gyrus', (201,)),
    GyrusClass('planum temporale', (185,)),
    GyrusClass('planum polare', (181,)),
    GyrusClass('opercular cortex', (113, 119, 175)),
    GyrusClass('insula', (103, 173)),
    GyrusClass('gyrus rectus', (125, 141)),
)

#: Names of the gyri in which a point may be expected.
GYRI = tuple(one.name for one in _GYRI)

#: All classes in the order of the maps of a network: the first is everything that is not brain.
CLASSES = (
    GyrusClass(OUTSIDE, ()),
    *_GYRI,
    GyrusClass(OTHER_CORTEX, ()),
    GyrusClass(WHITE_MATTER, (44, 45, *range(81, 96))),
    GyrusClass(
        OTHER_BRAIN,
        (23, 30, 31, 32, *range(35, 42), 47, 48, *range(55, 63), 71, 72, 73, 75, 76),
    ),
    GyrusClass(OTHER_HEMISPHERE, ()),
)

NAMES = tuple(one.name for one in CLASSES)


def class_lookup(side: str) -> np.ndarray:
    """Index into `CLASSES` of each number of the protocol, seen from one hemisphere.

    Parameters
    ----------
    side : str
        'L' or 'R'.

    Returns
    -------
    numpy.ndarray
        Shape (256,), uint8; numbers that the protocol does not have are 0, outside the brain.

    Examples
    --------
    The right precentral gyrus, 182, is the other hemisphere's when seen from the left:

    >>> [CLASSES[class_lookup(side)[182]].name for side in 'RL']
    ['precentral gyrus', 'the other hemisphere']
    """
    import numpy as np

    if side not in ('L', 'R'):
        raise ValueError(f"side must be 'L' or 'R', not {side!r}")
    lookup = np.zeros(256, np.uint8)
    own = 1 if side == 'L' else 0
    cortex = np.arange(_CORTEX, 208)
    lookup[cortex] = NAMES.index(OTHER_HEMISPHERE)
    lookup[cortex[cortex % 2 == own]] = NAMES.index(OTHER_CORTEX)
    for index, one in enumerate(CLASSES):
        for code in one.codes:
            lookup[code if code < _CORTEX or side == 'L' else code - 1] = index
    return lookup
