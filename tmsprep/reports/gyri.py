"""Where in the cortex a point lies, in words, from the row of its table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tmsprep.reports.sections import Number

#: Depths that are shown as 0.0 mm.
_AT_CROWN_MM = 0.05


def gyrus_words(row: Mapping[str, Any]) -> str:
    """Say in which gyrus a point lies, how deep, and how likely that is the expected one.

    Parameters
    ----------
    row : mapping
        Of a table of targets: cells as text, by column.

    Returns
    -------
    str
        Without a full stop; '' if the table says nothing of it.

    Examples
    --------
    >>> row = {'gyrus': 'left precentral gyrus', 'gyrus_probability': '0.9712'}
    >>> gyrus_words({**row, 'crown_depth_mm': '2.0871'})
    'left precentral gyrus, 2.1 mm below the crown (expected gyrus: 97 %)'
    >>> gyrus_words({'gyrus': 'n/a', 'gyrus_probability': '0.0000'})
    'no cortex (expected gyrus: 0 %)'
    >>> gyrus_words({'gyrus': 'n/a', 'gyrus_probability': 'n/a'})
    ''
    """
    gyrus = str(row.get('gyrus', ''))
    depth, chance = Number.parse(row.get('crown_depth_mm')), gyrus_chance(row)
    if gyrus in ('', 'n/a'):
        words = 'no cortex' if chance else ''
    elif depth is None:
        words = gyrus
    elif depth.value < _AT_CROWN_MM:
        words = f'{gyrus}, on the crown'
    else:
        words = f'{gyrus}, {depth.shown} mm below the crown'
    return f'{words} (expected gyrus: {chance})' if chance else words


def gyrus_chance(row: Mapping[str, Any]) -> str:
    """Probability of the expected gyrus, such as '97 %'; '' if it is not known."""
    chance = Number.parse(row.get('gyrus_probability'))
    return '' if chance is None else f'{100 * chance.value:.0f} %'
