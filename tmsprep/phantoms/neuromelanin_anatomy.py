"""Where the loci coerulei of a person lie and how they look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.phantoms.deformation import SmoothMap
from tmsprep.phantoms.neuromelanin_rods import Rod

LABELS = ('LLC', 'RLC')

# Upper and lower end of the right locus coeruleus in the template (mm, RAS+ of MNI152; the left
# is its mirror). It lies 1.1 mm under the floor of the fourth ventricle and diverges downwards
# (Fernandes et al. 2012, Surg Radiol Anat 34:879-885: 40 nuclei, 3.2 mm from the midline,
# 12 to 17 mm long, 2.0 to 2.5 mm thick). We measured that floor on the template (y = -38.5 mm at
# z = -26, -40.5 at z = -33). The height is our choice: the upper pons, around activation within an
# LC atlas at (-4, -37, -21) and (-4, -34, -21) mm (doi 10.1186/s12929-025-01127-9, 2025,
# Figure 2). The template is a tenth larger than a brain.
TOP, BOTTOM = np.array([3.4, -36.0, -20.0]), np.array([5.6, -38.5, -33.0])
MIDDLE = (TOP + BOTTOM) / 2

# How far from the template's place a person's nuclei lie beyond the brain's own deformation:
# standard deviation along x, y and along the nucleus, mm, and where that ends. Half of the
# variance is common to both sides. Our choice: places differ by 1 to 3 mm between people, most
# of it along the nucleus, where the paper's errors are largest (Dünnwald et al. 2021, Results).
_SPREAD, _FURTHEST = np.array([0.6, 0.35, 1.5]), np.array([1.2, 0.7, 3.0])

# Length and thickness in vivo, mm: shorter and partly thinner than in Fernandes et al. 2012, as
# the ends are thin and hard to see. Our choice (row of the issue).
_LENGTH, _THICKNESS = (10.0, 15.0), (1.0, 2.5)

# How far the middle bends from a straight line, mm, and how much the direction varies, as a
# share of the length. Our choice.
_BEND, _TILT = 0.8, 0.06

# Signal over that of the pons. Tona et al. 2017, Brain Struct Funct 222:4203-4217: 1.139 on
# average (SD 0.038) by spin echo; wider here, our choice.
_CONTRAST = (1.08, 1.35)
_LOWEST_CONTRAST = 1.05

# What the weaker side keeps of the other's excess, and how often one side cannot be seen at all.
# Our choice.
_WEAKER, _ABSENT = (0.5, 1.0), 0.08


@dataclass(frozen=True, eq=False)
class Nucleus:
    """One locus coeruleus.

    Parameters
    ----------
    rod : Rod
        Where it is, mm, RAS+ of the person's image.
    length, thickness : float
        mm.
    contrast : float
        Signal over that of the pons.
    """

    rod: Rod
    length: float
    thickness: float
    contrast: float


def draw_nuclei(mapping: SmoothMap, rng: np.random.Generator) -> tuple[Nucleus | None, ...]:
    """Draw the left and right locus coeruleus of one person; None for a side without.

    Parameters
    ----------
    mapping : SmoothMap
        From the template to the person: moves the nuclei with the brain.
    rng : numpy.random.Generator
        Draws everything else. All ranges are stated in this file.
    """
    common = rng.standard_normal(3)
    length, thickness = rng.uniform(*_LENGTH), rng.uniform(*_THICKNESS)
    contrasts = _draw_contrasts(rng)
    absent = int(rng.integers(2)) if rng.random() < _ABSENT else None
    nuclei: list[Nucleus | None] = []
    for side, sign in enumerate((-1, 1)):
        spread = _SPREAD * (common * [sign, 1, 1] + rng.standard_normal(3)) / np.sqrt(2)
        offset = spread.clip(-_FURTHEST, _FURTHEST)
        own_length = float(np.clip(length * rng.uniform(0.9, 1.1), *_LENGTH))
        own_thickness = float(np.clip(thickness * rng.uniform(0.85, 1.15), *_THICKNESS))
        tilt, bend = rng.normal(0, _TILT, 3), rng.uniform(-1, 1, 2) * _BEND
        if side == absent:
            nuclei.append(None)
            continue
        centre, axis = _place(mapping, np.array([sign, 1, 1]), offset)
        axis = _unit(axis + tilt)
        curve = np.array([bend[0], bend[1] / 3, 0.0])
        rod = Rod.spindle(centre, axis, length=own_length, thickness=own_thickness, bend=curve)
        nuclei.append(Nucleus(rod, own_length, own_thickness, contrasts[side]))
    return tuple(nuclei)


def _draw_contrasts(rng: np.random.Generator) -> tuple[float, float]:
    """Left and right, one of them weaker."""
    stronger = rng.uniform(*_CONTRAST)
    weaker = max(1 + (stronger - 1) * rng.uniform(*_WEAKER), _LOWEST_CONTRAST)
    return (stronger, weaker) if rng.random() < 0.5 else (weaker, stronger)


def _place(
    mapping: SmoothMap, mirror: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Centre and direction (upwards) of a nucleus in the person, mm, RAS+."""
    ends = mapping.forward(np.stack([TOP, BOTTOM]) * mirror)
    axis = _unit(ends[0] - ends[1])
    centre = mapping.forward((MIDDLE * mirror)[None])[0]
    return centre + [offset[0], offset[1], 0] + offset[2] * axis, axis


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
