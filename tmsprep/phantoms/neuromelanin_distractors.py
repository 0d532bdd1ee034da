"""What is bright in and around a brainstem and is no locus coeruleus."""

from __future__ import annotations

import numpy as np

from tmsprep.phantoms.deformation import SmoothMap
from tmsprep.phantoms.neuromelanin_anatomy import BOTTOM, TOP
from tmsprep.phantoms.neuromelanin_rods import Rod

# Substantia nigra, which holds neuromelanin too: one side's ends in the template (front and
# middle, back and lateral), mm, RAS+ of MNI152, and the heights of the layers that make a band.
# Seen on the template's midbrain; our choice, like all numbers of this file.
_NIGRA = np.array([[6.0, -14.0, -12.0], [13.0, -22.0, -11.0]])
_LAYERS = (-2.5, 0.0, 2.5)

# Choroid plexus of the fourth ventricle (one side) and the pineal gland, mm of the template.
_PLEXUS, _PINEAL = np.array([4.0, -48.0, -37.0]), np.array([0.0, -32.0, 1.0])

# The basilar artery in front of the pons, from bottom to top.
_BASILAR = np.array([[0.0, -19.0, -48.0], [0.0, -8.0, -22.0]])

# Small vessels and plexus that look like a locus coeruleus: box in the template where they are
# drawn, mm, and how far their centrelines stay at least from where the template has its loci
# coerulei (a person's lie up to 3 mm away from there).
_STEM_BOX = np.array([[-32.0, -62.0, -50.0], [32.0, -12.0, -6.0]])
_LEAST_DISTANCE = 8.0


def draw_distractors(mapping: SmoothMap, rng: np.random.Generator) -> list[tuple[Rod, float]]:
    """Draw the bright structures of one person, each with its signal over that of the pons.

    Parameters
    ----------
    mapping : SmoothMap
        From the template to the person.
    rng : numpy.random.Generator
        Draws number, places, sizes and signals.
    """
    found = [*_nigra(mapping, rng), *_glands(mapping, rng), _basilar(mapping, rng)]
    homes = _homes(mapping)
    wanted = len(found) + rng.integers(5, 10)
    while len(found) < wanted:
        vessel = _small_vessel(mapping, rng)
        gaps = np.linalg.norm(vessel.line[:, None] - homes, axis=-1)
        if gaps.min() >= _LEAST_DISTANCE:
            found.append((vessel, rng.uniform(1.08, 1.45)))
    return found


def _nigra(mapping: SmoothMap, rng: np.random.Generator) -> list[tuple[Rod, float]]:
    level = rng.uniform(1.05, 1.2)
    rods = []
    for sign in (-1, 1):
        for height in _LAYERS:
            ends = mapping.forward((_NIGRA + np.array([0, 0, height])) * [sign, 1, 1])
            rods.append((_between(ends, thickness=3.0), level))
    return rods


def _glands(mapping: SmoothMap, rng: np.random.Generator) -> list[tuple[Rod, float]]:
    """Choroid plexus on both sides and the pineal gland."""
    centres = [_PLEXUS * [sign, 1, 1] for sign in (-1, 1)] + [_PINEAL]
    rods = []
    for centre in centres:
        moved = mapping.forward(centre[None])[0] + rng.normal(0, 1, 3)
        rods.append((_straight(moved, rng, (5, 9), (2, 4)), rng.uniform(0.8, 1.3)))
    return rods


def _basilar(mapping: SmoothMap, rng: np.random.Generator) -> tuple[Rod, float]:
    return _between(mapping.forward(_BASILAR), thickness=3.5), rng.uniform(1.2, 1.8)


def _small_vessel(mapping: SmoothMap, rng: np.random.Generator) -> Rod:
    centre = mapping.forward(rng.uniform(*_STEM_BOX)[None])[0]
    return _straight(centre, rng, (6, 16), (1, 2.5))


def _straight(
    centre: np.ndarray,
    rng: np.random.Generator,
    lengths: tuple[float, float],
    thicknesses: tuple[float, float],
) -> Rod:
    """Rod of random direction; upright ones are the likeliest, as those mislead most."""
    direction = rng.standard_normal(3) * [1, 1, 2]
    return Rod.spindle(
        centre,
        direction / np.linalg.norm(direction),
        length=rng.uniform(*lengths),
        thickness=rng.uniform(*thicknesses),
    )


def _between(ends: np.ndarray, *, thickness: float) -> Rod:
    chord = ends[1] - ends[0]
    length = float(np.linalg.norm(chord))
    return Rod.spindle(ends.mean(axis=0), chord / length, length=length, thickness=thickness)


def _homes(mapping: SmoothMap) -> np.ndarray:
    """Points along the template's loci coerulei, both sides, in the person, shape (n, 3), mm."""
    line = np.linspace(TOP, BOTTOM, 10)
    return mapping.forward(np.concatenate([line, line * [-1, 1, 1]]))
