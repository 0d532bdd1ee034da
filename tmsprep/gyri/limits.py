"""What the probabilities of a parcellation network say about points."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tmsprep.networks.settings import check_positive


@dataclass(frozen=True)
class Limits:
    """What the probabilities of a network say about a point.

    They belong to a network, and are kept with its weights; its card tells what they were chosen
    on. The defaults were chosen on points of training participants, and of eight scans with manual
    labels, as a network locates them and moved by 2 to 14 mm: of 213 located points within 2 mm of
    their gyrus 2 were doubted, of the moved ones there 7 %, and of those over 4 mm from it 91 %.

    Parameters
    ----------
    sure : float
        Least probability of the expected gyrus at a point that is where it is expected.
    wrong : float
        Probability of the expected gyrus below which a point is in another one.
    other : float
        Least probability of that other one. A network that knows nothing in an image gives every
        gyrus a little.
    cortex : float
        Share of the ball of `tmsprep.gyri.judge.BALL_MM` around a point that must be cortex.
    far_mm : float
        A point without cortex around it that is further than this from the expected gyrus is not
        in it.

    Raises
    ------
    ValueError
        If one is not a number above 0, or `wrong` is larger than `sure`.
    """

    sure: float = 0.5
    wrong: float = 0.2
    other: float = 0.3
    cortex: float = 0.05
    far_mm: float = 3.0

    def __post_init__(self) -> None:
        for one in fields(self):
            check_positive(one.name, getattr(self, one.name))
        if self.wrong > self.sure:
            raise ValueError('a point cannot be in the expected gyrus and in another one')
