"""Loci coerulei and the other bright structures around them, as curved rods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from tmsprep.phantoms.deformation import SmoothMap

#: Nodes of a centreline: segments of about half a millimetre.
_NODES = 25

#: Upper and lower end of the right locus coeruleus in the template (mm, RAS+ of MNI152; the left
#: one is its mirror image). It lies 1.1 mm under the floor of the fourth ventricle and diverges
#: downwards (Fernandes et al. 2012, Surg Radiol Anat 34:879-885: 40 nuclei, 3.2 mm from the
#: midline, 12 to 17 mm long, 2.0 to 2.5 mm thick). The floor was measured on the template
#: (y = -38.5 mm at z = -26, -40.5 at z = -33). The height is that of the upper pons, around
#: activation within an LC atlas at (-4, -37, -21) and (-4, -34, -21) mm (doi
#: 10.1186/s12929-025-01127-9, 2025, Figure 2). The template is a tenth larger than a brain.
TOP, BOTTOM = np.array([3.4, -36.0, -20.0]), np.array([5.6, -38.5, -33.0])
MIDDLE = (TOP + BOTTOM) / 2

#: Deviation of a participant's nuclei from the deformed template: standard deviation along x, y
#: and along the nucleus, and its limits, mm. Half of the variance is common to both sides. Chosen
#: for differences of 1 to 3 mm between participants, most of it along the nucleus, where the
#: errors are largest in Dünnwald et al. 2021 (Results).
_SPREAD, _FURTHEST = np.array([0.6, 0.35, 1.5]), np.array([1.2, 0.7, 3.0])

#: Length and thickness in vivo, mm: shorter and partly thinner than in Fernandes et al. 2012, as
#: the ends are thin and hard to see.
_LENGTH, _THICKNESS = (10.0, 15.0), (1.0, 2.5)

#: Largest distance of the middle from a straight line, mm, and standard deviation of the
#: direction, as a share of the length.
_BEND, _TILT = 0.8, 0.06

#: Signal relative to the pons. Tona et al. 2017, Brain Struct Funct 222:4203-4217: 1.139 on
#: average (SD 0.038) by spin echo; a wider range here.
_CONTRAST = (1.08, 1.35)
_LOWEST_CONTRAST = 1.05

#: Share of the stronger side's excess signal that the weaker side has, and probability that one
#: side is not visible.
_WEAKER, _ABSENT = (0.5, 1.0), 0.08

#: Substantia nigra, which contains neuromelanin too: ends on the right side in the template (front
#: and medial, back and lateral), mm, and heights of the layers that form a band. Measured on the
#: template's midbrain.
_NIGRA = np.array([[6.0, -14.0, -12.0], [13.0, -22.0, -11.0]])
_LAYERS = (-2.5, 0.0, 2.5)

#: Choroid plexus of the fourth ventricle (right side) and pineal gland in the template, mm.
_PLEXUS, _PINEAL = np.array([4.0, -48.0, -37.0]), np.array([0.0, -32.0, 1.0])

#: Basilar artery in front of the pons, from bottom to top.
_BASILAR = np.array([[0.0, -19.0, -48.0], [0.0, -8.0, -22.0]])

#: Small vessels and plexus that look like a locus coeruleus: box in the template in which they are
#: drawn, mm, and least distance of their centrelines from the template's loci coerulei (those of a
#: participant lie up to 3 mm away from there).
_STEM_BOX = np.array([[-32.0, -62.0, -50.0], [32.0, -12.0, -6.0]])
_LEAST_DISTANCE = 8.0


@dataclass(frozen=True, eq=False)
class Rod:
    """A tube around a curve, thinner at its ends.

    Parameters
    ----------
    line : numpy.ndarray
        Nodes of the centreline, shape (n, 3), mm, RAS+.
    radii : numpy.ndarray
        Radius at each node, shape (n,), mm; linear between nodes.
    """

    line: np.ndarray
    radii: np.ndarray

    @classmethod
    def spindle(
        cls,
        centre: np.ndarray,
        direction: np.ndarray,
        *,
        length: float,
        thickness: float,
        bend: np.ndarray | None = None,
    ) -> Rod:
        """Make a rod that is thickest in its middle and round at its ends.

        The radius at a fraction u of the length, from -1 to 1, is
        ``thickness / 2 * sqrt(1 - u^4)``; the centreline is a parabola.

        Parameters
        ----------
        centre : numpy.ndarray
            Middle of the chord, shape (3,), mm, RAS+.
        direction : numpy.ndarray
            Unit vector of the chord, shape (3,), from node 0 to the last.
        length, thickness : float
            Length of the chord and diameter in the middle, mm.
        bend : numpy.ndarray, optional
            Displacement of the middle of the line from the chord, shape (3,), mm.
        """
        u = np.linspace(-1, 1, _NODES)[:, None]
        line = centre + u * length / 2 * direction
        if bend is not None:
            line = line + (1 - u**2) * bend
        return cls(line, thickness / 2 * np.sqrt(1 - u[:, 0] ** 4))

    @property
    def centroid(self) -> np.ndarray:
        """Centre of mass, shape (3,), mm: the line's, weighted by the cross-section's area."""
        steps = np.linalg.norm(np.diff(self.line, axis=0), axis=1)
        lengths = np.zeros(len(self.line))
        lengths[:-1] += steps / 2
        lengths[1:] += steps / 2
        return np.average(self.line, axis=0, weights=lengths * self.radii**2)

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Depth of points, shape (n, 3), mm, RAS+, below the surface: (n,), negative outside."""
        deepest = np.full(len(points), -np.inf)
        for a, b, r, q in zip(self.line, self.line[1:], self.radii, self.radii[1:], strict=False):
            along = (points - a) @ (b - a) / np.sum((b - a) ** 2)
            along = along.clip(0, 1)
            distance = np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)
            np.maximum(deepest, r + along * (q - r) - distance, out=deepest)
        return deepest

    def paint(self, volume: np.ndarray, affine: np.ndarray, level: float) -> None:
        """Paint a signal into a volume, with an edge as wide as a voxel (partial volume).

        Parameters
        ----------
        volume : numpy.ndarray
            Shape (n, m, k), floating point; changed in place.
        affine : numpy.ndarray
            Affine of `volume`, shape (4, 4), mm, RAS+.
        level : float
            Signal inside the rod.
        """
        box, depth = self._near(volume.shape, affine)
        share = (depth / voxel_sizes(affine).min() + 0.5).clip(0, 1)
        volume[box] += (share * (level - volume[box])).astype(volume.dtype)

    def label(self, labels: np.ndarray, affine: np.ndarray, value: int) -> None:
        """Write a label into every voxel whose centre lies in the rod; see `paint`."""
        box, depth = self._near(labels.shape, affine)
        labels[box][depth >= 0] = value

    def _near(
        self, shape: tuple[int, ...], affine: np.ndarray
    ) -> tuple[tuple[slice, ...], np.ndarray]:
        """Box of voxels around the rod, and the depth of each of them."""
        voxels = apply_affine(np.linalg.inv(affine), self.line)
        margin = np.ceil(self.radii.max() / voxel_sizes(affine).min()) + 1
        low = np.floor(voxels.min(axis=0) - margin).astype(int).clip(0, shape)
        high = np.ceil(voxels.max(axis=0) + margin + 1).astype(int).clip(0, shape)
        box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
        index = np.stack(np.meshgrid(*(np.arange(s.start, s.stop) for s in box), indexing='ij'))
        points = apply_affine(affine, index.reshape(3, -1).T)
        return box, self.depth(points).reshape(index.shape[1:])


@dataclass(frozen=True, eq=False)
class Nucleus:
    """One locus coeruleus.

    Parameters
    ----------
    rod : Rod
        Its shape, mm, RAS+ of the participant's image.
    length, thickness : float
        mm.
    contrast : float
        Signal relative to the pons.
    """

    rod: Rod
    length: float
    thickness: float
    contrast: float


def draw_nuclei(mapping: SmoothMap, rng: np.random.Generator) -> tuple[Nucleus | None, ...]:
    """Draw the left and right locus coeruleus of one participant; None for a side without.

    Parameters
    ----------
    mapping : SmoothMap
        From the template to the participant; it moves the nuclei with the brain.
    rng : numpy.random.Generator
        Draws everything else, in the ranges stated in this file.
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
        top, bottom = mapping.forward(np.stack([TOP, BOTTOM]) * [sign, 1, 1])
        (middle,) = mapping.forward((MIDDLE * [sign, 1, 1])[None])
        axis = _unit(top - bottom)
        centre = middle + [offset[0], offset[1], 0] + offset[2] * axis
        curve = np.array([bend[0], bend[1] / 3, 0.0])
        rod = Rod.spindle(
            centre, _unit(axis + tilt), length=own_length, thickness=own_thickness, bend=curve
        )
        nucleus = Nucleus(rod, own_length, own_thickness, contrasts[side])
        nuclei.append(None if side == absent else nucleus)
    return tuple(nuclei)


def _draw_contrasts(rng: np.random.Generator) -> tuple[float, float]:
    """Left and right contrast, one of them weaker."""
    stronger = rng.uniform(*_CONTRAST)
    weaker = max(1 + (stronger - 1) * rng.uniform(*_WEAKER), _LOWEST_CONTRAST)
    return (stronger, weaker) if rng.random() < 0.5 else (weaker, stronger)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def draw_distractors(mapping: SmoothMap, rng: np.random.Generator) -> list[tuple[Rod, float]]:
    """Draw the other bright structures of one participant, with their signal relative to the pons.

    Parameters
    ----------
    mapping : SmoothMap
        From the template to the participant.
    rng : numpy.random.Generator
        Draws number, places, sizes and signals. All ranges were chosen by eye.
    """
    found = []
    level = rng.uniform(1.05, 1.2)
    for sign in (-1, 1):
        for height in _LAYERS:
            ends = mapping.forward((_NIGRA + np.array([0, 0, height])) * [sign, 1, 1])
            found.append((_between(ends, thickness=3.0), level))
    for place in (_PLEXUS * [-1, 1, 1], _PLEXUS, _PINEAL):
        centre = mapping.forward(place[None])[0] + rng.normal(0, 1, 3)
        found.append((_random_rod(centre, rng, (5, 9), (2, 4)), rng.uniform(0.8, 1.3)))
    found.append((_between(mapping.forward(_BASILAR), thickness=3.5), rng.uniform(1.2, 1.8)))
    line = np.linspace(TOP, BOTTOM, 10)
    homes = mapping.forward(np.concatenate([line, line * [-1, 1, 1]]))
    wanted = len(found) + rng.integers(5, 10)
    while len(found) < wanted:
        centre = mapping.forward(rng.uniform(*_STEM_BOX)[None])[0]
        vessel = _random_rod(centre, rng, (6, 16), (1, 2.5))
        if np.linalg.norm(vessel.line[:, None] - homes, axis=-1).min() >= _LEAST_DISTANCE:
            found.append((vessel, rng.uniform(1.08, 1.45)))
    return found


def _random_rod(
    centre: np.ndarray,
    rng: np.random.Generator,
    lengths: tuple[float, float],
    thicknesses: tuple[float, float],
) -> Rod:
    """Rod of random direction; upright ones are the likeliest, as they are the most misleading."""
    direction = _unit(rng.standard_normal(3) * [1, 1, 2])
    length, thickness = rng.uniform(*lengths), rng.uniform(*thicknesses)
    return Rod.spindle(centre, direction, length=length, thickness=thickness)


def _between(ends: np.ndarray, *, thickness: float) -> Rod:
    chord = ends[1] - ends[0]
    length = float(np.linalg.norm(chord))
    return Rod.spindle(ends.mean(axis=0), chord / length, length=length, thickness=thickness)
