"""Amounts of memory, as people write them."""

from __future__ import annotations

import re

# Less than this cannot hold one person's volumes; whoever writes '8' means GB (our choice).
MIN_GB = 0.5

_AMOUNT = re.compile(r'(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?)?', re.IGNORECASE)
_EXPONENTS = {'k': 1, 'm': 2, 'g': 3, 't': 4}


def parse_memory(text: str) -> float:
    """Read an amount of memory.

    Parameters
    ----------
    text : str
        A number and K, M, G or T, each with or without 'B' ('GiB' is 2^30 bytes). Without a unit
        it is MB, as in fMRIPrep.

    Returns
    -------
    float
        GB of 10^9 bytes.

    Raises
    ------
    ValueError
        If it is not an amount, or below `MIN_GB`.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'{text!r} is not an amount of memory; write 8GB or 8000MB')
    number, unit, binary = match.groups()
    gigabytes = (
        float(number) * (1024 if binary else 1000) ** _EXPONENTS[(unit or 'm').lower()] / 1e9
    )
    if gigabytes < MIN_GB:
        hint = f'; without a unit it is MB: did you mean {number}GB?' if unit is None else ''
        raise ValueError(f'{text!r} is {gigabytes:g} GB, less than the {MIN_GB} GB needed{hint}')
    return gigabytes
