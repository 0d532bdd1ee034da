"""Two raters who draw the same nuclei differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from tmsprep.phantoms.neuromelanin_anatomy import Nucleus
from tmsprep.phantoms.neuromelanin_rods import Rod


@dataclass(frozen=True)
class Rater:
    """How a rater draws; all in mm, or a share of the length.

    Parameters
    ----------
    wider : float
        What the rater adds to the radius on average.
    unsure : float
        Standard deviation of what is added to the radius, one value for each nucleus.
    shift : float
        Standard deviation of the whole mask's place across the nucleus, for each axis.
    wobble : float
        Standard deviation of each slice's place, smooth from slice to slice.
    missed : float
        Largest share of the length that is not drawn at either end.
    """

    wider: float
    unsure: float
    shift: float
    wobble: float
    missed: float


# Chosen by us so that the two agree with a mean Dice of about 0.6: human raters reach 0.499 to
# 0.64 (Dünnwald et al. 2021, Introduction), 0.54 to 0.64 in Tona et al. 2017, Brain Struct Funct
# 222:4203-4217. The first draws the core, the second draws generously.
RATERS = (
    Rater(wider=-0.05, unsure=0.06, shift=0.14, wobble=0.10, missed=0.20),
    Rater(wider=0.15, unsure=0.10, shift=0.16, wobble=0.12, missed=0.15),
)

# Faint nuclei are drawn less surely: errors grow by up to this factor as the contrast falls from
# 1.35 to 1.05. Our choice.
_FAINT = 1.5

# Places are drawn more exactly in thin nuclei, in proportion to the thickness in mm; the numbers
# above are for this one. Our choice.
_USUAL_THICKNESS = 2.0

# Nodes over which a slice's place is similar to its neighbours' (about 1 mm). Our choice.
_SMOOTH = 2.0


def draw_masks(
    nuclei: Sequence[Nucleus | None],
    rater: Rater,
    rng: np.random.Generator,
    *,
    shape: tuple[int, ...],
    affine: np.ndarray,
) -> np.ndarray:
    """Draw all nuclei as one rater does.

    Parameters
    ----------
    nuclei : sequence of Nucleus or None
        Labels 1, 2, ... in this order; None is not drawn.
    rater : Rater
        Who draws.
    rng : numpy.random.Generator
        Draws the rater's errors.
    shape, affine
        Of the grid that is drawn on.

    Returns
    -------
    numpy.ndarray
        Shape `shape`, uint8, 0 is background.
    """
    labels = np.zeros(shape, np.uint8)
    for value, nucleus in enumerate(nuclei, start=1):
        if nucleus is not None:
            _as_drawn(nucleus, rater, rng).label(labels, affine, value)
    return labels


def _as_drawn(nucleus: Nucleus, rater: Rater, rng: np.random.Generator) -> Rod:
    """Return the rod that a rater sees: ends missed, thicker or thinner, shifted and wavy."""
    faint = 1 + (_FAINT - 1) * np.clip((1.35 - nucleus.contrast) / 0.3, 0, 1)
    rod, nodes = nucleus.rod, len(nucleus.rod.line)
    start, end = (rng.uniform(0, rater.missed, 2) * [1, -1] * (nodes - 1) + [0, nodes - 1]).round()
    line, radii = rod.line[int(start) : int(end) + 1], rod.radii[int(start) : int(end) + 1]
    careful = nucleus.thickness / _USUAL_THICKNESS
    shift = rng.normal(0, rater.shift * faint * careful, 3)
    waves = gaussian_filter1d(rng.standard_normal((len(line), 3)), _SMOOTH, axis=0)
    waves *= rater.wobble * faint * careful / waves.std()
    wider = rng.normal(rater.wider, rater.unsure * faint)
    return Rod(line + shift + waves, np.maximum(radii + wider, 0.25))
