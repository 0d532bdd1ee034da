"""Text from files and names of others: read within bounds, and safe to show."""

from __future__ import annotations

import io
import json
import re
import tomllib
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tmsprep.running.system import open_regular

#: Largest text file that is read, bytes: tables and sidecars of the largest studies are smaller,
#: and a hundred times as much would still fit into memory.
MOST_BYTES = 64 * 2**20

#: Largest file of settings, bytes: TOML of megabytes takes minutes.
MOST_SETTINGS = 2**20

#: Most characters of one message that are shown; twenty names of files fit.
MOST_CHARACTERS = 10_000

#: Most levels of lists and tables in JSON, TOML and YAML; no file of ours or of BIDS has ten.
MOST_LEVELS = 100

#: What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection).
FORMULA = ('=', '+', '-', '@')

# From a slash that ends no word up to the last slash of the path.
_FOLDERS = re.compile(r'(?<![\w.)\]}/:<-])(?:file://)?/(?:[^/\s:\'"<>|,;()]+/)+')


def printable(text: object, keep: str = '') -> str:
    r"""Escape all characters that cannot be printed, so that they control nothing.

    These are control characters, marks that change the direction of writing, and bytes of a file
    name that are not UTF-8, which no text file can hold.

    Parameters
    ----------
    text : object
        Text, or what is shown as text.
    keep : str
        Characters that stay, such as the line breaks of a traceback.

    Examples
    --------
    >>> import os
    >>> printable('sub-01\n--sloppy'), printable(os.fsdecode(b'f\xfcr'))
    ('sub-01\\n--sloppy', 'f\\xfcr')
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return ''.join(c if _is_plain(c) or c in keep else _escape(c) for c in shown)


def _is_plain(character: str) -> bool:
    # Python counts only one kind of space as printable, but French has two more.
    return character.isprintable() or unicodedata.category(character) == 'Zs'


def _escape(character: str) -> str:
    code = ord(character)
    # Python's stand-in for a byte of a file name that is not UTF-8.
    is_byte = 0xDC80 <= code <= 0xDCFF
    return f'\\x{code - 0xDC00:02x}' if is_byte else character.encode('unicode_escape').decode()


def shown(text: object, most: int = MOST_CHARACTERS) -> str:
    """Make a message safe to show, on lines of its own, and cut it if it is very long.

    Examples
    --------
    >>> shown('aaaaaaaa', most=3)
    'aaa ... (5 more characters)'
    """
    whole = str(text)
    rest = len(whole) - most
    cut = f'{whole[:most]} ... ({rest} more characters)' if rest > 0 else whole
    return printable(cut, keep='\n\t')


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural unless it is 1.

    Examples
    --------
    >>> counted(1, 'participant'), counted(0, 'image')
    ('1 participant', '0 images')
    """
    return f'{number} {noun}' if number == 1 else f'{number} {noun}s'


def cell(text: str) -> str:
    """Make text safe as a cell of a table: printable, and no formula in a spreadsheet.

    An apostrophe goes before what begins like a formula, unless it is a number; `plain` takes it
    away again.

    Examples
    --------
    >>> cell('=1+1'), cell('-3.5'), cell('anna')
    ("'=1+1", '-3.5', 'anna')
    """
    safe = printable(text)
    return f"'{safe}" if safe.startswith(FORMULA) and not _is_number(safe) else safe


def plain(text: str) -> str:
    """Take away the apostrophe that `cell` has added."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def without_folders(text: str) -> str:
    """Shorten absolute paths in a message that leaves the computer: to a name in its data set.

    Examples
    --------
    >>> without_folders('/home/anna/bids/sub-01/anat/sub-01_T1w.nii.gz: cannot be read')
    'sub-01/anat/sub-01_T1w.nii.gz: cannot be read'
    >>> without_folders('File "/home/anna/venv/lib/python3.11/site-packages/tmsprep/points.py"')
    'File "tmsprep/points.py"'
    """
    return _FOLDERS.sub(_last_folders, text)


def _last_folders(match: re.Match[str]) -> str:
    parts = match[0].removeprefix('file://').strip('/').split('/')
    for place, part in enumerate(parts):
        if re.fullmatch(r'sub-[a-zA-Z0-9+]+', part):
            return '/'.join(parts[place:]) + '/'
    if 'site-packages' in parts:
        return '/'.join([*parts[parts.index('site-packages') + 1 :], ''])
    return ''


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Parameters
    ----------
    path : Path
        A regular file, or a link to one: a pipe would be waited for, and a device never ends.
    most : int
        Largest size, bytes.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file.
    ValueError
        If it is larger, or not UTF-8.
    """
    with open(open_regular(path), 'rb') as stream:  # noqa: PTH123
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f'it is larger than {most // 2**20} MiB, so not what its name says')
    return content.decode('utf-8-sig')


def open_text(path: Path) -> io.StringIO:
    """Read a file as `read_text` does, for readers of tables; line breaks stay as they are."""
    return io.StringIO(read_text(path), newline='')


def parse_json(text: str) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        If it is no JSON, or nested more deeply than `MOST_LEVELS`.
    """
    return _bounded(json.loads, text)


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML; raises ValueError as `parse_json` does."""
    return _bounded(tomllib.loads, text)


def parse_yaml(text: str) -> Any:
    """Read YAML without aliases, of which few lines make billions of entries.

    Raises
    ------
    ValueError
        If it is no YAML, has an alias, or is nested more deeply than `MOST_LEVELS`.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError('it has an alias (*name); write the content out in its place')
            return super().compose_node(parent, index)

    def load(content: str) -> Any:
        try:
            return yaml.load(content, Loader)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error

    return _bounded(load, text)


def _bounded(parse: Callable[[str], Any], text: str) -> Any:
    """Parse, and refuse what is nested so deeply that showing it would stop the program."""
    deep = 'it is nested too deeply'
    try:
        content = parse(text)
    except RecursionError:
        raise ValueError(deep) from None
    level = [content]
    for _ in range(MOST_LEVELS):
        level = [
            item
            for value in level
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return content
    raise ValueError(deep)
