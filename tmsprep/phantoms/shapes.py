"""The rough anatomy around a brain, as ellipsoids in template space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ellipsoid:
    """One shape of the head; mm, RAS+ of the template.

    Parameters
    ----------
    centre, radii : tuple of float
        Along x, y and z, mm.
    intensity : float
        T1-weighted signal, white matter = 1; 1 for a part of an outline.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    intensity: float = 1.0

    def paint(self, volume: np.ndarray, origin: np.ndarray, spacing: float = 1.0) -> None:
        """Mix the shape into a volume, with an edge as wide as one voxel.

        Parameters
        ----------
        volume : numpy.ndarray
            Changed in place; its axes run to the right, front and top.
        origin : numpy.ndarray
            Centre of the first voxel, shape (3,), mm, RAS+ of the template.
        spacing : float
            Size of a voxel, mm.
        """
        box, axes = [], []
        for axis in range(3):
            index = np.arange(volume.shape[axis]) * spacing + origin[axis]
            near = np.abs(index - self.centre[axis]) <= self.radii[axis] + spacing
            box.append(near)
            scaled = (index[near] - self.centre[axis]) / self.radii[axis]
            axes.append(scaled.reshape([-1 if i == axis else 1 for i in range(3)]))
        distance = np.sqrt(sum(scaled**2 for scaled in axes))
        inside = np.clip((1 - distance) * min(self.radii) / spacing + 0.5, 0, 1)
        where = np.ix_(*box)
        volume[where] += inside * (self.intensity - volume[where])


def _both_sides(*shapes: Ellipsoid) -> tuple[Ellipsoid, ...]:
    return tuple(
        Ellipsoid((sign * shape.centre[0], *shape.centre[1:]), shape.radii, shape.intensity)
        for shape in shapes
        for sign in (-1, 1)
    )


# What the head's outline is made of, besides the cranium. All numbers of this file are our
# choice: round values that put eyes, nose, mouth and neck where the template's person has them.
OUTLINE = (
    Ellipsoid((0, 30, -70), (64, 48, 60)),  # cheeks
    Ellipsoid((0, 38, -98), (50, 44, 36)),  # mouth and chin
    Ellipsoid((0, 80, -62), (11, 22, 11)),  # nose
    Ellipsoid((0, 74, -50), (8, 16, 24)),  # bridge of the nose
    Ellipsoid((0, 8, -88), (63, 64, 46)),  # jaw
    Ellipsoid((0, -32, -150), (60, 60, 130)),  # neck
    *_both_sides(Ellipsoid((80, -24, -42), (8, 17, 28))),  # ears
)

# Painted in this order over fat and muscle, under the cranium.
ORGANS = (
    Ellipsoid((0, -28, -135), (16, 13, 72), 0.45),  # vertebral bodies
    *(Ellipsoid((0, -28, z), (15, 12, 3), 0.25) for z in range(-168, -80, 18)),  # discs
    Ellipsoid((0, -78, -130), (5, 14, 52), 0.2),  # spinous processes
    Ellipsoid((0, 44, -46), (16, 30, 20), 0.12),  # nasal cavity and sphenoid sinus
    *_both_sides(
        Ellipsoid((6, 48, -54), (3, 22, 8), 0.5),  # turbinates
        Ellipsoid((28, 44, -66), (13, 16, 14), 0.06),  # maxillary sinus
        Ellipsoid((34, 56, -40), (17, 21, 16), 1.1),  # orbital fat
        Ellipsoid((32, 44, -40), (3, 15, 3), 0.55),  # optic nerve
        Ellipsoid((34, 62, -40), (12.5, 12.5, 12.5), 0.22),  # eyeball
        Ellipsoid((34, 71, -40), (4.5, 2.5, 4.5), 0.45),  # lens
        Ellipsoid((52, -36, -52), (13, 18, 16), 0.08),  # mastoid
        Ellipsoid((48, 22, -78), (7, 18, 26), 0.35),  # ramus of the mandible
        Ellipsoid((30, -2, -110), (5, 5, 55), 1.0),  # vessels of the neck
    ),
    Ellipsoid((0, 40, -90), (25, 27, 24), 0.6),  # tongue
    Ellipsoid((0, 50, -67), (20, 26, 3), 0.15),  # palate
    Ellipsoid((0, 68, -84), (24, 7, 10), 0.12),  # teeth
    Ellipsoid((0, 66, -114), (22, 8, 9), 0.6),  # chin
    Ellipsoid((0, 4, -100), (10, 6, 50), 0.03),  # throat
)

# Painted last, through the hole in the base of the skull.
SPINAL_CANAL = (
    Ellipsoid((0, -51, -140), (12, 11, 84), 0.2),  # fluid
    Ellipsoid((0, -49, -135), (6.5, 5.5, 80), 0.85),  # cord
)
