"""What a sequence makes of the tissue of a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coeruleus_simulation import priors
from coeruleus_simulation.heads import Head

#: T1w signal of fluid, grey matter, pons, the brightest white matter (up to the second number) and
#: blood that flows in, relative to the pons.
_T1W = (0.25, 0.68, 1.0, 1.25, 1.5, 1.8)


@dataclass(frozen=True)
class Sequence:
    """Signals of one image, relative to the pons.

    Parameters
    ----------
    name : str
        Key of `priors.CLASSES`.
    fluid, grey, white, outside : float
        See `priors.SequenceClass`.
    artery, vein, nigra, tegmentum, rim : float
        Signal of vessels; excess of nigra, tegmentum, and of the rim of fluid.
    slice_mm, noise, blur_mm : float
        Thickness of slices, SD of the noise, SD of the blur.
    """

    name: str
    fluid: float
    grey: float
    white: float
    outside: float
    artery: float
    vein: float
    nigra: float
    tegmentum: float
    rim: float
    slice_mm: float
    noise: float
    blur_mm: float


def draw_sequence(rng: np.random.Generator, name: str | None = None) -> Sequence:
    """Draw a sequence, of any class or of one."""
    drawn = name or str(rng.choice(list(priors.CLASSES)))
    kind = priors.CLASSES[drawn]
    bright = rng.random() < kind.bright_artery and drawn != 'flash'
    return Sequence(
        drawn,
        fluid=rng.uniform(*kind.fluid),
        grey=rng.uniform(*kind.grey),
        white=rng.uniform(*kind.white),
        outside=rng.uniform(*kind.outside),
        artery=rng.uniform(*(priors.CLASSES['flash'] if bright else kind).artery),
        vein=rng.uniform(*kind.vein),
        nigra=rng.uniform(*kind.nigra),
        tegmentum=rng.uniform(*priors.TEGMENTUM_EXCESS),
        rim=rng.uniform(*priors.RIM),
        slice_mm=rng.uniform(*kind.slices),
        noise=rng.uniform(*priors.NOISE),
        blur_mm=rng.uniform(*priors.BLUR),
    )


def tissue_signal(
    head: Head, places: np.ndarray, sequence: Sequence
) -> tuple[np.ndarray, np.ndarray]:
    """Signal of the head's own tissue, and the share of fluid, at places in it.

    Parameters
    ----------
    head : Head
        The head.
    places : numpy.ndarray
        Shape (n, m, k, 3), mm, RAS+.
    sequence : Sequence
        Signals of the tissues.

    Returns
    -------
    tuple of numpy.ndarray
        Shape (n, m, k), float32, both.
    """
    t1w, inside = head.look(places)
    white, blood = sequence.white, sequence.artery
    levels = (sequence.fluid, sequence.grey, 1.0, white, white, blood)
    brain = np.interp(t1w, _T1W, levels).astype(np.float32)
    signal = inside * brain + (1 - inside) * np.float32(sequence.outside) * t1w
    fluid = inside * np.clip((_T1W[1] - t1w) / (_T1W[1] - _T1W[0]), 0, 1)
    return signal, fluid
