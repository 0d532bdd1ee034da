"""Options of the command line, each declared once: name, type, default, limits and help."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

LEVELS = ('participant', 'train', 'crossval', 'group', 'export')

#: Groups of options that decide how a run is carried out and never what it finds. Levels without
#: them ignore them, so that one list of options serves all levels of a study.
NEUTRAL_GROUPS = ('resources', 'running')

_NOUNS = {int: 'a whole number', float: 'a number'}


@dataclass(frozen=True)
class NamedPath:
    """A path with a name, ``NAME=PATH`` on the command line; without one, that of the folder.

    Parameters
    ----------
    path : Path
        The file or folder.
    name : str
        Letters, digits, dots, dashes and underscores; '' if none was given.

    Examples
    --------
    >>> folder = NamedPath.parse('fmriprep=/data/out')
    >>> folder.path.as_posix(), folder.label
    ('/data/out', 'fmriprep')
    >>> NamedPath.parse('/data/my out').label
    'myout'
    """

    path: Path
    name: str = ''

    @classmethod
    def parse(cls, text: str) -> NamedPath:
        """Read ``NAME=PATH``, or a path; one whose first part holds a = is written ``./a=b``."""
        match = re.fullmatch(r'([A-Za-z0-9_.-]+)=(.*)', text, re.DOTALL)
        name, path = match.groups() if match else ('', text)
        if not path:
            raise ValueError('an empty path; is a variable of your script unset?')
        return cls(Path(path), name)

    @property
    def label(self) -> str:
        """The name, or what BIDS allows of that of the folder."""
        return self.name or re.sub(r'[^A-Za-z0-9_.-]', '', self.path.name) or 'derivatives'

    def __str__(self) -> str:
        return f'{self.name}={self.path}' if self.name else str(self.path)


@dataclass(frozen=True)
class Option:
    """One option: a setting of analysis levels (`tmsprep.config`) or an option of a method.

    Parameters
    ----------
    name : str
        Key of its value; ``--`` and the name with dashes on the command line.
    help : str
        One sentence; the default is added to it.
    type : type
        str, int, float, bool (a switch), dict, pathlib.Path or `NamedPath`.
    default : Any
        A value, or a function that makes one; None if there is none.
    choices : tuple of str
        Allowed values; empty for all.
    several : bool
        Whether it takes several values, which are then a tuple without repetitions.
    words : int
        Number of words of one value on the command line, which blanks join; the option is then
        repeated for several values.
    levels : tuple of str
        Analysis levels that have it.
    minimum, maximum : float
        Smallest and largest allowed number.
    above : float
        Number that the value must exceed.
    exists : str
        Kind of a path that must exist: 'file' or 'folder'; '' if it need not.
    needs : str
        Name of an option that must be given together with this one.
    single : tuple of str
        Analysis levels at which only one of several values may be given.
    refusals : mapping
        Analysis level to the reason that it does not have the option: a relative clause.
    read : callable, optional
        Converts text, from the command line or a settings file; it raises ValueError.
    group : str
        Group in the help.
    flags : tuple of str
        Names on the command line, if they do not follow from `name`.
    metavar : str
        Placeholder in the help.
    """

    name: str
    help: str
    type: type = str
    default: Any = None
    choices: tuple[str, ...] = ()
    several: bool = False
    words: int = 1
    levels: tuple[str, ...] = LEVELS
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    exists: str = 'file'
    needs: str = ''
    single: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[str], Any] | None = None
    group: str = ''
    flags: tuple[str, ...] = ()
    metavar: str = ''

    @property
    def flag(self) -> str:
        """Main name on the command line."""
        named = (flag for flag in self.flags if flag.startswith('--'))
        return next(named, f'--{self.name.replace("_", "-")}')

    def describe(self) -> str:
        """Help with the default, if there is one."""
        shown = ' '.join(self.default) if isinstance(self.default, tuple) else self.default
        text = self.help
        # False is the default of every switch.
        if type(shown) in (str, int, float) and shown != '' and '(default' not in text:
            text += f' (default: {shown})'
        return text

    def parse(self, text: str) -> Any:
        """Read one value from text.

        Raises
        ------
        ValueError
            If it is not of the type.
        """
        if self.read is not None:
            return self.read(text)
        if self.type is NamedPath:
            return NamedPath.parse(text)
        if self.type is Path and not text:
            raise ValueError('an empty path; is a variable of your script unset?')
        try:
            return self.type(text)
        except ValueError:
            raise ValueError(f'{text!r} is not {_NOUNS[self.type]}') from None

    def check(self, value: Any, level: str) -> Any:
        """Return a value, or the tuple of `several`, in its type; paths are made absolute.

        Raises
        ------
        ValueError
            If it is out of range; the message names the option and the allowed values.
        """
        if value is None:
            return None
        if not self.several:
            return self._check_one(value)
        if not isinstance(value, (list, tuple)):
            raise ValueError(f'{self.flag}: {value!r} is not a list')
        values = tuple(dict.fromkeys(self._check_one(item) for item in value))
        _check_names([item.name for item in values if isinstance(item, NamedPath)], self.flag)
        if self.default and not values:
            raise ValueError(f'{self.flag}: give at least one of {", ".join(self.choices)}')
        if level in self.single and len(values) > 1:
            raise ValueError(f'{self.flag}: {level} takes one of {", ".join(self.choices)}')
        return values

    def _check_one(self, item: Any) -> Any:
        if isinstance(item, str) and (self.read is not None or self.type in (Path, NamedPath)):
            item = self.parse(item)
        if self.type is float and type(item) is int:
            item = float(item)
        # bool is a subclass of int: `steps = true` in a settings file is a mistake.
        if not isinstance(item, self.type) or isinstance(item, bool) is not (self.type is bool):
            raise ValueError(f'{self.flag}: {item!r} is not of type {self.type.__name__}')
        if self.choices and item not in self.choices:
            raise ValueError(
                f'{self.flag}: {item!r} is not known; choose from {", ".join(self.choices)}'
            )
        if isinstance(item, (int, float)):
            self._check_number(item)
        if isinstance(item, NamedPath):
            return replace(item, path=self._check_path(item.path))
        return self._check_path(item) if isinstance(item, Path) else item

    def _check_number(self, number: float) -> None:
        if self.minimum <= number <= self.maximum and self.above < number < math.inf:
            return
        if self.maximum < math.inf:
            limits = f'from {self.minimum} to {self.maximum}'
        else:
            limits = f'above {self.above}' if self.above > -math.inf else f'{self.minimum} or more'
        raise ValueError(f'{self.flag} must be {limits}, not {number}')

    def _check_path(self, path: Path) -> Path:
        try:
            path = path.expanduser().absolute()
        except RuntimeError:
            raise ValueError(f'{self.flag}: no home directory for {path}') from None
        try:
            there = path.is_dir() if self.exists == 'folder' else path.is_file()
        except OSError as error:
            raise ValueError(f'{self.flag}: {path}: {error.strerror}') from error
        if self.exists and not there:
            raise ValueError(f'{self.flag}: no {self.exists} {path}')
        return path


def _check_names(names: Sequence[str], flag: str) -> None:
    """Refuse a name that says of two folders, or of the data set, what a link leads to."""
    for name in filter(None, names):
        if name == 'raw' or names.count(name) > 1:
            reason = 'is that of the data set' if name == 'raw' else 'stands before two folders'
            raise ValueError(f'{flag}: the name {name!r} {reason}; give another NAME=PATH')


def settle(
    options: Iterable[Option], sources: Mapping[str, Mapping[str, Any]], level: str
) -> dict[str, Any]:
    """Decide the value of each option at one analysis level.

    Parameters
    ----------
    options : iterable of Option
        Those of other levels are skipped.
    sources : mapping
        Name of a source to its values, which replace those of the sources before it; '' for the
        command line. Values of other options are skipped.
    level : str
        Analysis level.

    Returns
    -------
    dict
        Option name to value; its own default if no source has one.

    Raises
    ------
    ValueError
        If a value is out of range, or an option lacks one that it needs; the message names the
        source and the option.
    """
    here = {option.name: option for option in options if level in option.levels}
    values = {name: _settle_one(option, sources, level) for name, option in here.items()}
    for name, option in here.items():
        if option.needs and values[name] and not values[option.needs]:
            raise ValueError(f'{option.flag}: give {here[option.needs].flag} as well')
    return values


def _settle_one(option: Option, sources: Mapping[str, Mapping[str, Any]], level: str) -> Any:
    for source, values in reversed(list(sources.items())):
        if option.name in values:
            try:
                return option.check(values[option.name], level)
            except ValueError as error:
                raise ValueError(f'{source}: {error}' if source else str(error)) from error
    default = option.default() if callable(option.default) else option.default
    return option.check(default, level)
