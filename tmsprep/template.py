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


def _same(mean_mm: float, largest_mm: float) -> Space:
    return Space(
        accuracy=f'taken as the same: 32 anatomical fiducials (Lau et al. 2019) lie '
        f'{mean_mm:g} mm apart on average, {largest_mm:g} mm at most'
    )


#: Template spaces by their name in BIDS. Between the averages of 2009 an affine fitted to the
#: fiducials is no better than none (0.9 to 1.1 mm, each fiducial left out of its own fit).
SPACES = {
    REFERENCE: Space(),
    'MNI152NLin2009bSym': Space(),
    'MNI152NLin2009cSym': _same(1.0, 2.4),
    'MNI152NLin2009aAsym': _same(0.9, 2.8),
    'MNI152NLin2009bAsym': _same(0.9, 2.8),
    'MNI152NLin2009cAsym': _same(1.1, 4.0),
    # FSL's, and in effect that of SPM12. The affine was fitted to a registration (SyN) of the two
    # averages at 3,000 places of the cortex; without it they are 1.8 mm apart. The fiducials, from
    # which it is independent, have the same yaw of 1.3 degrees.
    'MNI152NLin6Asym': Space(
        (
            (1.0101, 0.0010, -0.0003, -0.6588),
            (-0.0220, 1.0107, -0.0028, -0.1897),
            (-0.0012, -0.0096, 1.0101, -0.4504),
        ),
        'an affine; it leaves 1.2 mm on average in the cortex (95 % below 2.3 mm), and 1.4 mm at '
        '32 anatomical fiducials (Lau et al. 2019)',
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
