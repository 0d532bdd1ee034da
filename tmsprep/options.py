"""Options of the command line, declared once: name, type, default, limits and help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS = ('participant', 'train', 'crossval', 'group')


@dataclass(frozen=True)
class Option:
    """One option, of a command or of a method.

    Parameters
    ----------
    name : str
        Key of its value; ``--`` and the name with dashes on the command line.
    help : str
        One sentence; the default is added to it.
    type : type
        str, int, float, bool (a switch) or pathlib.Path (an existing file).
    default : Any
        None if there is none.
    choices : tuple of str
        Allowed values; empty for all.
    several : bool
        Whether it takes several values, which are then a tuple without repetitions.
    levels : tuple of str
        Analysis levels that have it.
    minimum : float
        Smallest allowed number.
    single : tuple of str
        Analysis levels at which only one of several values may be given.
    metavar : str
        Placeholder in the help.
    """

    name: str
    help: str
    type: type = str
    default: Any = None
    choices: tuple[str, ...] = ()
    several: bool = False
    levels: tuple[str, ...] = LEVELS
    minimum: float = -math.inf
    single: tuple[str, ...] = ()
    metavar: str = ''

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return f'--{self.name.replace("_", "-")}'

    def check(self, value: Any, level: str) -> Any:
        """Return the value in its type.

        Raises
        ------
        ValueError
            If it is out of range; the message names the option and the allowed values.
        """
        if value is None:
            return None
        values = tuple(dict.fromkeys(value)) if self.several else (value,)
        if not values:
            raise ValueError(f'{self.flag}: give at least one of {", ".join(self.choices)}')
        checked = tuple(self._check_one(item) for item in values)
        if level in self.single and len(checked) > 1:
            raise ValueError(f'{self.flag}: {level} takes one of {", ".join(self.choices)}')
        return checked if self.several else checked[0]

    def _check_one(self, item: Any) -> Any:
        if self.type is Path:
            path = Path(item).expanduser().absolute()
            if not path.is_file():
                raise ValueError(f'{self.flag}: no file {path}')
            return path
        # bool is a subclass of int: `steps = true` in a settings file is a mistake.
        number = self.type is float and type(item) is int
        if type(item) is not self.type and not number:
            raise ValueError(f'{self.flag}: {item!r} is not of type {self.type.__name__}')
        if self.choices and item not in self.choices:
            raise ValueError(
                f'{self.flag}: {item!r} is not known; choose from {", ".join(self.choices)}'
            )
        if self.type in (int, float) and not (item >= self.minimum and math.isfinite(item)):
            raise ValueError(f'{self.flag} must be {self.minimum:g} or more, not {item}')
        return self.type(item)


def settle(
    options: Sequence[Option], given: Mapping[str, Any], defaults: Mapping[str, Any], level: str
) -> dict[str, Any]:
    """Value of each option at one analysis level: given, else the protocol's, else its own.

    Parameters
    ----------
    options : sequence of Option
        Those of other levels are skipped.
    given : mapping
        Name to value, from the command line or a settings file.
    defaults : mapping
        As `tmsprep.protocols.Protocol.defaults`.
    level : str
        Analysis level.

    Raises
    ------
    ValueError
        If a value is out of range.
    """
    chosen = {**defaults, **defaults.get(level, {}), **given}
    return {
        option.name: option.check(chosen.get(option.name, option.default), level)
        for option in options
        if level in option.levels
    }
