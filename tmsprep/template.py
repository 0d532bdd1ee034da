"""Template spaces: how they lie to each other, and the way between an image and one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tmsprep.protocols import Protocol

if TYPE_CHECKING:
    import numpy as np

#: Space to which all others are related: ICBM 152 nonlinear symmetric, release 2009a.
REFERENCE = 'MNI152NLin2009aSym'


@dataclass(frozen=True)
class Space:
    """How a template space lies to `REFERENCE`.

    Parameters
    ----------
    matrix : tuple
        Three rows of four numbers: the affine that moves points to `REFERENCE`, mm, RAS+.
    accuracy : str
        How well that is known, in words, for sidecars and the documentation.
    """

    matrix: tuple[tuple[float, float, float, float], ...] = (
        (1.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0),
    )
    accuracy: str = 'the same average'


#: The asymmetric averages against the symmetric ones: they have the torque of the brain, a yaw of
#: 1.5 degrees. Like that of FSL's template, fitted to a diffeomorphic registration (2 mm) of the
#: template to `REFERENCE` at 3,000 places of the cortex, of which none is a fiducial; without it
#: the cortex is 1.5 mm apart (FSL's: 1.8 mm).
_ASYMMETRIC_2009 = Space(
    (
        (1.0008, 0.0050, 0.0036, -0.1987),
        (-0.0272, 1.0025, -0.0011, 0.1129),
        (0.0008, -0.0067, 0.9864, 0.0631),
    ),
    'by an affine, which leaves 1.0 mm on average in the cortex (95 % below 1.9 mm), and 1.2 mm '
    'at 32 anatomical fiducials (Lau et al. 2019)',
)

#: Template spaces by their name in BIDS, and how they lie to `REFERENCE`.
SPACES = {
    'MNI152NLin2009aSym': Space(),
    'MNI152NLin2009bSym': Space(),
    'MNI152NLin2009cSym': Space(
        accuracy='taken as the same: 32 anatomical fiducials (Lau et al. 2019) are 1.0 mm apart'
    ),
    'MNI152NLin2009aAsym': _ASYMMETRIC_2009,
    'MNI152NLin2009bAsym': _ASYMMETRIC_2009,
    'MNI152NLin2009cAsym': _ASYMMETRIC_2009,
    'MNI152NLin6Asym': Space(
        (
            (1.0101, 0.0010, -0.0003, -0.6588),
            (-0.0220, 1.0107, -0.0028, -0.1897),
            (-0.0012, -0.0096, 1.0101, -0.4504),
        ),
        'by an affine, which leaves 1.2 mm on average in the cortex (95 % below 2.3 mm), and '
        '1.4 mm at 32 anatomical fiducials (Lau et al. 2019)',
    ),
}


def between(coordinates: np.ndarray, start: str, end: str) -> np.ndarray:
    """Move points from one template space to another; shape (n, 3), mm, RAS+.

    Raises
    ------
    KeyError
        If a space is not in `SPACES`.
    """
    import numpy as np

    matrix = np.linalg.inv(_homogeneous(end)) @ _homogeneous(start)
    return np.asarray(coordinates, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]


def _homogeneous(space: str) -> np.ndarray:
    import numpy as np

    return np.vstack([SPACES[space].matrix, (0.0, 0.0, 0.0, 1.0)])


def template_of(protocol: Protocol) -> str:
    """Template space in which a protocol has places for its targets; '' if in none of `SPACES`."""
    name = protocol.atlas.get('image', '')
    return name if name in SPACES else ''


@dataclass(frozen=True)
class TemplateMap:
    """The way between an image and a template, as a method found it.

    Parameters
    ----------
    method : str
        Name of the method.
    space : str
        A key of `SPACES`.
    words : str
        How points are moved, for sidecars.
    to_template, from_template : callable
        Move points of shape (n, 3), mm, RAS+, none missing, from the frame of the image to the
        template, and back. They raise ValueError or OSError if a file cannot be read.
    """

    method: str
    space: str
    words: str
    to_template: Callable[[np.ndarray], np.ndarray]
    from_template: Callable[[np.ndarray], np.ndarray]
