"""What else is bright or dark around the nuclei."""

from __future__ import annotations

import numpy as np

from coeruleus_simulation import priors
from coeruleus_simulation.heads import Head
from coeruleus_simulation.nuclei import Nucleus
from coeruleus_simulation.rods import Rod, frame
from coeruleus_simulation.sequences import Sequence

#: A rod, its signal, and whether this is added to the tissue's or takes its place.
Painted = tuple[Rod, float, bool]

#: Tries to place a vessel; those that come too near to a nucleus are not drawn.
_TRIES = 20


def draw_structures(
    head: Head, nuclei: tuple[Nucleus, Nucleus], sequence: Sequence, rng: np.random.Generator
) -> list[Painted]:
    """Draw all of one participant; visible nuclei or not, the same."""
    found = [(_placed(head, priors.TEGMENTUM, priors.TEGMENTUM_SIZE), sequence.tegmentum, True)]
    for sign in (-1, 1):
        mirrored = np.array([sign, 1, 1])
        nigra = priors.NIGRA * mirrored + rng.normal(0, 0.5, 3)
        found.append((_placed(head, nigra, priors.NIGRA_SIZE), sequence.nigra, True))
        root = priors.TRIGEMINAL * mirrored + rng.normal(0, 1, 3)
        size = (rng.uniform(2, 4), rng.uniform(2, 4))
        found.append((_placed(head, root, size), rng.uniform(-0.15, 0.2), True))
    velum = _placed(head, priors.VELUM + rng.normal(0, 0.7, 3), (1.2, 8.0))
    found.append((velum, rng.uniform(0.9, 1.2), False))
    width = rng.uniform(2.5, 4)
    basilar = np.add(priors.BASILAR, [rng.normal(0, 1.5), 0, 0])
    found.append(
        (_placed(head, basilar, (width, width), rng.normal(0, 1.5)), sequence.artery, False)
    )
    return found + _draw_vessels(nuclei, sequence, rng)


def _placed(head: Head, ends: np.ndarray, widths: tuple[float, float], bend: float = 0.0) -> Rod:
    """Rod between two points of the template; its first width lies to the front."""
    placed = head.from_template(np.concatenate([ends, np.add(ends.mean(axis=0), [[0, 5, 0]])]))
    return Rod.between(
        placed[:2], widths, placed[2] - placed[:2].mean(axis=0) + [0, 1e-3, 0], bend
    )


def _draw_vessels(
    nuclei: tuple[Nucleus, Nucleus], sequence: Sequence, rng: np.random.Generator
) -> list[Painted]:
    """Small arteries and veins around both nuclei, none nearer than `priors.CLEARANCE`."""
    lines = np.concatenate([n.rod.line(13) for n in nuclei])
    found: list[Painted] = []
    for _ in range(int(rng.poisson(priors.VESSELS))):
        level = sequence.artery if rng.random() < 0.5 else sequence.vein
        level *= rng.uniform(0.8, 1.2)
        for _ in range(_TRIES):
            vessel = _random_rod(lines, rng)
            gaps = np.linalg.norm(vessel.line(21)[:, None] - lines, axis=-1)
            if gaps.min() >= priors.CLEARANCE:
                found.append((vessel, level, False))
                break
    return found


def _random_rod(lines: np.ndarray, rng: np.random.Generator) -> Rod:
    """Rod of any direction within `priors.NEAR_MM` of a nucleus; upright ones mislead the most."""
    direction = rng.standard_normal(3) * [1, 1, 1.5]
    offset = rng.standard_normal(3)
    offset *= priors.NEAR_MM * rng.random() ** 0.5 / np.linalg.norm(offset)
    width = rng.uniform(*priors.VESSEL_WIDTH)
    length = rng.uniform(*priors.VESSEL_LENGTH)
    bend = rng.normal(0, 0.15 * length, 2)
    return Rod(
        lines[rng.integers(len(lines))] + offset,
        frame(direction, rng.standard_normal(3)),
        length,
        (width, width),
        (float(bend[0]), float(bend[1])),
    )


def paint(volume: np.ndarray, affine: np.ndarray, painted: Painted, tissue: np.ndarray) -> None:
    """Paint one structure into a volume, in place.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, m, k), signals, pons 1.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    painted : tuple
        Rod, signal, and whether it is added. What is added changes tissue only.
    tissue : numpy.ndarray
        Shape (n, m, k): share of each voxel that is not fluid.
    """
    rod, level, added = painted
    box, strength, _ = rod.shares(volume.shape, affine)
    if added:
        volume[box] += (strength * level * tissue[box]).astype(volume.dtype)
    else:
        volume[box] += (strength * (level - volume[box])).astype(volume.dtype)
