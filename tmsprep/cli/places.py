"""The arguments that are no options: folders and the analysis level."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from tmsprep.config import CONFIGS
from tmsprep.options import Option
from tmsprep.text import shown

_PATH = Option('path', '', Path)


class Places(NamedTuple):
    """What a command line says besides options.

    Parameters
    ----------
    level : str
        Analysis level.
    folders : dict
        Name of a setting to the path given for it; see `tmsprep.config.RunConfig.folders`.
    """

    level: str
    folders: dict[str, Path]


def read_places(words: Sequence[str]) -> Places:
    """Tell apart the arguments that are no options.

    Parameters
    ----------
    words : sequence of str
        In the order in which they were typed.

    Raises
    ------
    ValueError
        If there are too few or too many, or the level is missing or misspelt; the message says
        what to type.
    """
    if not words:
        raise ValueError(f'nothing to work on; type {_form("participant")}')
    *paths, level = words
    if level not in CONFIGS:
        raise ValueError(_without_level(words))
    wanted = CONFIGS[level].folders
    if len(paths) != len(wanted):
        given = f' ({_command(*paths)})' if paths else ''
        raise ValueError(
            f'{level} takes {len(wanted)} of {" ".join(wanted).upper()}, and {len(paths)} are '
            f'given{given}; type {_form(level)}'
        )
    return Places(level, {n: _PATH.parse(p) for n, p in zip(wanted, paths, strict=True)})


def _without_level(words: Sequence[str]) -> str:
    """Say what to type where the last word is no analysis level."""
    level = next((word for word in words if word in CONFIGS), '')
    if level:
        others = [word for word in words if word != level]
        return f'the analysis level comes last; type {_command("tmsprep", *others, level)}'
    *paths, last = words
    meant = closest(last, CONFIGS)
    if meant and len(paths) == len(CONFIGS[meant].folders):
        return f'{last!r} is no analysis level; did you mean {meant}?'
    if len(words) > 2:
        return f'{last!r} is no analysis level; choose from {", ".join(CONFIGS)}'
    folders = ' '.join(name.upper() for name in CONFIGS['participant'].folders[len(words) :])
    return (
        'the analysis level is missing; type '
        f'{_command("tmsprep", *words)} {f"{folders} " if folders else ""}participant'
    )


def _form(level: str) -> str:
    return usage(level, CONFIGS[level].folders)


def _command(*words: str) -> str:
    """Join words for a message so that they can be typed."""
    return shown(shlex.join(words), most=300)


def closest(word: str, known: Iterable[str]) -> str:
    """Return the one of some known words that a misspelt one is most like; '' if none is.

    Examples
    --------
    >>> closest('--localisers', ['--localizers', '--sloppy']), closest('x', ['participant'])
    ('--localizers', '')
    """
    return next(iter(get_close_matches(word, list(known), 1)), '')


def usage(level: str, folders: Iterable[str]) -> str:
    """Return the form of a command.

    Examples
    --------
    >>> usage('group', ['bids_dir', 'out_dir'])
    'tmsprep BIDS_DIR OUT_DIR group'
    """
    return ' '.join(['tmsprep', *(name.upper() for name in folders), level])
