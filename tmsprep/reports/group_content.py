"""What the report of a group is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tmsprep.protocols import Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class LeftOut:
    """Somebody, or something, that is not in the numbers.

    Parameters
    ----------
    who : str
        Person, image or file.
    why : str
        What went wrong and the cure, in words.
    severity : str
        'error' if points are missing for it, 'warning' if they are used and must be looked at,
        'note' for information.
    """

    who: str
    why: str
    severity: str = 'error'


@dataclass(frozen=True)
class GroupContent:
    """Everything that `write_group_report` shows; what is empty is left out with a sentence.

    Parameters
    ----------
    protocol : Protocol
        The targets, in the order of every figure.
    points : pandas.DataFrame
        One row per person, image, target, method and repetition: ``participant_id``, ``image``,
        ``method``, ``repetition``, ``label``, ``x``, ``y``, ``z`` (mm, RAS+, scanner frame; NaN
        if missing), ``status``, ``dispersion_mm``.
    errors : pandas.DataFrame
        Distance of each point from the consensus of the experts: ``participant_id``, ``image``,
        ``method``, ``repetition``, ``label``, ``error_mm``.
    tables : mapping of str to pandas.DataFrame
        'table2' to 'table5' as numbers, of `evaluation.paper_tables`. Those that cannot be made
        are not in it.
    left_out : sequence of LeftOut
        Who is missing or failed, and findings on files.
    margin_mm : float
        Margin of the equivalence test.
    threshold_mm : float
        Experts within this of each other agree.
    reference : str
        One sentence on who the raters are, '' if that is not known.
    agreement : pandas.DataFrame, optional
        Of `evaluation.agreement.agreement_table`; made from `points` if it is not given.
    template_points : pandas.DataFrame, optional
        As `points`, with x, y, z in mm of the space `template`.
    template : str
        Name of that space.
    seed : int
        Of the bootstrap.
    """

    protocol: Protocol
    points: pd.DataFrame
    errors: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    left_out: Sequence[LeftOut] = ()
    margin_mm: float = 3.0
    threshold_mm: float = 12.0
    reference: str = ''
    agreement: pd.DataFrame | None = None
    template_points: pd.DataFrame | None = None
    template: str = 'MNI152NLin2009aSym'
    seed: int = 1
