"""Loci coerulei of one participant, drawn anew for every image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coeruleus_simulation import priors
from coeruleus_simulation.heads import Head
from coeruleus_simulation.rods import Rod, frame

#: Signs of x on the left and on the right.
SIDES = (-1, 1)

#: T1w signal, relative to the pons, between tissue and fluid, and step of a move, mm.
_TISSUE, _MOVE_MM = 0.6, 0.25


@dataclass(frozen=True, eq=False)
class Nucleus:
    """One locus coeruleus.

    Parameters
    ----------
    rod : Rod
        Its shape, mm, RAS+ of the head; where it would be if it cannot be seen.
    contrast : float
        Signal of the core over that of the pons, if the tissue around is like the pons.
    visible : bool
        Whether it is drawn.
    """

    rod: Rod
    contrast: float
    visible: bool

    @property
    def excess(self) -> float:
        """What the core adds to the signal, pons 1."""
        return self.contrast - 1 if self.visible else 0.0


def expected_centres(head: Head) -> np.ndarray:
    """Where the registration alone puts both nuclei, shape (2, 3), mm, RAS+."""
    return head.from_template(priors.CENTRES)


def draw_nuclei(
    head: Head, rng: np.random.Generator, rated: priors.Range, spread: float = 1.0
) -> tuple[Nucleus, Nucleus]:
    """Draw the left and the right nucleus.

    The ranges are those of `priors`; `rated` is the excess of the sequence, see
    `priors.SequenceClass`, and `spread` the factor of the distance of both nuclei from where the
    registration puts them.
    """
    age = rng.uniform(*priors.AGES)
    common, length, thickness = (
        rng.standard_normal(3),
        rng.uniform(*priors.LENGTH),
        rng.uniform(*priors.THICKNESS),
    )
    contrasts = _draw_contrasts(rated, age, rng)
    seen = _draw_visible(rng)
    drawn = []
    for side in range(2):
        axes = _axes(head, side)
        own = rng.standard_normal(3)
        share = priors.SIDES_AGREE
        # Both sides lie further up, to the front or to the outside.
        deviation = np.sqrt(share) * common + np.sqrt(1 - share) * own
        shift = spread * deviation * (priors.ALONG, priors.ACROSS, priors.ACROSS) @ axes
        direction = axes[0] + priors.TILT * rng.standard_normal(3)
        width = float(np.clip(thickness * rng.uniform(*priors.UNEQUAL), *priors.THICKNESS))
        flat = np.sqrt(rng.uniform(*priors.FLATNESS))
        rod = Rod(
            expected_centres(head)[side] + shift,
            frame(direction, axes[1]),
            float(np.clip(length * rng.uniform(*priors.UNEQUAL), *priors.LENGTH)),
            (width * flat, width / flat),
            tuple(rng.uniform(-priors.BEND, priors.BEND, 2).tolist()),
            _draw_ends(age, rng),
        )
        drawn.append(Nucleus(into_tissue(head, rod, axes[1]), contrasts[side], seen[side]))
    return drawn[0], drawn[1]


def into_tissue(head: Head, rod: Rod, forwards: np.ndarray) -> Rod:
    """Move a rod to the front until its back lies in tissue, not in the fourth ventricle.

    Parameters
    ----------
    head : Head
        The head.
    rod : Rod
        As drawn.
    forwards : numpy.ndarray
        Unit vector from the floor of the ventricle into the pons, shape (3,), mm, RAS+.
    """
    back = rod.line(9)[1:-1] - rod.widths[0] / 2 * forwards
    steps = np.arange(0, priors.DEEPEST_MOVE + _MOVE_MM, _MOVE_MM)
    t1w = head.look(back + steps[:, None, None] * forwards)[0]
    dry = (t1w > _TISSUE).mean(axis=1)
    # The ends may touch the fluid; where nothing helps, the driest place is taken.
    step = steps[np.argmax(dry >= min(0.8, dry.max()))]
    return Rod(rod.centre + step * forwards, rod.axes, rod.length, rod.widths, rod.bend, rod.ends)


def _axes(head: Head, side: int) -> np.ndarray:
    """Directions in the head, rows: along the nucleus, forwards and outwards."""
    centre, step = priors.CENTRES[side], 4.0
    along = step * priors.DIRECTION * [SIDES[side], 1, 1]
    forwards = np.array([0.0, step, 0.0])
    low, high, rear, front = head.from_template(
        centre + np.stack([-along, along, -forwards, forwards])
    )
    axes = frame(high - low, front - rear)
    outwards = head.from_template(np.add(centre, [SIDES[side], 0, 0])) - head.from_template(centre)
    if axes[2] @ outwards < 0:
        axes[2] *= -1
    return axes


def _draw_contrasts(
    rated: priors.Range, age: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Signals of both cores; their mean over participants is the published one."""
    ages = np.linspace(*priors.AGES, 66)
    share, shares = (np.interp(years, priors.AGE_KNOTS, priors.AGE_SHARE) for years in (age, ages))
    mean = rng.normal(*rated) * share / shares.mean() / priors.RATED_SHARE
    weaker = rng.uniform(*priors.WEAKER)
    pair = np.array([2.0, 2.0 * weaker]) / (1 + weaker)
    first, second = 1 + np.maximum(mean * pair, priors.FAINTEST)
    return (first, second) if rng.random() < 0.5 else (second, first)


def _draw_visible(rng: np.random.Generator) -> tuple[bool, bool]:
    chance, side = rng.random(), int(rng.integers(2))
    if chance < priors.BOTH_UNSEEN:
        return False, False
    unseen = chance < priors.BOTH_UNSEEN + priors.ONE_UNSEEN
    return not (unseen and side == 0), not (unseen and side == 1)


def _draw_ends(age: float, rng: np.random.Generator) -> tuple[float, float]:
    low, high = priors.ENDS
    old = np.interp(age, (60, 85), (0, priors.FADED_AT_85))
    return float(rng.uniform(low, high)), float(rng.uniform(low, high - old * (high - low)))
